//! The task that sends spans, where the configuration names a collector.

use super::{ExitPolicy, Running, Settings, WaitPoint, at, spans, steps, supervise};
use std::sync::Arc;

impl Running {
    /// Without a collector there is neither a task nor a span.
    pub(super) fn start_exporter(&mut self, settings: &Settings) {
        let tracing = &settings.tracing;
        let Some(collector) = &tracing.otlp else { return };
        let name = &settings.daemon.name;
        let (tracer, exporter) = spans::to(collector, tracing, name, &self.metrics);
        self.tracer = Some(tracer);
        let (stop, limit) = (self.stop_exporter.clone(), steps::OF_EXPORTER);
        self.supervisor.spawn_watched("exporter", ExitPolicy::Restart, limit, move || {
            let (exporter, stop) = (Arc::clone(&exporter), stop.clone());
            async move { at(WaitPoint::Exporter, exporter.run(stop, supervise::step)).await }
        });
    }

    /// Whether there is something to be sent at the end.
    pub(in crate::daemon) fn makes_spans(&self) -> bool {
        self.tracer.is_some()
    }
}
