//! Spans of attempts, of what they call and of their verdicts, for a collector that speaks OTLP.
//!
//! Without an endpoint there is no [`Tracer`], and an attempt costs nothing more. With one, an attempt
//! has a span whether it is sampled or not: what it calls is told the same decision. A sampled span goes
//! into a bounded queue when it ends; one that finds no place is counted and gone, so that nobody waits
//! for a collector. Spans hold names, numbers and the request's id: no payload, no error text, no URL's path.

mod attempt;
mod call;
mod collector;
mod exporter;
mod open;

pub use attempt::AttemptSpan;
pub use call::CallSpan;
pub use exporter::{EXPORT_MAX, Exporter};

use super::{Origin, metrics::Metrics};
use crate::{
    config::{Otlp, Tracing},
    job::ClaimedJob,
};
use collector::Collector;
use metrics::Counter;
use open::Open;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData,
};
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Spans that may wait for the exporter: a second of 4,000 sampled attempts, a few megabytes.
pub const SPANS_MAX: usize = 4096;

/// Begins spans. Shared by `Arc`.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    parent_max_delay: Duration,
    outbox: Outbox,
}

/// Where ended spans go.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<SpanData>,
    full: Counter,
}

impl Outbox {
    fn put(&self, span: SpanData) {
        if self.sender.try_send(span).is_err() {
            self.full.increment(1);
        }
    }
}

/// Makes a tracer and what sends its spans to this collector, for the daemon of this name.
pub fn to(
    collector: &Otlp,
    settings: &Tracing,
    instance: &str,
    metrics: &Metrics,
) -> (Arc<Tracer>, Arc<Exporter>) {
    let (sender, inbox) = mpsc::channel(SPANS_MAX);
    let outbox = Outbox { sender, full: metrics.spans("queue_full") };
    let collector = Collector::new(collector, instance);
    let exporter =
        Exporter::new(collector, inbox, [metrics.spans("exported"), metrics.spans("failed")]);
    let tracer = Tracer {
        sampler: Sampler::TraceIdRatioBased(settings.sample_ratio),
        parent_max_delay: settings.parent_max_delay,
        outbox,
    };
    (Arc::new(tracer), Arc::new(exporter))
}

impl Tracer {
    /// The span of the attempt that now begins. The first of a young job stands in its producer's trace
    /// and obeys its decision; another begins a trace of its own and links to the producer's, so that a
    /// job that runs days later neither stretches that trace nor obeys a decision that is long past.
    pub fn attempt(&self, job: &ClaimedJob, origin: Option<&Origin>) -> AttemptSpan {
        let producer = origin.and_then(producer);
        let parent = producer.as_ref().filter(|_| self.is_prompt(job)).cloned();
        let link = producer.filter(|_| parent.is_none());
        let ids = RandomIdGenerator::default();
        let (trace, flags, state) = match &parent {
            Some(parent) => (parent.trace_id(), parent.trace_flags(), parent.trace_state().clone()),
            None => self.root(ids.new_trace_id()),
        };
        let flags = flags & TraceFlags::SAMPLED;
        let context = SpanContext::new(trace, ids.new_span_id(), flags, false, state);
        let open = flags.is_sampled().then(|| Open {
            context: context.clone(),
            parent: parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: parent.is_some(),
            link,
            kind: SpanKind::Consumer,
            name: format!("process {}", job.queue).into(),
            attributes: about(job, origin),
            ..Open::now(self.outbox.clone())
        });
        AttemptSpan::new(context, origin, open)
    }

    /// Whether this is how the producer meant the job to begin, and soon after it was enqueued.
    fn is_prompt(&self, job: &ClaimedJob) -> bool {
        let first = job.attempt() == 1 && job.snoozes == 0 && job.rescues == 0;
        first && job.age() < self.parent_max_delay
    }

    fn root(&self, id: TraceId) -> (TraceId, TraceFlags, TraceState) {
        let asked = self.sampler.should_sample(None, id, "", &SpanKind::Consumer, &[], &[]);
        let sampled = asked.decision == SamplingDecision::RecordAndSample;
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        (id, flags, TraceState::NONE)
    }
}

/// The span in which the job was enqueued.
fn producer(origin: &Origin) -> Option<SpanContext> {
    let trace = origin.trace?;
    let state = origin.tracestate.as_deref().and_then(|text| TraceState::from_str(text).ok());
    let flags = TraceFlags::new(trace.flags);
    Some(SpanContext::new(trace.trace_id, trace.span_id, flags, true, state.unwrap_or_default()))
}

/// OpenTelemetry's words for messages (1.44), and Legwork's own.
fn about(job: &ClaimedJob, origin: Option<&Origin>) -> Vec<KeyValue> {
    let waited = i64::try_from(job.due_for().as_millis()).unwrap_or(i64::MAX);
    let mut about = vec![
        KeyValue::new("messaging.system", "legwork"),
        KeyValue::new("messaging.operation.name", "process"),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.destination.name", job.queue.to_string()),
        KeyValue::new("messaging.message.id", job.lease.job.to_string()),
        KeyValue::new("legwork.job.kind", job.kind.to_string()),
        KeyValue::new("legwork.job.attempt", i64::from(job.attempt())),
        KeyValue::new("legwork.job.queue_wait_ms", waited),
    ];
    let request = origin.and_then(|origin| origin.request_id.clone());
    about.extend(request.map(|id| KeyValue::new("legwork.request_id", id)));
    let user = origin.and_then(|origin| origin.user_id.clone());
    about.extend(user.map(|id| KeyValue::new("legwork.user_id", id)));
    about
}

#[cfg(test)]
mod tests;
