//! The `claimer` room.
