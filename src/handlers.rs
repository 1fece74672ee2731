//! The handlers that come with Legwork: `command`, `http`, `sql`, `noop` and `sleep`.
//!
//! Which kind has which handler stands in the configuration, so that a row can never choose what
//! program runs. Rust handlers are code of whoever embeds the library and are registered there.

mod command;
mod http;
mod noop;
mod shortage;
mod sleep;
mod sql;
mod wall_clock;

pub use command::Command;
pub use http::Http;
pub use noop::Noop;
pub use sleep::Sleep;
pub use sql::Sql;

use crate::{
    config::{HandlerSettings, KindSettings},
    executor::{Callbacks, Registry},
    postgres::Functions,
    telemetry::metrics::Metrics,
};
use std::sync::Arc;

/// The registry of every kind that a built-in handler runs.
pub fn from_settings(
    kinds: &[KindSettings],
    metrics: &Metrics,
    callbacks: &Arc<Callbacks>,
) -> Registry {
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
                let http = Http::new(settings.as_ref().clone()).called_by(Arc::clone(callbacks));
                registry.with(
                    name,
                    http.counted_in(metrics.http_handler(&kind.name, &settings.target())),
                )
            }
            // Rust is the program's own, and a function can be called once there is a connection.
            HandlerSettings::Rust | HandlerSettings::Sql(_) => registry,
        }
    })
}

/// The same with the kinds that call a function, but for those that the program has a handler for.
pub fn with_functions(
    registry: Registry,
    kinds: &[KindSettings],
    functions: &Arc<Functions>,
) -> Registry {
    kinds.iter().fold(registry, |registry, kind| match &kind.handler {
        HandlerSettings::Sql(settings) if registry.get(kind.name.as_str()).is_none() => {
            registry.with(kind.name.clone(), Sql::new(settings.clone(), Arc::clone(functions)))
        }
        _ => registry,
    })
}
