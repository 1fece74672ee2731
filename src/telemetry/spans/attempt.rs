//! The span of an attempt, and those that begin below it: of what it calls, and of its verdict's way into the
//! database.

use super::{
    CallSpan, Outbox,
    open::{Once, Open, traceparent, tracestate},
};
use crate::{
    config::FunctionName,
    job::{JobId, QueueName},
    telemetry::{Origin, Trace},
};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanKind},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::{borrow::Cow, sync::Arc};

/// The span of one attempt.
#[derive(Debug)]
pub struct AttemptSpan {
    context: SpanContext,
    origin: Arc<Origin>,
    /// Absent where it isn't sampled.
    outbox: Option<Outbox>,
    open: Once,
}

impl AttemptSpan {
    pub(super) fn new(context: SpanContext, origin: Option<&Origin>, open: Option<Open>) -> Self {
        let origin = Origin {
            trace: Some(Trace {
                trace_id: context.trace_id(),
                span_id: context.span_id(),
                flags: context.trace_flags().to_u8(),
            }),
            traceparent: Some(traceparent(&context)),
            tracestate: tracestate(&context),
            request_id: origin.and_then(|origin| origin.request_id.clone()),
            user_id: origin.and_then(|origin| origin.user_id.clone()),
        };
        let outbox = open.as_ref().map(|open| open.outbox.clone());
        Self { context, origin: Arc::new(origin), outbox, open: Once::new(open) }
    }

    /// What handlers and log lines are told instead of the producer's: below this span.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The attempt is over, and this is what became of the job; `error` where it failed.
    pub fn ended(&self, outcome: &'static str, error: Option<&str>) {
        self.open.end([KeyValue::new("legwork.job.outcome", outcome)], error);
    }

    /// A request to this host begins.
    pub fn request(&self, scheme: &str, host: &str, port: Option<u16>) -> CallSpan {
        self.call(SpanKind::Client, || {
            let mut about = vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("url.scheme", scheme.to_owned()),
                KeyValue::new("server.address", host.to_owned()),
            ];
            about.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
            ("POST".into(), about)
        })
    }

    /// This program begins; of its path only the name is told.
    pub fn program(&self, path: &str) -> CallSpan {
        self.call(SpanKind::Internal, || {
            let name = path.rsplit('/').next().unwrap_or_default();
            let about = vec![KeyValue::new("process.executable.name", name.to_owned())];
            (format!("exec {name}").into(), about)
        })
    }

    /// This function of the database is called.
    pub fn function(&self, function: &FunctionName) -> CallSpan {
        self.call(SpanKind::Client, || {
            let about = vec![
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.operation.name", "SELECT"),
                KeyValue::new("db.stored_procedure.name", function.to_string()),
            ];
            (format!("SELECT {function}").into(), about)
        })
    }

    /// The verdict waits to be written; nothing where the attempt isn't sampled, since nobody is told of
    /// this span.
    pub fn settling(&self, queue: &QueueName, job: JobId) -> Option<Arc<CallSpan>> {
        self.outbox.as_ref()?;
        let span = self.call(SpanKind::Client, || {
            let about = vec![
                KeyValue::new("messaging.system", "legwork"),
                KeyValue::new("messaging.operation.name", "settle"),
                KeyValue::new("messaging.operation.type", "settle"),
                KeyValue::new("messaging.destination.name", queue.to_string()),
                KeyValue::new("messaging.message.id", job.to_string()),
            ];
            (format!("settle {queue}").into(), about)
        });
        Some(Arc::new(span))
    }

    /// Ids in any case, since who is called is told them; all else only where it is sampled.
    fn call(
        &self,
        kind: SpanKind,
        about: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>),
    ) -> CallSpan {
        let of = &self.context;
        let (id, state) = (RandomIdGenerator::default().new_span_id(), of.trace_state().clone());
        let context = SpanContext::new(of.trace_id(), id, of.trace_flags(), false, state);
        let open = self.outbox.clone().map(|outbox| {
            let (name, mut attributes) = about();
            let request = self.origin.request_id.clone();
            attributes.extend(request.map(|id| KeyValue::new("legwork.request_id", id)));
            let (context, parent) = (context.clone(), of.span_id());
            Open { context, parent, kind, name, attributes, ..Open::now(outbox) }
        });
        CallSpan::new(context, open)
    }
}
