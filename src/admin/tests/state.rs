//! What the routes of these tests show.

use super::super::{
    access::Access,
    controls::{Controls, Held, OfFile},
    *,
};
use crate::{
    config::{self, AdminTokens, ScheduleSettings},
    job::{KindName, QueueName, ScheduleName},
    postgres::operations::Sessions,
    schedule::{CatchUp, Overlap, Rule},
    supervise::Supervisor,
    telemetry::{health::Health, metrics::Metrics},
};
use std::{sync::Arc, time::Duration};

/// One that the document's example names.
fn nightly() -> ScheduleSettings {
    ScheduleSettings {
        name: ScheduleName::new("nightly").unwrap(),
        rule: Rule::parse("0 3 * * *", "UTC").unwrap(),
        kind: KindName::new("report").unwrap(),
        queue: QueueName::default(),
        payload: "{}".into(),
        priority: 0,
        catch_up: CatchUp::Last,
        overlap: Overlap::Skip,
        jitter: Duration::ZERO,
    }
}

/// Without a database and anybody who runs, and of a file with a schedule and nothing else.
pub(super) fn state() -> AdminState {
    let metrics = Metrics::new(&config::Metrics { max_kinds: 200 });
    let (health, hosts) = (Health::new(Duration::from_mins(1)), Hosts::default());
    // No database: what asks one is told so.
    let database = config::Database { url: None, ..config::Settings::default().database };
    let configured = Configured { schedules: vec![nightly()], ..Configured::default() };
    // Streams end at once.
    metrics.feed.close();
    AdminState {
        health,
        metrics: Arc::new(metrics),
        hosts,
        access: knowing(AdminTokens::default()),
        sessions: Arc::new(Sessions::new(database, Duration::ZERO)),
        configured: tokio::sync::watch::Sender::new(configured).subscribe(),
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
        leases: Arc::default(),
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
