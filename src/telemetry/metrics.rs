//! The daemon's metrics: one catalogue of names, and handles that are resolved once.
//!
//! A room asks for its handles when it starts and keeps them; an increment on the hot path is then
//! an atomic addition, without hashing and without allocation. Nothing is installed globally, so
//! two daemons in one process (tests, the library) count apart. Names that aren't in `catalogue`
//! can't be recorded. It doesn't serve HTTP and it asks the database nothing.

mod admin;
mod allocator;
mod canary;
mod catalogue;
mod claims;
mod daemon;
mod families;
mod job;
mod names;
mod page;
mod process;
mod queue;
mod receivers;
mod registry;
mod runtime;
mod samplers;
mod series;

pub use admin::{Cut, CutMetrics, Refusal, RefusalMetrics};
pub use catalogue::{CATALOGUE, Definition, Shape};
pub use claims::{ClaimTime, ClaimTimes};
pub use daemon::{DaemonMetrics, Freshness, Session};
pub use families::{
    CommandExit, CommandMetrics, DbOperation, FlushMetrics, InFlight, LateReason, LimiterMetrics,
    ScheduleMetrics,
};
pub use job::{AttemptEnd, JobMetrics};
pub use page::Format;
pub use queue::{PollMetrics, QueueMetrics, WakeSource};
pub use receivers::{CircuitState, HttpHandlerMetrics, RequestEnd};

use super::feed::Feed;
use crate::{
    config,
    job::{KindName, QueueName, ScheduleName},
    sys,
};
use ::metrics::Counter;
use names::Names;
use registry::Registry;
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// Queues that get a label of their own; the file's queues are far fewer, this is the fence.
pub const MAX_QUEUES: usize = 200;
/// The label of whatever found no room of its own.
pub const OTHER: &str = "other";
/// How often [`Lag`] measures the event loop.
pub const LAG_INTERVAL: Duration = Duration::from_millis(100);

/// Every metric of one daemon. Shared by `Arc`; see the room's head for how to use it.
#[derive(Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// What exists once a daemon: supervision, rescue, schema, draining.
    pub daemon: DaemonMetrics,
    /// Each claim by itself, once a benchmark has asked.
    pub claims: Arc<ClaimTimes>,
    /// What happens, for whoever listens at the moment.
    pub feed: Arc<Feed>,
    samplers: samplers::Samplers,
    runtime: runtime::Runtime,
    losses: OnceLock<Arc<crate::telemetry::logs::Losses>>,
    max_kinds: usize,
    names: Mutex<Names>,
    /// Held while a page is written for a scrape.
    scrape: tokio::sync::Mutex<()>,
}

impl Default for Metrics {
    /// As the defaults of `[metrics]` have it.
    fn default() -> Self {
        Self::new(&config::Settings::default().metrics)
    }
}

impl Metrics {
    /// An empty set of metrics.
    pub fn new(settings: &config::Metrics) -> Self {
        process::remember_start();
        let registry = Arc::<Registry>::default();
        Self {
            daemon: DaemonMetrics::new(&registry),
            claims: Arc::default(),
            feed: Arc::default(),
            samplers: samplers::Samplers::default(),
            runtime: runtime::Runtime::default(),
            losses: OnceLock::new(),
            max_kinds: settings.max_kinds,
            names: Mutex::default(),
            scrape: tokio::sync::Mutex::default(),
            registry,
        }
    }

    /// The configuration has these queues and kinds from now on, and these values of other labels. Others that it had
    /// are forgotten at the first scrape at which nobody counts under their names.
    pub fn serve(
        &self,
        queues: &[&QueueName],
        kinds: &[&KindName],
        others: Vec<(&'static str, String)>,
    ) {
        self.names().serve(queues, kinds, others);
    }

    /// The handles of a queue; queues beyond [`MAX_QUEUES`] share those of `other`.
    pub fn queue(&self, queue: &QueueName) -> Arc<QueueMetrics> {
        let mut names = self.names();
        let name = queue.as_str();
        let room = names.queues.len() < MAX_QUEUES || names.queues.contains_key(name);
        let label = if room { name } else { OTHER }.to_owned();
        let made = || Arc::new(QueueMetrics::new(&self.registry, &label, &self.claims));
        Arc::clone(names.queues.entry(label.clone()).or_insert_with(made))
    }

    /// The handles of a kind in a queue; kinds beyond `metrics.max_kinds` share those of `other`.
    ///
    /// Two lookups under a mutex: keep the handles, don't ask for them at each job.
    pub fn job(&self, queue: &QueueName, kind: &KindName) -> Arc<JobMetrics> {
        let queue = Arc::clone(&self.queue(queue).label);
        let kind = self.kind_label(kind);
        let made = || Arc::new(JobMetrics::new(&self.registry, &queue, &kind));
        let key = (queue.to_string(), kind.clone());
        Arc::clone(self.names().jobs.entry(key).or_insert_with(made))
    }

    /// The handles of the canary that goes through this queue; they exist from now on.
    pub fn canary(&self, queue: &QueueName) -> Counter {
        let canary = self.job(queue, &KindName::canary());
        canary.expect_canaries(&self.registry, &self.queue(queue).label);
        self.registry.counter(&catalogue::JOBS_ENQUEUED, &[&self.queue(queue).label, "canary"])
    }

    /// So many jobs of this queue were enqueued over HTTP.
    pub fn enqueued_over_http(&self, queue: &str, jobs: u64) {
        // Whoever enqueues names queues at will: those that nothing is told of otherwise are `other`.
        let known = self.names().queues.contains_key(queue);
        let label = if known { queue } else { OTHER };
        self.registry.counter(&catalogue::JOBS_ENQUEUED, &[label, "http"]).increment(jobs);
    }

    /// The counters of a command kind's exits.
    pub fn command(&self, kind: &KindName) -> CommandMetrics {
        CommandMetrics::new(&self.registry, &self.kind_label(kind))
    }

    /// The handles of an http kind and its receiver: scheme, host and port.
    pub fn http_handler(&self, kind: &KindName, target: &str) -> HttpHandlerMetrics {
        let label = self.kind_label(kind);
        // Those of several kinds in one would show the state of whichever was asked last.
        let own = (label == kind.as_str()).then_some(&*label);
        HttpHandlerMetrics::new(&self.registry, own, target)
    }

    /// The handles of one statement, by the name of its file.
    pub fn db_operation(&self, operation: &'static str) -> DbOperation {
        DbOperation::new(&self.registry, operation)
    }

    /// The handles of one way of writing verdicts.
    pub fn flush(&self, op: &'static str) -> FlushMetrics {
        FlushMetrics::new(&self.registry, op)
    }

    /// The handles of a limiter, named as the configuration names it.
    pub fn limiter(&self, limiter: &str) -> LimiterMetrics {
        LimiterMetrics::new(&self.registry, limiter)
    }

    /// The handles of a schedule, whose jobs go into this queue. The file has 256 at most.
    pub fn schedule(&self, schedule: &ScheduleName, queue: &QueueName) -> ScheduleMetrics {
        ScheduleMetrics::new(&self.registry, schedule.as_str(), &self.queue(queue).label)
    }

    /// Spans that ended so; without a collector there is no such series.
    pub fn spans(&self, result: &'static str) -> Counter {
        self.registry.counter(&catalogue::SPANS, &[result])
    }

    /// One of the daemon's own database sessions.
    pub fn session(&self, role: &'static str) -> Session {
        Session::new(&self.registry, role)
    }

    /// Tasks of one component that the supervisor owns.
    pub fn supervised_tasks(&self, component: &str) -> ::metrics::Gauge {
        self.registry.gauge(&catalogue::SUPERVISED_TASKS, &[component])
    }

    /// A component that was started again.
    pub fn worker_restarts(&self, component: &str, reason: &'static str) -> ::metrics::Counter {
        self.registry.counter(&catalogue::WORKER_RESTARTS, &[component, reason])
    }

    /// Has `sample` set gauges at each scrape: for what a room knows at any moment and would
    /// otherwise have to tell at each change. It reads memory only, and waits for nobody.
    pub fn at_scrape(&self, sample: impl Fn(&Self) + Send + Sync + 'static) {
        self.samplers.add(sample);
    }

    /// Takes the counters of the log writer, so that lost lines show here.
    pub fn observe_logs(&self, losses: Arc<crate::telemetry::logs::Losses>) {
        self.losses.set(losses).ok();
    }

    /// Takes the runtime that [`Metrics::render`] shows; call it once, inside that runtime.
    pub fn observe_runtime(&self, handle: &tokio::runtime::Handle) {
        self.runtime.observe(handle);
    }

    /// A page for a scrape. One is written at a time, so that any number of scrapers take no more than one of the
    /// runtime's threads from the rest.
    pub async fn scraped(&self, format: Format) -> String {
        let _turn = self.scrape.lock().await;
        self.render_as(format)
    }

    /// Everything in Prometheus' text format. Reads memory, the allocator's figures and `/proc`, nothing else.
    pub fn render(&self) -> String {
        self.render_as(Format::Text)
    }

    /// The same in either format.
    pub fn render_as(&self, format: Format) -> String {
        self.samplers.take(self);
        self.daemon.show_ages();
        if let Some(losses) = self.losses.get() {
            self.daemon.log_lines_dropped.absolute(losses.dropped());
            self.daemon.log_lines_suppressed.absolute(losses.suppressed());
        }
        self.runtime.show(&self.registry);
        allocator::show(&self.registry, sys::heap::figures());
        process::show(&self.registry);
        let page = self.registry.render(format);
        // Behind the page, which has their last counts.
        self.names().forget(&self.registry);
        page
    }

    /// What measures the event loop's lag from now on.
    pub fn lag(&self) -> Lag<'_> {
        let mut timer = interval_at(tokio::time::Instant::now() + LAG_INTERVAL, LAG_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Lag { timer, metrics: self }
    }

    fn kind_label(&self, kind: &KindName) -> String {
        let mut names = self.names();
        let name = kind.as_str();
        // The canary's own is one more, so that no other's figures are mixed with it.
        let room = names.kinds.len() < self.max_kinds || names.kinds.contains(name);
        if kind.is_canary() {
            return name.to_owned();
        }
        let label = if room { name } else { OTHER };
        names.kinds.insert(label.to_owned());
        label.to_owned()
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures how late the event loop comes to a timer.
pub struct Lag<'m> {
    timer: Interval,
    metrics: &'m Metrics,
}

impl Lag<'_> {
    /// Measures once, each [`LAG_INTERVAL`].
    pub async fn measured(&mut self) {
        let due = self.timer.tick().await;
        self.metrics.daemon.event_loop_lag.record(due.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
