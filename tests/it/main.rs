//! Integration tests: one binary, one Postgres for all of them, and real processes.
//!
//! One binary because each would link the whole crate again; what is slow to make (a server, a
//! built program) is made once and shared. It allocates as the daemon does.

#[cfg(target_os = "linux")]
#[path = "../../src/sys/allocator.rs"]
mod allocator;
mod api;
mod audit;
mod bulk;
mod bundle;
mod chaos;
mod children;
mod cli;
mod command;
mod config;
mod decisions;
mod embedded;
mod execution;
mod harness;
#[cfg(target_os = "linux")]
mod heap;
mod history;
mod hostile;
mod insight;
mod installations;
mod library;
mod locks;
mod migrations;
mod operators;
mod overrides;
mod pipeline;
mod plans;
mod pooler;
mod process;
mod profiling;
mod provenance;
mod receivers;
mod roles;
mod schedules;
mod schema;
mod sql;
mod statements;
mod support;
mod tokens;
mod traces;
mod transactions;
mod traps;
