//! The handlers that come with Legwork: `command`, `http`, `noop` and `sleep`.
//!
//! Which kind has which handler stands in the configuration, so that a row can never choose what
//! program runs. Rust handlers are code of whoever embeds the library and are registered there.

mod command;
mod http;
mod noop;
mod shortage;
mod sleep;
mod wall_clock;

pub use command::Command;
pub use http::Http;
pub use noop::Noop;
pub use sleep::Sleep;

use crate::{
    config::{HandlerSettings, KindSettings},
    executor::Registry,
    telemetry::metrics::Metrics,
};

/// The registry of every kind that a built-in handler runs.
pub fn from_settings(kinds: &[KindSettings], metrics: &Metrics) -> Registry {
    kinds.iter().fold(Registry::default(), |registry, kind| {
        let name = kind.name.clone();
        match &kind.handler {
            HandlerSettings::Noop => registry.with(name, Noop),
            HandlerSettings::Sleep => registry.with(name, Sleep),
            HandlerSettings::Command(settings) => {
                let command = Command::new(settings.clone(), kind.policy.backoff);
                registry.with(name, command.counted_in(metrics.command(&kind.name)))
            }
            HandlerSettings::Http(settings) => {
                let http = Http::new(settings.as_ref().clone());
                registry.with(name, http.counted_in(metrics.http_handler(&settings.target())))
            }
            HandlerSettings::Rust => registry,
        }
    })
}
