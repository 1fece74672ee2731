//! Has what runs go by other settings: no job is lost by it, and none that runs is touched.
//!
//! A pool's kinds are replaced whole: attempts that begin from now on run by the new ones, those that
//! run end as they began. How the queues' lanes change is `lanes`.

use super::Running;
use crate::{
    config::{KindSettings, Settings},
    executor::Registry,
    handlers,
};

impl Running {
    /// Goes over from these settings to those.
    pub(in crate::daemon) fn adopt(&self, before: &Settings, after: &Settings) {
        let registry = self.handlers_of(before, after);
        let (load, kept) = self.change_lanes(after, registry);
        self.told.tell(after, load, kept);
        self.left.notify_one();
    }

    /// A handler for every kind.
    fn handlers_of(&self, before: &Settings, after: &Settings) -> Registry {
        // A handler that stays the same stays the same one, with its connections.
        let is_new = |kind: &&KindSettings| {
            let old = before.kinds.iter().find(|old| old.name == kind.name);
            old.is_none_or(|old| {
                old.handler != kind.handler || old.policy.backoff != kind.policy.backoff
            })
        };
        let new: Vec<_> = after.kinds.iter().filter(is_new).cloned().collect();
        let mut fresh = handlers::from_settings(&new, &self.metrics, &self.callbacks);
        if let Some(functions) = &self.functions {
            fresh = handlers::with_functions(fresh, &new, functions);
        }
        let old = self.lanes().registry().clone();
        after.kinds.iter().fold(Registry::default(), |registry, kind| {
            let name = kind.name.as_str();
            match fresh.get(name).or_else(|| old.get(name)) {
                Some(handler) => registry.with_shared(kind.name.clone(), handler.clone()),
                None => registry,
            }
        })
    }
}
