//! What an event is, and nothing else: its identity, its type, its bytes and the rules they keep.
//!
//! `id` makes and reads event ids, `kind` reads event types, `envelope` holds an [`Event`] with the
//! bytes it was emitted as, `draft` is an event before it has an id and a time, `schema` has the
//! published JSON Schemas, `version` says which versions are understood and converts between them. No project, no configuration, no policy.

mod context;
mod draft;
mod envelope;
mod id;
mod kind;
mod schema;
mod version;

pub use draft::{Causality, EventDraft};
pub use envelope::{Event, EventError, MAX_BYTES, artifact_path, normal_path};
pub use id::{EventId, InvalidEventId, InvalidNodeId, NodeId};
pub use kind::{EventType, InvalidEventType};
pub use schema::{SCHEMAS, Schema};
pub use version::{Conversion, ConversionError, Deprecated, Step, Versions};
