//! The `job` room.
