//! The admin port: health, metrics, the version and the API, over plain HTTP.
//!
//! It has an accept loop of its own, because `axum::serve` sets no header timer, so that a client
//! which sends its head byte by byte would hold a connection for ever. Every connection, head and
//! body has a limit with a name. Health and metrics ask the database nothing: what they show comes from
//! `telemetry`. The API asks it by sessions of its own. It starts no task: all connections are polled inside
//! [`serve`].

mod access;
mod api;
mod connection;
mod controls;
mod credentials;
mod cuts;
mod debug;
mod foreign;
mod guesses;
mod health;
mod hosts;
mod itself;
mod listener;
mod not_taken;
mod openapi;
mod places;
mod problem;
mod request;
mod routes;
mod tasks;
mod turns;

pub use access::{Access, Role};
pub use api::Configured;
pub use connection::{CONNECTION_MAX_AGE, serve};
pub use controls::{Controls, Held, OfFile, Reloaded, Stop, Wrong};
pub use hosts::Hosts;
pub use listener::{AdminError, Bound, adopt, bind};
pub use routes::AdminState;

#[cfg(test)]
mod tests;
