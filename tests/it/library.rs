//! The library as a program meets it: jobs enqueued in its own transactions, a daemon that it builds, and
//! the helpers for its tests, all against a real Postgres.

mod assertions;
pub(crate) mod builder;
mod producer;
mod spans;
