//! A span under way, whosever it is, what becomes of it when it ends, and what hangs below it.

use super::{CallSpan, Outbox};
use crate::telemetry::{Origin, Trace};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// A sampled span under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) context: SpanContext,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    pub(super) links: Vec<SpanContext>,
    pub(super) kind: SpanKind,
    pub(super) name: Cow<'static, str>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) began: (SystemTime, Instant),
    pub(super) outbox: Outbox,
}

impl Open {
    /// One that began so long ago; the caller says which.
    pub(super) fn since(took: Duration, outbox: Outbox) -> Self {
        let (wall, clock) = (wall_clock(), Instant::now());
        let began = clock.checked_sub(took).map(|at| (wall - took, at));
        Self { began: began.unwrap_or((wall, clock)), ..Self::now(outbox) }
    }

    /// One that begins now; the caller says which.
    pub(super) fn now(outbox: Outbox) -> Self {
        Self {
            context: SpanContext::NONE,
            parent: SpanId::INVALID,
            parent_is_remote: false,
            links: Vec::new(),
            kind: SpanKind::Internal,
            name: Cow::Borrowed(""),
            attributes: Vec::new(),
            began: (wall_clock(), Instant::now()),
            outbox,
        }
    }

    pub(super) fn end(self, learnt: impl IntoIterator<Item = KeyValue>, error: Option<&str>) {
        let (began, clock) = self.began;
        let mut attributes = self.attributes;
        attributes.extend(learnt);
        attributes.extend(error.map(|error| KeyValue::new("error.type", error.to_owned())));
        let mut links = SpanLinks::default();
        links.links = self.links.into_iter().map(Link::with_context).collect();
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

/// What is sampled of a span, until it ends. It ends once: at the latest when its owner is dropped, so that
/// whatever is ended where it stands leaves its span all the same.
#[derive(Debug)]
pub(super) struct Once(Mutex<Option<Open>>);

impl Once {
    pub(super) fn new(open: Option<Open>) -> Self {
        Self(Mutex::new(open))
    }

    /// Nothing where it isn't sampled or has ended.
    pub(super) fn end(&self, learnt: impl IntoIterator<Item = KeyValue>, error: Option<&str>) {
        // Taken first: the lock isn't held while it is put together.
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            open.end(learnt, error);
        }
    }

    /// Nobody is told of it.
    pub(super) fn forget(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.end([], Some("broken_off"));
    }
}

/// A span that others begin below.
#[derive(Debug)]
pub(super) struct Above {
    context: SpanContext,
    origin: Arc<Origin>,
    /// Absent where it isn't sampled.
    outbox: Option<Outbox>,
}

impl Above {
    /// The request and the user of this origin are told of in the span's trace.
    pub(super) fn new(
        context: SpanContext,
        origin: Option<&Origin>,
        outbox: Option<Outbox>,
    ) -> Self {
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
        Self { context, origin: Arc::new(origin), outbox }
    }

    /// What is told in the place of whoever led to it.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Where what begins below it goes; nothing where it isn't sampled.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// One that begins below it. Ids in any case, since who is called is told them; all else only where
    /// it is sampled.
    pub(super) fn call(
        &self,
        kind: SpanKind,
        about: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>),
    ) -> CallSpan {
        let (context, open) = self.below(kind, about);
        CallSpan::new(context, open)
    }

    /// The same as its parts.
    pub(super) fn below(
        &self,
        kind: SpanKind,
        about: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>),
    ) -> (SpanContext, Option<Open>) {
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
        (context, open)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a span tells people and their other spans when it was, and decides nothing"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

pub(super) fn traceparent(context: &SpanContext) -> String {
    let flags = context.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
}

pub(super) fn tracestate(context: &SpanContext) -> Option<String> {
    Some(context.trace_state().header()).filter(|state| !state.is_empty())
}
