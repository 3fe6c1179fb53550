//! Work-package events: their payloads, and the two spellings each has, ours and the sync wire's.
