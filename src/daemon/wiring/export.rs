//! The task that sends spans, where the configuration names a collector.

use super::{ExitPolicy, Running, Settings, WaitPoint, at, shutdown, spans, steps, supervise};
use crate::config::Address;
use std::sync::Arc;

impl Running {
    /// Without a collector there is neither a task nor a span.
    pub(super) fn start_exporter(&mut self, settings: &Settings) {
        let tracing = &settings.tracing;
        let Some(collector) = &tracing.otlp else { return };
        let address = settings.database.url.as_ref().and_then(|url| url.read().ok());
        let database = address.as_ref().and_then(Address::database_name);
        let names = (settings.daemon.name.as_str(), database);
        let (tracer, exporter) = spans::to(
            collector,
            tracing,
            names,
            &self.metrics,
            supervise::http_client(&collector.target()),
        );
        self.tracer = Some(tracer);
        self.exporter = Some(Arc::clone(&exporter));
        let (stop, limit) = (self.stop_exporter.clone(), steps::OF_EXPORTER);
        self.supervisor.spawn_watched("exporter", ExitPolicy::Restart, limit, move || {
            let (exporter, stop) = (Arc::clone(&exporter), stop.clone());
            async move {
                while let Some(batch) = at(WaitPoint::Exporter, exporter.gathered(&stop)).await {
                    supervise::step();
                    at(WaitPoint::ExporterSend, exporter.send(batch)).await;
                    supervise::step();
                }
            }
        });
    }

    /// How many spans nobody got so far.
    pub(in crate::daemon) fn lost_spans(&self) -> u64 {
        self.exporter.as_ref().map_or(0, |exporter| exporter.lost())
    }

    /// Ends who sends, and counts what wasn't sent.
    pub(in crate::daemon) async fn give_spans_up(&self) {
        let Some(exporter) = &self.exporter else { return };
        self.supervisor.abort("exporter");
        self.supervisor.ended("exporter", shutdown::soon()).await;
        exporter.give_up();
    }

    /// Whether there is something to be sent at the end.
    pub(in crate::daemon) fn makes_spans(&self) -> bool {
        self.tracer.is_some()
    }
}
