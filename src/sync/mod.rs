//! Brings queued events to a team server and takes its own: over HTTP in batches, and live over a WebSocket.
