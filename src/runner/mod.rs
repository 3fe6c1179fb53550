//! Carries out deliveries that start a process: spawn, feed, capture, time, end, reap.
//!
//! A hook's life is a state machine without I/O (`attempt`); `launch` makes a running program of a delivery and an
//! outcome of its end; `event_loop` is the only place that waits, for all running hooks at once; `program` finds
//! what to execute, `environment` makes the clean environment with the files of `scratch` and the span of `trace`, `sandbox` decides which rights a hook keeps (`strict` for the strictest level), by `home` (what is seen of the home folder), `keys` (what is not read), `repository` (what stays as it is) and `sockets` (what is covered), `mask` keeps secrets out of what hooks write, `capture` keeps the two ends of the output. No
//! policy about other hooks lives here.

mod attempt;
mod capture;
mod environment;
mod event_loop;
mod home;
mod keys;
mod launch;
mod mask;
mod program;
mod repository;
mod sandbox;
mod scratch;
mod sockets;
mod strict;
mod trace;

pub use environment::CallerEnvironment;
pub use event_loop::{Listener, RunId, Runner, Surroundings};
pub use mask::Secrets;
pub use program::ProgramFault;
pub use sandbox::Sandboxes;
pub use scratch::Scratch;
