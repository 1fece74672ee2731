//! What the daemon's own sessions say of themselves: whether each is up, how long its statements
//! take, and how they fail.
//!
//! It exists so that a session that is down shows in a metric, a log line and a reason of readiness
//! by itself, whoever uses it. It never asks the database, and it doesn't repeat an error's text:
//! that is told by the room whose statement failed.

use super::DbError;
use crate::telemetry::{
    events,
    health::Check,
    metrics::{self, DbOperation, Metrics},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The sessions of one daemon. Those that nobody has needed yet count as well.
#[derive(Debug)]
pub struct Watch {
    metrics: Arc<Metrics>,
    check: Check,
    /// The sessions that are down. Locked when one of them goes or comes back.
    down: Mutex<BTreeSet<&'static str>>,
}

impl Watch {
    /// Reports to the metrics, and to one check of readiness for all sessions together.
    pub fn new(metrics: Arc<Metrics>, check: Check) -> Arc<Self> {
        Arc::new(Self { metrics, check, down: Mutex::default() })
    }

    fn say(&self, role: &'static str, up: bool) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if up {
            down.remove(role);
        } else {
            down.insert(role);
        }
        if down.is_empty() {
            self.check.ok();
        } else {
            let roles: Vec<_> = down.iter().copied().collect();
            self.check.failing(format!("down: {}", roles.join(", ")));
        }
    }
}

/// One session's reporter.
pub(super) struct Reporter {
    watch: Arc<Watch>,
    role: &'static str,
    session: metrics::Session,
    /// One for each statement that was ever sent; a role has a few.
    operations: Vec<(&'static str, DbOperation)>,
    /// Nothing until the session was first needed.
    up: Option<bool>,
}

impl Reporter {
    pub(super) fn new(watch: Arc<Watch>, role: &'static str) -> Self {
        let session = watch.metrics.session(role);
        Self { watch, role, session, operations: Vec::new(), up: None }
    }

    /// A connection was tried for.
    pub(super) fn connected(&mut self, took: Duration, error: Option<&DbError>) {
        self.record("connect", took, error);
        if error.is_some() {
            self.goes(false);
        }
    }

    /// A statement ended; `kept` says whether its connection can be used again.
    pub(super) fn answered(
        &mut self,
        operation: &'static str,
        took: Duration,
        error: Option<&DbError>,
        kept: bool,
    ) {
        self.record(operation, took, error);
        match (error, kept) {
            // Only an answer counts: a server that has become read-only takes connections gladly.
            (None, _) => self.goes(true),
            (Some(_), false) => self.goes(false),
            (Some(_), true) => {}
        }
    }

    fn record(&mut self, operation: &'static str, took: Duration, error: Option<&DbError>) {
        if let Some(error) = error {
            return self.watch.metrics.db_failed(operation, &error.class(), took);
        }
        if let Some((_, known)) = self.operations.iter().find(|(name, _)| *name == operation) {
            return known.succeeded(took);
        }
        let handle = self.watch.metrics.db_operation(operation);
        handle.succeeded(took);
        self.operations.push((operation, handle));
    }

    fn goes(&mut self, up: bool) {
        if self.up.replace(up) == Some(up) {
            return;
        }
        if up {
            self.session.connected();
            tracing::info!(
                event = events::DATABASE_CONNECTED,
                session = self.role,
                "a database session is up"
            );
        } else {
            self.session.connecting();
            tracing::warn!(
                event = events::DATABASE_LOST,
                session = self.role,
                "a database session is down; it connects again"
            );
        }
        self.watch.say(self.role, up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::health::Health;

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn readiness_names_the_sessions_that_are_down_until_each_has_answered() {
        let health = Health::new(Duration::from_secs(1));
        let metrics = Arc::new(Metrics::default());
        let watch = Watch::new(metrics, health.check("pool"));
        let mut claim = Reporter::new(Arc::clone(&watch), "claim");
        let mut completer = Reporter::new(watch, "completer");
        let reason = || health.checks().remove(0).failing;
        claim.answered("claim", MOMENT, None, true);
        assert_eq!(reason(), None, "a session that nobody has needed yet isn't down");

        let late = DbError::Deadline(MOMENT);
        claim.answered("claim", MOMENT, Some(&late), false);
        completer.connected(MOMENT, Some(&late));
        assert_eq!(reason().as_deref(), Some("down: claim, completer"));
        claim.connected(MOMENT, None);
        assert_eq!(reason().as_deref(), Some("down: claim, completer"), "nothing was answered yet");
        claim.answered("claim", MOMENT, None, true);
        assert_eq!(reason().as_deref(), Some("down: completer"));
        completer.answered("finish", MOMENT, None, true);
        assert_eq!(reason(), None);
    }
}
