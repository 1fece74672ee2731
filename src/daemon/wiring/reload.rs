//! Has what runs go by other settings, without a task that ends or a job that moves.
//!
//! A pool's kinds are replaced whole: attempts that begin from now on run by the new ones, those that
//! run end as they began. A queue's slots become more at once, or fewer as its jobs end.

use super::Running;
use crate::{
    config::{KindSettings, Settings},
    handlers,
    worker::{KindRuntime, Kinds, Pool},
};
use std::sync::Arc;

impl Running {
    /// Goes over from these settings to those. They have the same queues and kinds.
    pub(in crate::daemon) fn adopt(&self, before: &Settings, after: &Settings) {
        // A handler that stays the same stays the same one, with its connections.
        let is_new = |kind: &&KindSettings| {
            let old = before.kinds.iter().find(|old| old.name == kind.name);
            old.is_none_or(|old| {
                old.handler != kind.handler || old.policy.backoff != kind.policy.backoff
            })
        };
        let new: Vec<_> = after.kinds.iter().filter(is_new).cloned().collect();
        let fresh = handlers::from_settings(&new, &self.metrics);
        for pool in &self.pools {
            let runtime = |kind: &KindSettings| {
                let old = pool.kind(&kind.name)?;
                let handler = fresh.get(kind.name.as_str()).unwrap_or(&old.handler);
                let (handler, metrics) = (Arc::clone(handler), Arc::clone(&old.metrics));
                let runtime = KindRuntime { policy: kind.policy.clone(), handler, metrics };
                Some((kind.name.clone(), Arc::new(runtime)))
            };
            pool.replace_kinds(after.kinds.iter().filter_map(runtime).collect::<Kinds>());
            self.resize(pool, after);
        }
    }

    fn resize(&self, pool: &Pool, after: &Settings) {
        let Some(queue) = after.queues.iter().find(|queue| queue.name == *pool.queue()) else {
            return;
        };
        for (slots, ..) in self.queues.iter().filter(|(_, _, of, _)| of.name == queue.name) {
            slots.resize(queue.concurrency);
        }
        for (_, room, most) in self.rooms.iter().filter(|(of, ..)| *of == queue.name) {
            room.resize(queue.concurrency.min(*most));
        }
        pool.widen(queue.concurrency);
    }
}
