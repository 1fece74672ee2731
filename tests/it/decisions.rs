//! The eleven tests that keep a hollow version out.

mod bench;
mod churn;
mod demo;
mod late;
mod poison;
mod producer;
mod shutdown;
