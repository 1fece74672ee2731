//! A span under way, whosever it is, and what becomes of it when it ends.

use super::Outbox;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
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

    pub(super) fn end(self, learnt: impl IntoIterator<Item = KeyValue>, error: Option<&str>) {
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
}

impl Drop for Once {
    fn drop(&mut self) {
        self.end([], Some("broken_off"));
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
