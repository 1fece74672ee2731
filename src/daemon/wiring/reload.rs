//! Has what runs go by other settings: no job is lost by it, and none that runs is touched.
//!
//! A pool's kinds are replaced whole: attempts that begin from now on run by the new ones, those that
//! run end as they began. How the queues' lanes change is `lanes`.

use super::Running;
use crate::{
    config::{AdminTokens, KindSettings, Overrides, Settings},
    executor::Registry,
    handlers,
};
use tokio::sync::watch;

impl Running {
    /// Goes over from these settings to those; what operators decided goes before what they say of queues.
    pub(in crate::daemon) async fn adopt(
        &self,
        before: &Settings,
        after: &Settings,
        overrides: &Overrides,
    ) {
        let registry = self.handlers_of(before, after);
        let (load, kept) = self.change_lanes(&after.with_overrides(overrides), registry).await;
        self.told.tell(after, load, kept);
        self.left.notify_one();
    }

    /// Who may ask the admin port.
    pub(in crate::daemon) fn tokens(&self) -> watch::Sender<AdminTokens> {
        self.told.tokens.clone()
    }

    /// What operators had decided when the lanes were opened, and what they decide since.
    pub(in crate::daemon) fn overrides(&self) -> (Overrides, watch::Receiver<Overrides>) {
        let mut decided = self.told.overrides.subscribe();
        // Something may have come meanwhile.
        decided.mark_changed();
        (self.began_with.clone(), decided)
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
