//! The eleven tests that keep a hollow version out.

mod bench;
mod churn;
mod demo;
mod late;
mod observed;
mod poison;
mod producer;
mod shutdown;
mod sources;
