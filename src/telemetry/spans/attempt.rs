//! The span of an attempt, and those that begin below it: of what it calls, and of its verdict's way into the
//! database.

use super::{
    CallSpan, Outbox,
    messages::{self, Operation},
    open::{Above, Once, Open},
};
use crate::{
    config::FunctionName,
    job::{JobId, QueueName},
    telemetry::Origin,
};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanKind},
};
use std::sync::Arc;
use url::Url;

/// A URL as far as everybody may see it: people put secrets into all that stands behind the host, and before it.
fn shown(url: &Url) -> String {
    let mut shown = url.origin().ascii_serialization();
    shown.push_str(if url.path() == "/" { "/" } else { "/REDACTED" });
    shown.push_str(url.query().map_or("", |_| "?REDACTED"));
    shown
}

/// The span of one attempt.
#[derive(Debug)]
pub struct AttemptSpan {
    above: Above,
    open: Once,
}

impl AttemptSpan {
    pub(super) fn new(context: SpanContext, origin: Option<&Origin>, open: Option<Open>) -> Self {
        let outbox = open.as_ref().map(|open| open.outbox.clone());
        Self { above: Above::new(context, origin, outbox), open: Once::new(open) }
    }

    /// What handlers and log lines are told instead of the producer's: below this span.
    pub fn origin(&self) -> &Arc<Origin> {
        self.above.origin()
    }

    /// The attempt is over, and this is what became of the job; `error` where it failed.
    pub fn ended(&self, outcome: &'static str, error: Option<&str>) {
        self.open.end([KeyValue::new("legwork.job.outcome", outcome)], error);
    }

    /// A request to this URL begins.
    pub fn request(&self, url: &Url) -> CallSpan {
        self.above.call(SpanKind::Client, || {
            let host = url.host_str().unwrap_or_default();
            let port = url.port_or_known_default();
            let mut about = vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("url.full", shown(url)),
                KeyValue::new("url.scheme", url.scheme().to_owned()),
                KeyValue::new("server.address", host.to_owned()),
            ];
            about.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
            ("POST".into(), about)
        })
    }

    /// This program begins; of its path only the name is told.
    pub fn program(&self, path: &str) -> CallSpan {
        self.above.call(SpanKind::Internal, || {
            let name = path.rsplit('/').next().unwrap_or_default();
            let about = vec![KeyValue::new("process.executable.name", name.to_owned())];
            (format!("exec {name}").into(), about)
        })
    }

    /// This function of the database is called.
    pub fn function(&self, function: &FunctionName) -> CallSpan {
        self.above.call(SpanKind::Client, || {
            let summary = format!("SELECT {function}");
            let mut about = vec![
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.operation.name", "SELECT"),
                KeyValue::new("db.query.summary", summary.clone()),
                KeyValue::new("db.stored_procedure.name", function.to_string()),
            ];
            about.extend(self.above.outbox().and_then(Outbox::namespace));
            (summary.into(), about)
        })
    }

    /// The verdict waits to be written; nothing where the attempt isn't sampled, since nobody is told of
    /// this span.
    pub fn settling(&self, queue: &QueueName, job: JobId) -> Option<Arc<CallSpan>> {
        self.above.outbox()?;
        let span = self.above.call(SpanKind::Client, || {
            let mut about = messages::about(Operation::Settle, queue);
            about.push(KeyValue::new("messaging.message.id", job.to_string()));
            (messages::name(Operation::Settle, queue), about)
        });
        Some(Arc::new(span))
    }
}
