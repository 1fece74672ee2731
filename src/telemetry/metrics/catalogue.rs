//! Every metric there is: name, type, labels and meaning, in one table.
//!
//! `docs/metrics.md`, the golden file, alerts and dashboards are checked against it, so that a name
//! can't change unnoticed. A metric is listed when something records it, never before.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over these upper bounds.
    Histogram(&'static [f64]),
}

impl Shape {
    /// Prometheus' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// Its full name; unit and type are in it.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// Its label keys, in order.
    pub labels: &'static [&'static str],
    /// What it tells, in one line.
    pub help: &'static str,
}

/// An attempt: from a noop to a job of an hour.
const JOB_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];
/// A statement or a flush: from a cached row to a statement's deadline.
const STATEMENT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// A request of the admin port.
const HTTP_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Rows that travel in one statement.
const ROWS: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
/// Attempts of one job.
const ATTEMPTS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 10.0, 25.0];

/// Makes a constant of each line and lists them all, so that no metric can miss the catalogue.
macro_rules! catalogue {
    ($($ident:ident = $name:literal, $shape:expr, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $ident: Definition = Definition {
            name: $name, shape: $shape, labels: &[$($label),*], help: $help,
        };)*
        /// Every metric of the daemon, in the order of the document.
        pub const CATALOGUE: &[Definition] = &[$($ident),*];
    };
}

use Shape::{Counter, Gauge, Histogram};

catalogue! {
    JOBS_CLAIMED = "legwork_jobs_claimed_total", Counter, ["queue"],
        "Jobs that this daemon claimed.";
    JOBS_FINISHED = "legwork_jobs_finished_total", Counter, ["queue", "kind", "outcome"],
        "Attempts that ended, by what became of the job.";
    JOB_DURATION = "legwork_job_duration_seconds", Histogram(JOB_SECONDS), ["queue", "kind"],
        "Time that one attempt's handler ran.";
    JOB_QUEUE_WAIT = "legwork_job_queue_wait_seconds", Histogram(JOB_SECONDS), ["queue"],
        "Time from when a job was due until its attempt started.";
    JOB_ATTEMPTS = "legwork_job_attempts", Histogram(ATTEMPTS), ["queue", "kind"],
        "Number of the attempt that finished a job.";
    JOBS_IN_FLIGHT = "legwork_jobs_in_flight", Gauge, ["queue", "kind"],
        "Attempts running now in this daemon.";
    JOB_OLDEST_RUNNING = "legwork_job_oldest_running_age_seconds", Gauge, ["queue"],
        "How long the attempt that runs longest in this daemon has run; 0 when none runs.";
    JOB_PANICS = "legwork_job_panics_total", Counter, ["queue", "kind"],
        "Handler panics that were caught.";
    JOBS_ENQUEUED = "legwork_jobs_enqueued_total", Counter, ["queue", "via"],
        "Jobs that this daemon enqueued itself.";
    SCHEDULE_SKIPS = "legwork_schedule_skips_total", Counter, ["schedule", "reason"],
        "Instants of a schedule for which this daemon enqueued nothing.";
    UNSERVED_JOBS = "legwork_unserved_jobs", Gauge, [],
        "Due jobs of queues and kinds that this daemon doesn't serve, counted up to a bound.";
    QUEUE_JOBS = "legwork_queue_jobs", Gauge, ["queue", "state"],
        "Jobs that wait in the database, counted up to a bound.";
    QUEUE_OLDEST_AVAILABLE = "legwork_queue_oldest_available_age_seconds", Gauge, ["queue"],
        "How long the oldest due job has been waiting; 0 when none waits.";
    QUEUE_PAUSED = "legwork_queue_paused", Gauge, ["queue"],
        "Whether the queue is paused: 1 or 0.";
    QUEUE_STATS_AGE = "legwork_queue_stats_age_seconds", Gauge, [],
        "Age of the figures about queues in the database.";
    POLL_DURATION = "legwork_poll_duration_seconds", Histogram(STATEMENT_SECONDS),
        ["queue", "result"],
        "Duration of a claim statement.";
    POLL_BATCH = "legwork_poll_batch_jobs", Histogram(ROWS), ["queue"],
        "Jobs that one claim statement returned.";
    CHANNEL_CAPACITY = "legwork_channel_capacity", Gauge, ["queue"],
        "Most claimed jobs that may wait for a worker in this daemon.";
    CHANNEL_DEPTH = "legwork_channel_depth", Gauge, ["queue"],
        "Claimed jobs that wait for a worker in this daemon.";
    CHANNEL_SEND_WAIT = "legwork_channel_send_wait_seconds", Histogram(STATEMENT_SECONDS), ["queue"],
        "Time that a claimer waited until its dispatcher took a batch.";
    RATE_LIMIT_WAIT = "legwork_rate_limit_wait_seconds", Histogram(JOB_SECONDS), ["limiter"],
        "Time that a claimed job waited for a rate limit.";
    RATE_LIMIT_THROTTLED = "legwork_rate_limit_throttled_total", Counter, ["limiter"],
        "Starts that a rate limit held back.";
    NOTIFY_WAKEUPS = "legwork_notify_wakeups_total", Counter, ["queue", "source"],
        "What made the claimers look for work.";
    LISTENER_CONNECTED = "legwork_listener_connected", Gauge, [],
        "Whether wake-ups can arrive by LISTEN: 1 or 0.";
    FLUSH_ROWS = "legwork_flush_rows", Histogram(ROWS), ["op"],
        "Verdicts written by one statement.";
    FLUSH_DURATION = "legwork_flush_duration_seconds", Histogram(STATEMENT_SECONDS),
        ["op", "result"],
        "Duration of one statement that writes verdicts.";
    FLUSH_PENDING = "legwork_flush_pending_rows", Gauge, [],
        "Verdicts that aren't yet durable.";
    FLUSHED_VERDICTS = "legwork_flushed_verdicts_total", Counter, ["op", "result"],
        "Verdicts handed to statements, by how the statement ended.";
    WORKERS = "legwork_workers", Gauge, ["queue", "state"],
        "Workers of the pool, by what they do now.";
    WORKER_RESTARTS = "legwork_worker_restarts_total", Counter, ["component", "reason"],
        "Tasks that the supervisor started again.";
    SUPERVISED_TASKS = "legwork_supervised_tasks", Gauge, ["component"],
        "Tasks that the supervisor owns.";
    UNSUPERVISED_TASKS = "legwork_unsupervised_tasks", Gauge, [],
        "Live tasks of the runtime that the supervisor doesn't own; a steady rise is a leak.";
    CONFIG_RELOAD_OK = "legwork_config_last_reload_successful", Gauge, [],
        "Whether the configuration was right when it was last read: 1 or 0.";
    CONFIG_RELOADED_AT = "legwork_config_last_reload_success_timestamp_seconds", Gauge, [],
        "When the configuration that holds was read, in seconds since 1970.";
    RESCUES = "legwork_rescues_total", Counter, ["queue"],
        "Jobs that this daemon returned after their daemon died.";
    LATE_RESULTS = "legwork_late_results_total", Counter, ["op", "reason"],
        "Results that a fence refused because the lease was no longer ours.";
    HEARTBEAT_AGE = "legwork_heartbeat_age_seconds", Gauge, [],
        "Time since the last renewal of the leases that succeeded.";
    COMMAND_EXITS = "legwork_command_exits_total", Counter, ["kind", "code"],
        "How programs of command kinds ended.";
    HTTP_HANDLER_REQUESTS = "legwork_http_handler_requests_total", Counter,
        ["target", "status_class"],
        "Requests to receivers of http kinds, by how they ended.";
    HTTP_HANDLER_DURATION = "legwork_http_handler_duration_seconds", Histogram(JOB_SECONDS),
        ["target"],
        "Duration of a request to a receiver of http kinds, its answer's body included.";
    CIRCUIT_STATE = "legwork_circuit_state", Gauge, ["kind", "target"],
        "Whether an http kind's jobs are sent: 0 closed, all; 1 half, as many as are answered well; 2 open, none.";
    HTTP_REQUESTS = "legwork_http_requests_total", Counter, ["method", "path", "status"],
        "Requests that the admin port answered.";
    HTTP_DURATION = "legwork_http_request_duration_seconds", Histogram(HTTP_SECONDS),
        ["method", "path"],
        "Duration of a request of the admin port.";
    HTTP_IN_FLIGHT = "legwork_http_requests_in_flight", Gauge, ["method", "path"],
        "Requests that the admin port is answering now.";
    ADMIN_REFUSED = "legwork_admin_refused_total", Counter, ["reason"],
        "Requests that the admin port refused because of who asked: without a token where one is needed, with a wrong one, with one after too many wrong ones, of too small a role, by a page of another origin, or from elsewhere where there is no token.";
    ADMIN_CUT = "legwork_admin_connections_cut_total", Counter, ["reason"],
        "Connections of the admin port that it cut, or whose request it waited for no longer.";
    DB_CONNECTIONS = "legwork_db_connections", Gauge, ["role", "state"],
        "The daemon's own database sessions.";
    DB_OPERATION = "legwork_db_operation_duration_seconds", Histogram(STATEMENT_SECONDS),
        ["operation", "result"],
        "Duration of a database statement.";
    DB_ERRORS = "legwork_db_errors_total", Counter, ["operation", "sqlstate_class"],
        "Database statements that failed, by the first two characters of SQLSTATE.";
    EVENT_LOOP_LAG = "legwork_event_loop_lag_seconds", Histogram(HTTP_SECONDS), [],
        "How much later than asked a timer fires: finds code that blocks.";
    LOG_LINES_DROPPED = "legwork_log_lines_dropped_total", Counter, [],
        "Log lines lost because standard output didn't take them in time.";
    LOG_LINES_SUPPRESSED = "legwork_log_lines_suppressed_total", Counter, [],
        "Warnings and errors left out because they repeated too fast.";
    SPANS = "legwork_spans_total", Counter, ["result"],
        "Spans that ended, by what became of them: exported, failed, queue_full.";
    CANARY_LAST_SUCCESS = "legwork_canary_last_success_timestamp_seconds", Gauge, ["queue"],
        "When this daemon last completed a canary, in seconds since 1970; its start until then.";
    CANARY_ROUNDTRIP = "legwork_canary_roundtrip_seconds", Histogram(JOB_SECONDS), ["queue"],
        "Time from a canary's INSERT until its end is committed, of those that this daemon completed.";
    BUILD_INFO = "legwork_build_info", Gauge, ["version", "commit"],
        "Always 1; the labels tell what runs.";
    SCHEMA_VERSION = "legwork_schema_version", Gauge, [],
        "Version of the schema in the database.";
    SCHEMA_EXPECTED = "legwork_schema_version_expected", Gauge, [],
        "Version of the schema that this daemon was built for.";
    DRAINING = "legwork_draining", Gauge, [],
        "Whether the daemon is stopping: 1 or 0.";
    TOKIO_WORKERS = "tokio_workers", Gauge, [],
        "Threads that run tasks.";
    TOKIO_LIVE_TASKS = "tokio_live_tasks", Gauge, [],
        "Tasks that exist in the runtime.";
    TOKIO_GLOBAL_QUEUE = "tokio_global_queue_depth", Gauge, [],
        "Tasks that wait in the runtime's shared queue.";
    TOKIO_PARKS = "tokio_park_total", Counter, [],
        "How often the runtime's threads went to sleep.";
    TOKIO_BUSY = "tokio_busy_seconds_total", Counter, [],
        "Time that the runtime's threads ran tasks.";
    ALLOCATOR_ALLOCATED = "legwork_allocator_allocated_bytes", Gauge, [],
        "Memory that the daemon asked its allocator for and didn't free; without jemalloc there is none of these five.";
    ALLOCATOR_ACTIVE = "legwork_allocator_active_bytes", Gauge, [],
        "Pages with any of that: what is more than allocated is lost to fragments.";
    ALLOCATOR_RESIDENT = "legwork_allocator_resident_bytes", Gauge, [],
        "Pages that the allocator has memory for, its own and those that it will give back included.";
    ALLOCATOR_MAPPED = "legwork_allocator_mapped_bytes", Gauge, [],
        "Pages that the allocator has mapped.";
    ALLOCATOR_RETAINED = "legwork_allocator_retained_bytes", Gauge, [],
        "Addresses that the allocator keeps without memory behind them.";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [],
        "User and system CPU time of the process.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, [],
        "Resident memory of the process.";
    PROCESS_OPEN_FDS = "process_open_fds", Gauge, [],
        "Open file descriptors.";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [],
        "Most file descriptors that may be open.";
    PROCESS_START = "process_start_time_seconds", Gauge, [],
        "When the daemon started, in seconds since 1970.";
}
