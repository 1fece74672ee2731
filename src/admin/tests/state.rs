//! What the routes of these tests show.

use super::super::{
    access::Access,
    controls::{Controls, Held, OfFile},
    *,
};
use crate::{
    config::{self, AdminTokens},
    postgres::operations::Sessions,
    supervise::Supervisor,
    telemetry::{health::Health, metrics::Metrics},
};
use std::{sync::Arc, time::Duration};

/// Without a database, a file and anybody who runs.
pub(super) fn state() -> AdminState {
    let metrics = Metrics::new(&config::Metrics { max_kinds: 200 });
    let (health, hosts) = (Health::new(Duration::from_mins(1)), Hosts::default());
    // No database: what asks one is told so.
    let database = config::Database { url: None, ..config::Settings::default().database };
    // Streams end at once.
    metrics.feed.close();
    AdminState {
        health,
        metrics: Arc::new(metrics),
        hosts,
        access: knowing(AdminTokens::default()),
        sessions: Arc::new(Sessions::new(database, Duration::ZERO)),
        configured: tokio::sync::watch::Sender::new(Configured::default()).subscribe(),
        bulk: Arc::default(),
        supervisor: Supervisor::default(),
        attempts: Arc::default(),
        controls: Controls {
            name: "a".into(),
            stop: Arc::new(|_| {}),
            configuration: None,
            filter: None,
            recent: None,
        },
        callbacks: Arc::default(),
        tracer: None,
    }
}

/// A daemon with a file that it never reads again.
pub(super) fn of_a_file() -> Controls {
    let held = tokio::sync::watch::Sender::new(Held::default()).subscribe();
    let source = config::Source::without_file(config::Environment::of([("", ""); 0]));
    let reload = Arc::new(|| tokio::sync::oneshot::channel().1);
    Controls { configuration: Some(OfFile { source, held, reload }), ..state().controls }
}

/// Whoever knows these may ask.
pub(super) fn knowing(tokens: AdminTokens) -> Access {
    Access::by(tokio::sync::watch::channel(tokens).1)
}
