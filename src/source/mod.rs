//! Ways in beside the command line: what lies on the disk, turned into events.
