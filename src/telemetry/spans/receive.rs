//! The span of a claim that took jobs, and what ties their attempts to it.
//!
//! It belongs to none of their traces, since it takes many jobs at once before any of them begins. It begins a trace
//! of its own and links to theirs; an attempt links back.

use super::{
    Tracer,
    messages::{self, Operation},
    open::Open,
};
use crate::{
    job::{ClaimedJob, QueueName, Received},
    telemetry::Origin,
};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use std::{sync::Arc, time::Duration};

/// Most traces that one claim links to.
pub(super) const LINKS_MAX: usize = 32;

impl Tracer {
    /// A claim took these jobs and so long. One that took nothing is nothing to tell of.
    pub fn received(&self, queue: &QueueName, jobs: &mut [ClaimedJob], took: Duration) {
        if jobs.is_empty() {
            return;
        }
        let context = self.context_of(None, &SpanKind::Client);
        if !context.is_sampled() {
            return;
        }
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        let span = u64::from_be_bytes(context.span_id().to_bytes());
        let origins = jobs.iter().filter_map(|job| job.metadata.as_deref());
        let links = origins.filter_map(|json| super::producer(&Origin::of(Some(json))));
        let mut attributes = messages::about(Operation::Receive, queue);
        attributes.push(messages::count(jobs.len()));
        let open = Open {
            context,
            links: links.take(LINKS_MAX).collect(),
            kind: SpanKind::Client,
            name: messages::name(Operation::Receive, queue),
            attributes,
            ..Open::since(took, self.outbox.clone())
        };
        open.end([], None);
        let received = Arc::new(Received { trace, span });
        for job in jobs {
            job.received = Some(Arc::clone(&received));
        }
    }
}

/// The claim that an attempt links to, where there is a span of it.
pub(super) fn claim(job: &ClaimedJob) -> Option<SpanContext> {
    let Received { trace, span } = job.received.as_deref()?;
    let (trace, span) = (TraceId::from(*trace), SpanId::from(*span));
    Some(SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE))
}
