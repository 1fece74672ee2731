//! The `embedded` room.
