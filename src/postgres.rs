//! The `postgres` room.

pub mod migrate;
