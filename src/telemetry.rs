//! What the daemon says about itself: metrics, log lines, health and notices to systemd.
//!
//! It is a room of layer 1, so that every other room can name what it reports. All of it lives in
//! memory: neither a scrape nor a health check ever asks the database. It decides nothing; what it
//! counts and shows is handed in by the rooms where it happens.

pub mod build;
pub mod causes;
pub mod events;
pub mod feed;
pub mod health;
pub mod logs;
pub mod metrics;
mod origin;
pub mod spans;
pub mod systemd;

pub use origin::{Origin, Trace};
