//! In whose trace the command line enqueues, and its span where a collector is named.
//!
//! A program that has a span of its own tells it to those that it starts (`TRACEPARENT`), a command kind's program
//! included, so that what it enqueues by us stands below that. A collector that is slow costs a second and no job.

use crate::{
    cli::Context,
    config::Address,
    job::{JobId, QueueName},
    postgres::operations::OperationError,
    supervise,
    telemetry::{
        Origin,
        metrics::Metrics,
        spans::{self, Exporter, Sending},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the collector may take for the span of a job that is enqueued already.
const SEND_MAX: Duration = Duration::from_secs(1);

/// One job on its way.
pub(super) struct Traced {
    sending: Sending,
    exporter: Option<Arc<Exporter>>,
}

impl Traced {
    /// It is about to be enqueued into this queue.
    pub(super) fn begin(context: &Context, queue: &QueueName) -> anyhow::Result<Self> {
        let settings = crate::config::load(&context.source)?.settings;
        let text = |name| context.source.environment().text(name).map(str::to_owned);
        let caller = Origin::of_request(text("TRACEPARENT"), text("TRACESTATE"), None);
        let Some(collector) = &settings.tracing.otlp else {
            return Ok(Self { sending: Sending::after(caller), exporter: None });
        };
        let address = settings.database.url.as_ref().and_then(|url| url.read().ok());
        let names = (&*settings.daemon.name, address.as_ref().and_then(Address::database_name));
        let (tracer, exporter) = spans::to(
            collector,
            &settings.tracing,
            names,
            &Metrics::default(),
            supervise::http_client(&collector.target()),
        );
        let sending = tracer.sending(&caller, queue);
        Ok(Self { sending, exporter: Some(exporter) })
    }

    /// The row's metadata, with what it lacks.
    pub(super) fn metadata(&self, own: Option<&str>) -> Option<String> {
        self.sending.metadata(own)
    }

    /// That became of it; sends the span.
    pub(super) async fn end(self, done: &anyhow::Result<Option<JobId>>) {
        match done {
            Ok(Some(job)) => self.sending.sent(*job),
            Ok(None) => self.sending.forget(),
            Err(error) => {
                let refused =
                    error.chain().find_map(|cause| cause.downcast_ref::<OperationError>());
                let sqlstate = refused.and_then(OperationError::sqlstate);
                self.sending.failed(sqlstate.as_deref().unwrap_or("no_answer"));
            }
        }
        if let Some(exporter) = self.exporter {
            let at_once = CancellationToken::new();
            at_once.cancel();
            // What isn't taken by then is lost, as a daemon's is.
            timeout(SEND_MAX, exporter.run(at_once)).await.ok();
        }
    }
}
