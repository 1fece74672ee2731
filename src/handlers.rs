//! The handlers that come with Legwork: `command`, `noop` and `sleep`.
//!
//! Which kind has which handler stands in the configuration, so that a row can never choose what
//! program runs. Rust handlers are code of whoever embeds the library and are registered there.

mod command;
mod noop;
mod sleep;

pub use command::Command;
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
            HandlerSettings::Rust => registry,
        }
    })
}
