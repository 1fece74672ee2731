//! The span of jobs that Legwork itself enqueues, and what their rows say of it.

use super::{
    Tracer,
    messages::{self, Operation},
    open::{Above, Once, Open},
};
use crate::{
    job::{JobId, QueueName},
    telemetry::Origin,
};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind},
};
use std::{borrow::Cow, sync::Arc};

/// Jobs on their way into the database.
#[derive(Debug)]
pub struct Sending {
    /// What their rows are to say.
    origin: Arc<Origin>,
    open: Once,
}

impl Sending {
    /// Of which no span is made.
    pub(super) fn untraced(origin: Arc<Origin>) -> Self {
        Self { origin, open: Once::new(None) }
    }

    /// Of which no span is made either, and which follow whoever asked for them.
    pub fn after(caller: Origin) -> Self {
        Self::untraced(Arc::new(caller))
    }

    /// Below a span.
    pub(super) fn below(above: &Above, queue: &QueueName) -> Self {
        let (context, open) = above.below(SpanKind::Producer, || of(queue));
        let origin = Above::new(context, Some(above.origin()), None);
        Self { origin: Arc::clone(origin.origin()), open: Once::new(open) }
    }

    /// The row's metadata with what it lacks of trace, request and user; nothing where there is none of either.
    pub fn metadata(&self, own: Option<&str>) -> Option<String> {
        self.origin.fill(own)
    }

    /// It is enqueued.
    pub fn sent(&self, job: JobId) {
        self.open.end([KeyValue::new("messaging.message.id", job.to_string())], None);
    }

    /// So many of a batch are.
    pub fn sent_together(&self, jobs: u64) {
        self.open.end([messages::count(jobs)], None);
    }

    /// They aren't: `error`, such as a SQLSTATE, says why.
    pub fn failed(&self, error: &str) {
        self.open.end([], Some(error));
    }

    /// There was nothing to be enqueued after all.
    pub fn forget(&self) {
        self.open.forget();
    }
}

impl Tracer {
    /// Jobs of this queue are about to be enqueued: below the span of whoever asked for it, or a trace begins.
    pub fn sending(&self, caller: &Origin, queue: &QueueName) -> Sending {
        let parent = super::producer(caller);
        let context = self.context_of(parent.as_ref(), &SpanKind::Producer);
        let open = context.is_sampled().then(|| {
            let (name, attributes) = of(queue);
            let kind = SpanKind::Producer;
            Open {
                context: context.clone(),
                parent: parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
                parent_is_remote: parent.is_some(),
                kind,
                name,
                attributes,
                ..Open::now(self.outbox.clone())
            }
        });
        let above = Above::new(context, Some(caller), None);
        Sending { origin: Arc::clone(above.origin()), open: Once::new(open) }
    }
}

fn of(queue: &QueueName) -> (Cow<'static, str>, Vec<KeyValue>) {
    (messages::name(Operation::Send, queue), messages::about(Operation::Send, queue))
}
