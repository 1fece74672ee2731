//! The `handlers` room.
