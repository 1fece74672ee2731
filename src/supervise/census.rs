//! The supervisor's tasks in the metrics, counted when somebody asks.

use super::Registry;
use crate::telemetry::metrics::Metrics;
use metrics::Gauge;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Handle;

/// Sets the gauges of every component that was ever seen, so that one without tasks shows 0. To be
/// called inside the runtime whose tasks they are.
pub(super) fn of(registry: Arc<Registry>) -> impl Fn(&Metrics) + Send + Sync {
    let runtime = Handle::current().metrics();
    let seen: Mutex<BTreeMap<String, Gauge>> = Mutex::default();
    move |metrics| {
        // Not counted at one moment: a task that comes or goes in between may show once.
        let alive = u32::try_from(runtime.num_alive_tasks()).unwrap_or(u32::MAX);
        let running = registry.census();
        let owned = running.values().sum();
        metrics.daemon.unsupervised_tasks.set(f64::from(alive.saturating_sub(owned)));
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        for component in running.keys().filter(|name| !seen.contains_key(*name)).collect::<Vec<_>>()
        {
            for reason in ["panic", "exit", "stalled"] {
                // Shows a component that was never started again, as 0.
                metrics.worker_restarts(component, reason).increment(0);
            }
            seen.insert(component.clone(), metrics.supervised_tasks(component));
        }
        for (component, gauge) in seen.iter() {
            gauge.set(f64::from(running.get(component).copied().unwrap_or(0)));
        }
    }
}
