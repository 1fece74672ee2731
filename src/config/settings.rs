//! The checked configuration: every value in its own type and unit.
//!
//! It can only be had from `config`'s checks or, for the library, from the defaults; what it holds
//! is immutable while the daemon runs.

mod admin;
mod http;
mod overrides;
mod tracing;

pub use admin::{Admin, AdminToken, AdminTokens};
pub use http::{CallbackSettings, CircuitSettings, HttpSettings, SigningSecret};
pub use overrides::{Overrides, QueueOverride};
pub use tracing::{Otlp, Tracing};

use super::{arguments, function::FunctionName, url::DatabaseUrl};
use crate::{
    job::{KindName, KindPolicy, QueueName, RateLimit, Retention, ScheduleName},
    schedule::{CatchUp, Overlap, Rule},
};
use std::{collections::HashMap, fmt, path::PathBuf, time::Duration};

/// Everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `[database]`
    pub database: Database,
    /// `[daemon]`
    pub daemon: Daemon,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[claim]`
    pub claim: Claim,
    /// `[complete]`
    pub complete: Complete,
    /// `[retry]`: what a kind has where it says nothing itself.
    pub retry: KindPolicy,
    /// `[retention]`
    pub retention: Retentions,
    /// `[[queue]]`, or `default` alone where the file lists none.
    pub queues: Vec<QueueSettings>,
    /// `[[kind]]`
    pub kinds: Vec<KindSettings>,
    /// `[[schedule]]`
    pub schedules: Vec<ScheduleSettings>,
    /// `[admin]`
    pub admin: Admin,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[profiling]`
    pub profiling: Profiling,
    /// `[canary]`
    pub canary: Canary,
    /// `[tracing]`
    pub tracing: Tracing,
}

/// No database was named anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no database is configured: set DATABASE_URL, or url (or url_file) under [database] in \
     legwork.toml, e.g. postgres:///app; `legwork demo` needs none"
)]
pub struct MissingUrl;

impl Settings {
    /// Where the queue is, or what to do about its absence.
    pub fn database_url(&self) -> Result<&DatabaseUrl, MissingUrl> {
        self.database.url.as_ref().ok_or(MissingUrl)
    }

    /// The queue through which a canary goes, where one goes: the first, unless another is named.
    pub fn canary_queue(&self) -> Option<&QueueName> {
        let first = || self.queues.first().map(|queue| &queue.name);
        self.canary.queue.as_ref().or_else(first).filter(|_| self.canary.enabled)
    }

    /// These, with the canary's kind among those that are served exactly if a canary goes.
    #[must_use]
    pub(crate) fn with_canary_kind(mut self) -> Self {
        self.kinds.retain(|kind| !kind.name.is_canary());
        if self.canary.enabled {
            let kind = KindSettings::new(KindName::canary(), HandlerSettings::Noop);
            self.kinds.push(kind);
        }
        self
    }

    /// Kinds whose functions can't be called because there is only a pooler. A function's attempt is ended
    /// by its process on the server, which behind a pooler may by then work for somebody else.
    pub fn kinds_without_server(&self) -> impl Iterator<Item = &KindSettings> {
        let only_a_pooler =
            self.database.pooler == Pooler::Transaction && self.database.direct_url.is_none();
        let calls = |kind: &&KindSettings| matches!(kind.handler, HandlerSettings::Sql(_));
        self.kinds.iter().filter(move |kind| only_a_pooler && calls(kind))
    }

    /// Kinds whose receivers are to call back, where there is no port to call.
    pub fn kinds_without_port(&self) -> impl Iterator<Item = &KindSettings> {
        let is_called = |kind: &&KindSettings| matches!(&kind.handler, HandlerSettings::Http(http) if http.callback.is_some());
        self.kinds.iter().filter(move |kind| self.admin.listen.is_none() && is_called(kind))
    }
}

/// Why [`Settings::kinds_without_port`] are refused.
pub(crate) const NEEDS_PORT: &str =
    "receivers call back at the admin port, and admin.listen is off";

/// Why [`Settings::kinds_without_server`] are refused.
pub(crate) const NEEDS_SERVER: &str = "sql needs database.direct_url: behind a pooler an attempt can't be \
    ended, for the server's process may by then work for somebody else";

/// What `database.url` leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// A server, or a pooler that gives a connection a session of its own.
    None,
    /// A pooler that lends the server's sessions out for a transaction each.
    Transaction,
}

/// `[database]`
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// Where the queue is. Absent only for commands that need none.
    pub url: Option<DatabaseUrl>,
    /// The server's own address, where `url` is a pooler's.
    pub direct_url: Option<DatabaseUrl>,
    /// What `url` leads to.
    pub pooler: Pooler,
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// How long one of our statements may take.
    pub statement_timeout: Duration,
    /// TCP to another host without TLS is refused unless this is set.
    pub allow_plaintext: bool,
    /// Most connections that attempts of sql kinds have at once, one each.
    pub sql_connections: u32,
}

impl Database {
    /// The same for who makes a database of its own on the server, of which the pooler knows nothing.
    #[must_use]
    pub fn past_the_pooler(mut self) -> Self {
        if self.pooler == Pooler::Transaction {
            self.url = self.direct_url.take().or(self.url);
            self.pooler = Pooler::None;
        }
        self
    }
}

/// `[daemon]`
#[derive(Debug, Clone, PartialEq)]
pub struct Daemon {
    /// For people; identity is a random boot id.
    pub name: String,
    /// How often leases are renewed.
    pub heartbeat_interval: Duration,
    /// How long a lease outlives its last renewal.
    pub lease_ttl: Duration,
    /// Threads that run tasks; 0 = one per CPU.
    pub runtime_threads: usize,
}

impl Daemon {
    /// A lease's end is kept apart from its neighbours by this part of it: once it can't be renewed,
    /// handlers have as long to stop, and others wait as long before they take the jobs.
    pub const MARGINS_PER_LEASE: u32 = 6;

    /// How long a handler may take to stop once its lease is lost, whatever grace it asks for.
    pub fn margin(&self) -> Duration {
        self.lease_ttl / Self::MARGINS_PER_LEASE
    }
}

/// `[shutdown]`
#[derive(Debug, Clone, PartialEq)]
pub struct Shutdown {
    /// How long running jobs may finish.
    pub grace: Duration,
    /// How long cancelled ones may take to stop.
    pub cancel_grace: Duration,
    /// After how long whoever stops the daemon kills it, where that is known.
    pub stop_timeout: Option<Duration>,
}

impl Shutdown {
    /// For the last verdicts, once nothing runs any more. No key: what a database that answers takes
    /// doesn't depend on the jobs, and with one that doesn't no length would do.
    pub const FLUSH: Duration = Duration::from_secs(2);
    /// For everything after that: the daemon's row, open admin requests, the last log lines.
    pub const LAST: Duration = Duration::from_secs(1);

    /// How long after it was told to stop the process is gone, whatever hangs.
    pub fn bound(&self) -> Duration {
        let handlers = self.grace.saturating_add(self.cancel_grace);
        handlers.saturating_add(Self::FLUSH + Self::LAST)
    }
}

/// `[claim]`
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The net under the wake-ups.
    pub poll_interval: Duration,
    /// How far polls are spread, as a share of the interval.
    pub poll_jitter: f64,
    /// Whether to listen for wake-ups.
    pub notify: bool,
    /// Most jobs that one statement claims.
    pub batch: u32,
}

/// `[complete]`
#[derive(Debug, Clone, PartialEq)]
pub struct Complete {
    /// How long a verdict may wait for company.
    pub flush_interval: Duration,
    /// How many verdicts are written at once.
    pub flush_max_rows: usize,
}

/// `[retention]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retentions {
    /// Of completed jobs.
    pub completed: Retention,
    /// Of cancelled jobs.
    pub cancelled: Retention,
    /// Of discarded jobs, and of the records of failed attempts.
    pub discarded: Retention,
}

impl Retentions {
    /// Nothing of any job.
    pub const NOTHING: Self =
        Self { completed: Retention::None, cancelled: Retention::None, discarded: Retention::None };
}

/// How long the finished jobs of each queue are kept.
pub type Kept = HashMap<QueueName, Retentions>;

/// `[[queue]]`
#[derive(Debug, Clone, PartialEq)]
pub struct QueueSettings {
    /// Its name.
    pub name: QueueName,
    /// Jobs that this daemon runs at once from it.
    pub concurrency: u32,
    /// Starts per time, per daemon.
    pub rate_limit: Option<RateLimit>,
    /// How long its finished jobs are kept.
    pub retention: Retentions,
}

/// `[[kind]]`
#[derive(Debug, Clone, PartialEq)]
pub struct KindSettings {
    /// Its name.
    pub name: KindName,
    /// What runs it.
    pub handler: HandlerSettings,
    /// Attempts, backoff, timeout.
    pub policy: KindPolicy,
    /// Starts per time, per daemon.
    pub rate_limit: Option<RateLimit>,
}

/// `handler = …` with the keys that belong to it.
#[derive(Debug, Clone, PartialEq)]
pub enum HandlerSettings {
    /// Completes at once.
    Noop,
    /// Waits for `payload.seconds`, then completes.
    Sleep,
    /// Code of the program that embeds the library; refused where none is registered.
    Rust,
    /// A program.
    Command(CommandSettings),
    /// A URL; boxed, since it is far larger than the others.
    Http(Box<HttpSettings>),
    /// A function of the database.
    Sql(SqlSettings),
}

/// The keys of `handler = "sql"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSettings {
    /// Takes the payload and returns the result, both jsonb.
    pub function: FunctionName,
    /// Whose rights it runs with; absent = the daemon's own.
    pub role: Option<String>,
}

/// The keys of `handler = "command"`.
#[derive(Clone, PartialEq)]
pub struct CommandSettings {
    /// Absolute path of the program, then its fixed arguments.
    pub command: Vec<String>,
    /// Variables that it gets, besides Legwork's own.
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// How long after TERM it is killed.
    pub kill_grace: Duration,
    /// How much of each output stream is kept, in bytes.
    pub max_output: usize,
}

impl fmt::Debug for CommandSettings {
    /// Without the variables' values, which may be secrets, and without arguments that look like some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, env, cwd, kill_grace, max_output } = self;
        let names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("CommandSettings")
            .field("command", &arguments::shown(command.iter().map(String::as_str)))
            .field("env", &names)
            .field("cwd", cwd)
            .field("kill_grace", kill_grace)
            .field("max_output", max_output)
            .finish()
    }
}

/// `[[schedule]]`
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSettings {
    /// Its name.
    pub name: ScheduleName,
    /// When it fires.
    pub rule: Rule,
    /// What is enqueued.
    pub kind: KindName,
    /// Where.
    pub queue: QueueName,
    /// With which input, as JSON text.
    pub payload: String,
    /// How urgent.
    pub priority: i16,
    /// What becomes of instants that were missed.
    pub catch_up: CatchUp,
    /// What becomes of an instant while the job before is unfinished.
    pub overlap: Overlap,
    /// Within which time of its instant a job is due.
    pub jitter: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON unless standard output is a terminal.
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Pretty,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines appear, in `tracing`'s filter syntax.
    pub filter: String,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Kinds that get a label of their own; further ones are counted as `other`.
    pub max_kinds: usize,
}

/// `[profiling]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Profiling {
    /// Whether allocations are sampled.
    pub heap: HeapProfiling,
}

/// Whether allocations are sampled, for heap profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HeapProfiling {
    /// Never.
    Off,
    /// Once somebody asks the admin port for it.
    #[default]
    Armed,
    /// From the start on.
    On,
}

/// `[canary]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Whether a job that does nothing is enqueued now and then, to see that the whole way works.
    pub enabled: bool,
    /// How often.
    pub interval: Duration,
    /// Through which queue; absent = the first.
    pub queue: Option<QueueName>,
}
