//! The `maintenance` room.
