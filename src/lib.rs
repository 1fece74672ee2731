//! Legwork: a background-job daemon for Postgres. Insert a row; Legwork does the rest.
//!
//! The library is the same daemon as the binary, room by room. `ARCHITECTURE.md` shows the rooms
//! and which of them may name which; `tests/tidy.rs` holds them to it.

// Layer 0: the domain. Pure: no tokio, no sqlx, no clock.
pub mod job;
pub mod schedule;

// Layer 1: what every room may name.
pub mod config;
#[cfg(legwork_seeded_bugs)]
pub mod seeded;
pub mod supervise;
pub mod sys;
pub mod telemetry;

// Layer 2: the pipeline, in the order in which a job passes through it.
pub mod claimer;
pub mod completer;
pub mod dispatcher;
pub mod executor;
pub mod heartbeat;
pub mod worker;

// Layer 3: the outside world.
pub mod admin;
pub mod embedded;
pub mod handlers;
pub mod maintenance;
pub mod postgres;

// Layer 4: wiring.
pub mod bench;
pub mod cli;
pub mod daemon;
pub mod demo;
