//! The rules of the house, as tests over the repository's own text.
//!
//! Rules that only stand in a document are forgotten in a month. Each one here reads files, never
//! runs the daemon, and names the file, the line and what to do. A check is a pure function over
//! text, and beside each stands a test that shows it can fail.
//!
//! What a compiler lint already holds isn't repeated here, and no rule has an escape but the ones
//! written into `ARCHITECTURE.md`.

#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "names in this repository are in lower case, and a `.RS` isn't one of ours"
)]

#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/benchmarks.rs"]
mod benchmarks;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/logged.rs"]
mod logged;
#[path = "tidy/neighbours.rs"]
mod neighbours;
#[path = "tidy/packaging.rs"]
mod packaging;
#[path = "tidy/port.rs"]
mod port;
#[path = "tidy/problems.rs"]
mod problems;
#[path = "tidy/reference.rs"]
mod reference;
#[path = "tidy/scan.rs"]
mod scan;
#[path = "tidy/seeded.rs"]
mod seeded;
#[path = "tidy/transactions.rs"]
mod transactions;
#[path = "tidy/tree.rs"]
mod tree;
