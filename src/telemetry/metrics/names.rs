//! Whose names stand in labels, and whose no longer do.
//!
//! A queue or a kind that a reload took away is gone from the page once nobody counts under its name: what still
//! runs of it is counted to its end.

use super::{JobMetrics, QueueMetrics, registry::Registry};
use crate::job::{KindName, QueueName};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// A label and its value.
pub(super) type Label = (&'static str, String);

/// Handles by name. Invariant: at most `MAX_QUEUES` + 1 queues and `max_kinds` + 1 kinds.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) queues: HashMap<String, Arc<QueueMetrics>>,
    pub(super) kinds: HashSet<String>,
    pub(super) jobs: HashMap<(String, String), Arc<JobMetrics>>,
    /// What the configuration has.
    served: BTreeSet<Label>,
    /// What it had, and what still stands somewhere on the page.
    left: BTreeSet<Label>,
}

impl Names {
    /// The configuration has these from now on, and these values of other labels.
    pub(super) fn serve(&mut self, queues: &[&QueueName], kinds: &[&KindName], others: Vec<Label>) {
        let of = |label: &'static str, names: Vec<&str>| {
            let limiters = names.iter().map(|name| ("limiter", format!("{label}:{name}")));
            let own = names.iter().map(|name| (label, (*name).to_owned()));
            own.chain(limiters).collect::<BTreeSet<Label>>()
        };
        let queues = of("queue", queues.iter().map(|name| name.as_str()).collect());
        let mut now = &queues | &of("kind", kinds.iter().map(|name| name.as_str()).collect());
        now.extend(others);
        self.left = &(&self.left | &self.served) - &now;
        self.served = now;
    }

    /// Forgets what the configuration had, as far as nobody counts under it.
    pub(super) fn forget(&mut self, registry: &Registry) {
        let Self { queues, kinds, jobs, left, .. } = self;
        if left.is_empty() {
            return;
        }
        let is_gone = |label: &'static str, name: &str| left.contains(&(label, name.to_owned()));
        jobs.retain(|(queue, kind), handles| {
            let stays = !is_gone("queue", queue) && !is_gone("kind", kind);
            stays || Arc::strong_count(handles) > 1
        });
        queues.retain(|queue, handles| !is_gone("queue", queue) || Arc::strong_count(handles) > 1);
        let runs = |kind: &str| jobs.keys().any(|(_, of)| of == kind);
        kinds.retain(|kind| !is_gone("kind", kind) || runs(kind));
        left.retain(|(label, name)| registry.forget(label, name));
    }
}
