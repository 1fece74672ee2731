//! The `postgres` room.

pub mod enqueue;
pub mod migrate;
pub mod operations;
