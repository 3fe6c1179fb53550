//! Ways in beside the command line: what lies on the disk, turned into events.
//!
//! `kitty` reads and writes the feature folders of spec-kitty. A source makes drafts; who emits them is not its business.

pub mod kitty;
