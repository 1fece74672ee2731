//! Spans that haven't ended: an attempt's, and those of its requests.
//!
//! Each ends once, at the latest when it is dropped: an attempt that is ended where it stands leaves its
//! span all the same.

use super::Outbox;
use crate::telemetry::{Origin, Trace};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::time::Instant;

/// A sampled span under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) context: SpanContext,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) link: Option<SpanContext>,
    pub(super) kind: SpanKind,
    pub(super) name: Cow<'static, str>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) began: (SystemTime, Instant),
    pub(super) outbox: Outbox,
}

impl Open {
    /// One that begins now; the caller says which.
    pub(super) fn now(outbox: Outbox) -> Self {
        Self {
            context: SpanContext::NONE,
            parent: SpanId::INVALID,
            parent_is_remote: false,
            link: None,
            kind: SpanKind::Internal,
            name: Cow::Borrowed(""),
            attributes: Vec::new(),
            began: (wall_clock(), Instant::now()),
            outbox,
        }
    }

    fn end(self, learnt: impl IntoIterator<Item = KeyValue>, error: Option<&str>) {
        let (began, clock) = self.began;
        let mut attributes = self.attributes;
        attributes.extend(learnt);
        attributes.extend(error.map(|error| KeyValue::new("error.type", error.to_owned())));
        let mut links = SpanLinks::default();
        links.links.extend(self.link.map(Link::with_context));
        self.outbox.put(SpanData {
            span_context: self.context,
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: began,
            // By the monotonic clock, so that no span ends before it began.
            end_time: began + clock.elapsed(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: if error.is_some() { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::builder("legwork").build(),
        });
    }
}

/// The span of one attempt.
#[derive(Debug)]
pub struct AttemptSpan {
    context: SpanContext,
    origin: Arc<Origin>,
    outbox: Option<Outbox>,
    open: Mutex<Option<Open>>,
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
        Self { context, origin: Arc::new(origin), outbox, open: Mutex::new(open) }
    }

    /// What handlers and log lines are told instead of the producer's: below this span.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The attempt is over, and this is what became of the job; `error` where it failed.
    pub fn ended(&self, outcome: &'static str, error: Option<&str>) {
        if let Some(open) = self.take() {
            open.end([KeyValue::new("legwork.job.outcome", outcome)], error);
        }
    }

    /// A request to this host begins, within the attempt.
    pub fn request(&self, scheme: &str, host: &str, port: Option<u16>) -> RequestSpan {
        let of = &self.context;
        let (id, state) = (RandomIdGenerator::default().new_span_id(), of.trace_state().clone());
        let context = SpanContext::new(of.trace_id(), id, of.trace_flags(), false, state);
        let about = || {
            let mut about = vec![
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("url.scheme", scheme.to_owned()),
                KeyValue::new("server.address", host.to_owned()),
            ];
            about.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
            let request = self.origin.request_id.clone();
            about.extend(request.map(|id| KeyValue::new("legwork.request_id", id)));
            about
        };
        let open = self.outbox.clone().map(|outbox| Open {
            context: context.clone(),
            parent: of.span_id(),
            kind: SpanKind::Client,
            name: Cow::Borrowed("POST"),
            attributes: about(),
            ..Open::now(outbox)
        });
        RequestSpan { context, open }
    }

    fn take(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for AttemptSpan {
    fn drop(&mut self) {
        if let Some(open) = self.take() {
            open.end([], Some("broken_off"));
        }
    }
}

/// The span of one request.
#[derive(Debug)]
pub struct RequestSpan {
    context: SpanContext,
    open: Option<Open>,
}

impl RequestSpan {
    /// What the receiver is told, so that its spans hang below this one.
    pub fn traceparent(&self) -> String {
        traceparent(&self.context)
    }

    /// What goes with it.
    pub fn tracestate(&self) -> Option<String> {
        tracestate(&self.context)
    }

    /// It was answered with this status, or not at all, and `error` says why.
    pub fn ended(&mut self, status: Option<u16>, error: Option<&str>) {
        let Some(open) = self.open.take() else { return };
        let status = status.map(|code| KeyValue::new("http.response.status_code", i64::from(code)));
        open.end(status, error);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a span tells people and their other spans when it was, and decides nothing"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn traceparent(context: &SpanContext) -> String {
    let flags = context.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

fn tracestate(context: &SpanContext) -> Option<String> {
    Some(context.trace_state().header()).filter(|state| !state.is_empty())
}
