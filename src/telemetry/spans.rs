//! Spans of a job's way and of requests to the admin port, for a collector that speaks OTLP.
//!
//! Without an endpoint there is no [`Tracer`], and an attempt costs nothing more. With one, an attempt
//! has a span whether it is sampled or not: what it calls is told the same decision. A sampled span goes
//! into a bounded queue when it ends; one that finds no place is counted and gone, so that nobody waits
//! for a collector. Spans hold names, numbers and the request's id: no payload, no error text, no URL's path.

mod attempt;
mod call;
mod collector;
mod exporter;
mod messages;
mod open;
mod receive;
mod request;
mod sending;

pub use attempt::AttemptSpan;
pub use call::CallSpan;
pub use exporter::{EXPORT_MAX, Exporter};
pub use request::{Asked, RequestSpan, sending, sending_untraced, session, statement};
pub use sending::Sending;

use super::{Origin, metrics::Metrics};
use crate::{
    config::{Otlp, Tracing},
    job::ClaimedJob,
    outbound::Start,
};
use collector::Collector;
use messages::Operation;
use metrics::Counter;
use open::Open;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData,
};
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
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

/// Where ended spans go, and what those of statements have in common.
#[derive(Debug, Clone)]
pub(super) struct Outbox(Arc<Sink>);

#[derive(Debug)]
struct Sink {
    sender: mpsc::Sender<SpanData>,
    full: Losses,
    /// `db.namespace`: the database and our schema, where the address names the first.
    namespace: Option<String>,
}

/// Counts spans that nobody gets: by why, and all of them for the daemon's last line.
#[derive(Debug)]
struct Losses {
    why: Counter,
    all: Arc<AtomicU64>,
}

impl Losses {
    fn add(&self, spans: u64) {
        self.why.increment(spans);
        self.all.fetch_add(spans, Ordering::Relaxed);
    }
}

impl From<Counter> for Losses {
    fn from(why: Counter) -> Self {
        Self { why, all: Arc::default() }
    }
}

impl Outbox {
    fn new(
        sender: mpsc::Sender<SpanData>,
        full: impl Into<Losses>,
        database: Option<&str>,
    ) -> Self {
        let namespace = database.map(|name| format!("{name}|legwork"));
        Self(Arc::new(Sink { sender, full: full.into(), namespace }))
    }

    fn put(&self, span: SpanData) {
        if self.0.sender.try_send(span).is_err() {
            self.0.full.add(1);
        }
    }

    fn namespace(&self) -> Option<KeyValue> {
        Some(KeyValue::new("db.namespace", self.0.namespace.clone()?))
    }
}

/// Makes a tracer and what sends its spans to this collector, for the daemon of this name on this database, over
/// connections that are started so.
pub fn to(
    collector: &Otlp,
    settings: &Tracing,
    (instance, database): (&str, Option<&str>),
    metrics: &Metrics,
    start: Start,
) -> (Arc<Tracer>, Arc<Exporter>) {
    let (sender, inbox) = mpsc::channel(SPANS_MAX);
    let all = Arc::<AtomicU64>::default();
    let lost = |why| Losses { why: metrics.spans(why), all: Arc::clone(&all) };
    let outbox = Outbox::new(sender, lost("queue_full"), database);
    let collector = Collector::new(collector, instance, start);
    let exporter = Exporter::new(collector, inbox, metrics.spans("exported"), lost("failed"));
    let tracer = Tracer {
        sampler: Sampler::TraceIdRatioBased(settings.sample_ratio),
        parent_max_delay: settings.parent_max_delay,
        outbox,
    };
    (Arc::new(tracer), Arc::new(exporter))
}

impl Tracer {
    /// One that samples everything, and where its spans come out.
    #[cfg(test)]
    pub(crate) fn into_a_channel() -> (Arc<Self>, mpsc::Receiver<SpanData>) {
        let (sender, inbox) = mpsc::channel(SPANS_MAX);
        let outbox = Outbox::new(sender, Counter::noop(), None);
        let (sampler, parent_max_delay) = (Sampler::AlwaysOn, Duration::from_mins(1));
        (Arc::new(Self { sampler, parent_max_delay, outbox }), inbox)
    }

    /// The span of the attempt that now begins. The first of a young job stands in its producer's trace
    /// and obeys its decision; another begins a trace of its own and links to the producer's, so that a
    /// job that runs days later neither stretches that trace nor obeys a decision that is long past.
    pub fn attempt(&self, job: &ClaimedJob, origin: Option<&Origin>) -> AttemptSpan {
        let producer = origin.and_then(producer);
        let parent = producer.as_ref().filter(|_| self.is_prompt(job)).cloned();
        let link = producer.filter(|_| parent.is_none());
        let context = self.context_of(parent.as_ref(), &SpanKind::Consumer);
        let open = context.is_sampled().then(|| Open {
            context: context.clone(),
            parent: parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: parent.is_some(),
            links: link.into_iter().chain(receive::claim(job)).collect(),
            kind: SpanKind::Consumer,
            name: messages::name(Operation::Process, &job.queue),
            attributes: about(job, origin),
            ..Open::now(self.outbox.clone())
        });
        AttemptSpan::new(context, origin, open)
    }

    /// Whether this is how the producer meant the job to begin, and soon after it was enqueued. What was claimed before,
    /// and given back or brought back, has begun otherwise: a retry of what had ended counts attempts from 1 again.
    fn is_prompt(&self, job: &ClaimedJob) -> bool {
        job.lease.token == 1 && job.age() < self.parent_max_delay
    }

    /// The ids of a span below this one, whose decision it obeys, or of one that begins a trace.
    fn context_of(&self, parent: Option<&SpanContext>, kind: &SpanKind) -> SpanContext {
        let ids = RandomIdGenerator::default();
        let (trace, flags, state) = match parent {
            Some(parent) => (parent.trace_id(), parent.trace_flags(), parent.trace_state().clone()),
            None => self.root(ids.new_trace_id(), kind),
        };
        let flags = flags & TraceFlags::SAMPLED;
        SpanContext::new(trace, ids.new_span_id(), flags, false, state)
    }

    fn root(&self, id: TraceId, kind: &SpanKind) -> (TraceId, TraceFlags, TraceState) {
        let asked = self.sampler.should_sample(None, id, "", kind, &[], &[]);
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

/// What is told of an attempt.
fn about(job: &ClaimedJob, origin: Option<&Origin>) -> Vec<KeyValue> {
    let waited = i64::try_from(job.due_for().as_millis()).unwrap_or(i64::MAX);
    let mut about = messages::about(Operation::Process, &job.queue);
    about.extend([
        KeyValue::new("messaging.message.id", job.lease.job.to_string()),
        KeyValue::new("legwork.job.kind", job.kind.to_string()),
        KeyValue::new("legwork.job.attempt", i64::from(job.attempt())),
        KeyValue::new("legwork.job.queue_wait_ms", waited),
    ]);
    let request = origin.and_then(|origin| origin.request_id.clone());
    about.extend(request.map(|id| KeyValue::new("legwork.request_id", id)));
    let user = origin.and_then(|origin| origin.user_id.clone());
    about.extend(user.map(|id| KeyValue::new("legwork.user_id", id)));
    about
}

#[cfg(test)]
mod tests;
