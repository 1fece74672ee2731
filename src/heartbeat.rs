//! The `heartbeat` room.
