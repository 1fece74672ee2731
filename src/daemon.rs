//! The composition root: builds every room, starts it, and waits for the end.
//!
//! This file reads as the life of the daemon. How rooms are put together is `wiring`, how they end
//! is `shutdown`, an ordered list. Nothing imports this room but the command line.

mod builder;
mod groups;
mod lanes;
mod may_start;
mod reload;
mod shutdown;
mod signals;
mod trial;
mod wait;
mod wiring;

pub use builder::{DaemonBuilder, KindOptions, QueueOptions, TracingOptions};
pub use shutdown::Ended;
pub use signals::{Caught, Signals};
pub use trial::TrialError;

use crate::{
    admin::{self, AdminError, Bound},
    config::{Environment, HandlerSettings, KindSettings, MissingUrl, Settings, Shutdown},
    executor::{Callbacks, Handler, Registry, TypedHandler},
    handlers,
    job::KindName,
    maintenance::Stats,
    postgres::{
        ConnectError, Connector, DbError, Watch,
        migrate::{self, SchemaCheck},
        roles,
    },
    supervise::Supervisor,
    telemetry::{
        events,
        feed::Occurrence,
        health::{Health, Phase},
        logs::Losses,
        metrics::Metrics,
        systemd::{Notifier, NotifierError},
    },
};
use may_start::check_schema;
use shutdown::Budget;
use std::{net::TcpListener, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use wait::Wait;
use wiring::Running;

/// Why the daemon didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No database was named.
    #[error(transparent)]
    NoDatabase(#[from] MissingUrl),
    /// The URL can't be used, or its server not as it must be.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The admin port can't be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The schema isn't the one that this binary works with.
    #[error("{0}")]
    Schema(SchemaCheck),
    /// The schema can't be looked at.
    #[error("the schema can't be looked at")]
    CheckSchema(#[source] migrate::MigrateError),
    /// The role may not run jobs.
    #[error("the role that the daemon connects as may not run jobs")]
    Rights,
    /// What the role may do can't be looked at.
    #[error("the rights of the daemon's role can't be looked at")]
    CheckRights(#[source] DbError),
    /// What was decided for queues can't be read.
    #[error("what operators decided for queues can't be read")]
    ReadOverrides(#[source] DbError),
    /// A kind has no handler.
    #[error("[[kind]] {0:?} says handler = \"rust\", but this program registers no handler for it")]
    NoHandler(String),
    /// The service manager's socket can't be used.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// The system refused a thread.
    #[error("the heartbeat's thread can't be started")]
    Thread(#[source] std::io::Error),
    /// The process's signals can't be listened to.
    #[error("the process's signals can't be listened to")]
    Signals(#[source] std::io::Error),
}

impl StartError {
    /// The role whose rights the daemon lacks, where that is why it didn't start.
    pub fn missing_role(&self) -> Option<&'static str> {
        let forbidden = match self {
            Self::Rights => true,
            Self::CheckSchema(error) => error.missing_role().is_some(),
            _ => false,
        };
        forbidden.then_some(roles::DAEMON)
    }
}

/// A daemon that is about to run.
pub struct Daemon {
    settings: Settings,
    registry: Registry,
    environment: Environment,
    metrics: Arc<Metrics>,
    /// Attempts that are called back.
    callbacks: Arc<Callbacks>,
    once: bool,
    /// The admin port, where it was opened before the daemon was made.
    admin: Option<TcpListener>,
    /// Where the configuration is read again.
    reload: Option<reload::Reload>,
    /// Why it waits for its database.
    wait: Wait,
}

/// How often the main loop ticks, for liveness and the watchdog.
const TICK: Duration = Duration::from_secs(1);

impl Daemon {
    /// A daemon with these settings and the built-in handlers that they name.
    pub fn new(settings: Settings, environment: Environment) -> Self {
        let settings = settings.with_canary_kind();
        let metrics = Arc::new(Metrics::new(&settings.metrics));
        let callbacks = Arc::default();
        let registry = handlers::from_settings(&settings.kinds, &metrics, &callbacks);
        let (admin, reload, wait) = (None, None, Wait::default());
        let once = false;
        Self { settings, registry, environment, metrics, callbacks, once, admin, reload, wait }
    }

    /// Puts a daemon together in a program of one's own.
    pub fn builder() -> DaemonBuilder {
        DaemonBuilder::default()
    }

    /// Its metrics, for programs that show them at a port of their own.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Shows in the metrics which log lines were lost.
    #[doc(hidden)]
    #[must_use]
    pub fn with_log_losses(self, losses: Arc<Losses>) -> Self {
        self.metrics.observe_logs(losses);
        self
    }

    /// Adds a handler of the program's own for a kind.
    #[must_use]
    pub fn with_handler(mut self, kind: KindName, handler: impl Handler) -> Self {
        self.registry = self.registry.with(kind, handler);
        self
    }

    /// Adds a handler with a typed payload.
    #[must_use]
    pub fn with_typed_handler(mut self, kind: KindName, handler: impl TypedHandler) -> Self {
        self.registry = self.registry.with_typed(kind, handler);
        self
    }

    /// Puts something round every handler.
    #[must_use]
    pub(crate) fn with_each_handler(
        mut self,
        wrap: impl Fn(Arc<dyn Handler>) -> Arc<dyn Handler>,
    ) -> Self {
        self.registry = self.registry.wrapped(wrap);
        self
    }

    /// Takes these times to its end.
    #[must_use]
    pub(crate) fn with_shutdown(mut self, shutdown: Shutdown) -> Self {
        self.settings.shutdown = shutdown;
        self
    }

    /// Says why it waits for its database, while it does.
    pub(crate) fn wait(&self) -> Wait {
        self.wait.clone()
    }

    /// Ends by itself once nothing of what it serves is in line or runs.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Serves this port instead of opening `admin.listen`: for programs that have told somebody where
    /// it is already, and whom nobody may get ahead of.
    #[must_use]
    pub fn with_admin_port(mut self, open: TcpListener) -> Self {
        self.admin = Some(open);
        self
    }

    /// Runs until the process is told to stop by TERM or INT, drains, and says how it ended. A second
    /// signal ends it at once; TSTP and USR1 mean what they mean to the binary.
    ///
    /// The signals no longer end the process by themselves afterwards. A program that handles them itself
    /// calls [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<Ended, StartError> {
        let signals = Signals::default();
        let caught = Caught::install().map_err(StartError::Signals)?;
        tokio::select! {
            ended = Box::pin(self.run_with(signals.clone())) => ended,
            () = signals.clone().follow(caught) => unreachable!("signals are followed for ever"),
        }
    }

    /// Runs until this token is cancelled, drains, and says how it ended. It heeds no signal.
    ///
    /// Cancel the token rather than drop the future: a daemon that is dropped gives nothing back, and its
    /// jobs wait until their leases run out.
    pub async fn run_until(self, stop: CancellationToken) -> Result<Ended, StartError> {
        let signals = Signals::default();
        let asked = async {
            stop.cancelled().await;
            signals.stop();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = Box::pin(self.run_with(signals.clone())) => ended,
            () = asked => unreachable!("being asked to stop is no end"),
        }
    }

    /// Runs until a signal, an exit policy or, with `once`, the end of work.
    #[doc(hidden)]
    pub async fn run_with(mut self, signals: Signals) -> Result<Ended, StartError> {
        self.every_kind_has_a_handler()?;
        let connector = Connector::new(self.settings.database_url()?, &self.settings.database)?;
        let notifier = Notifier::from(
            self.environment.notify_socket().map(Into::into),
            self.environment.watchdog(std::process::id()),
        )?;
        let health = Health::new(TICK);
        let (supervisor, loops) = (Supervisor::shown_in(&self.metrics), health.check("loops"));
        let log = self.reload.as_ref().map(reload::Reload::filter);
        let look = || {
            supervisor.tell_late(&loops);
            if let Some(log) = &log {
                log.revert_when_due();
            }
        };
        // Beside the whole life: a database that is away at the start, or handlers that take their
        // time at the end, are no reason for a probe to have the daemon killed.
        tokio::select! {
            ended = self.live(&signals, &connector, &notifier, (&health, &supervisor)) => ended,
            () = beat(&health, &notifier, look) => {
                unreachable!("the beat has no end")
            }
        }
    }

    /// Starts, works and stops.
    async fn live(
        &mut self,
        signals: &Signals,
        connector: &Connector,
        notifier: &Notifier,
        (health, supervisor): (&Arc<Health>, &Supervisor),
    ) -> Result<Ended, StartError> {
        let metrics = &self.metrics;
        metrics.observe_runtime(&tokio::runtime::Handle::current());
        let (pool, schema) = (health.check("pool"), health.check("schema"));
        let bound = self.bind_admin().await?;
        let admin = bound.map(|bound| (bound, self.controls(signals)));
        let told = (health, metrics, &self.callbacks);
        let mut running = Running::new(supervisor, told, &self.settings, admin);
        let stats = Stats::new(Arc::clone(metrics), schema);

        let schema = tokio::select! {
            schema = check_schema(connector, &pool, notifier, &self.wait) => schema.map(Some),
            () = signals.asked_to_stop() => Ok(None),
        };
        let Ok(Some((found, overrides))) = schema else {
            // It held no job yet, so it leaves none.
            let ended = Ended::before_any_job(running.end_the_port(signals).await);
            schema?;
            return Ok(stopped(ended));
        };
        stats.saw_schema(found);
        let connector = connector.clone().watched(Watch::new(Arc::clone(metrics), pool));
        // From now on only who runs them holds them: one that a reload replaces is to go.
        let handlers = std::mem::take(&mut self.registry);
        // Who is told to end meanwhile is never ready, and ends as any other.
        if running.start((self, handlers), &connector, stats, (overrides, signals)).await? {
            self.say_that_it_is_up(&connector, notifier, health);
        }
        let mut holding = self.settings.clone();
        let why = self.until_the_end(signals, &running, (&mut holding, notifier)).await;
        let budget = Budget::new(&self.settings.shutdown, Instant::now());
        tracing::info!(event = events::SHUTDOWN_PHASE, phase = "begin", reason = %why, "stopping");
        notifier.stopping(budget.left(Instant::now()));
        let held = (holding, running.tokens());
        let down = Box::pin(running.shut_down(budget, signals));
        let mut ended = self.until_down(down, signals, held).await;
        ended.failed = why.failed();
        Ok(stopped(ended))
    }

    /// Waits until something ends the daemon; says what.
    async fn until_the_end(
        &self,
        signals: &Signals,
        running: &Running,
        (holding, notifier): (&mut Settings, &Notifier),
    ) -> Why {
        let listing = async {
            loop {
                signals.asked_to_list().await;
                running.list();
            }
        };
        tokio::select! {
            () = listing => unreachable!("listing has no end"),
            () = self.reload_when_asked(signals, running, (holding, notifier)) => {
                unreachable!("being asked to reload has no end")
            }
            () = running.quiet_after(signals) => unreachable!("quiet is no end"),
            () = running.close_lanes() => unreachable!("queues may always leave"),
            () = signals.asked_to_stop() => Why::Signal,
            task = running.failure() => Why::Failure(task),
            () = running.idle(), if self.once => Why::Drained,
        }
    }

    fn say_that_it_is_up(&self, connector: &Connector, notifier: &Notifier, health: &Health) {
        health.enter(Phase::Ready);
        self.metrics.feed.tell(|| Occurrence::Daemon("daemon.ready"));
        notifier.ready();
        tracing::info!(
            event = events::DAEMON_STARTED,
            database = connector.place(),
            daemon.name = self.settings.daemon.name,
            "the daemon is up"
        );
        self.say_what_a_pooler_costs(connector.reaches_server(), health);
    }

    fn say_what_a_pooler_costs(&self, reaches_server: bool, health: &Health) {
        if self.settings.claim.notify && !reaches_server {
            let why = "there is only a pooler and no direct_url: jobs are found by polling";
            health.warn("listener", Some(why.into()));
            tracing::warn!(
                event = events::LISTENER_NONE,
                "there is only a pooler, and LISTEN needs a session of the server's own: jobs are \
                 found by polling; set direct_url under [database]"
            );
        }
    }

    /// Refuses a configuration with a kind that says `handler = "rust"` and has none here.
    fn every_kind_has_a_handler(&self) -> Result<(), StartError> {
        let mut rust = self.settings.kinds.iter().filter(|k| k.handler == HandlerSettings::Rust);
        match rust.find(|kind| self.registry.get(kind.name.as_str()).is_none()) {
            Some(kind) => Err(StartError::NoHandler(kind.name.to_string())),
            None => Ok(()),
        }
    }

    /// The same of another configuration: handlers of the program are those that it started with.
    fn no_kind_lacks_a_handler(&self, settings: &Settings) -> Result<(), StartError> {
        let rust = |kind: &&KindSettings| kind.handler == HandlerSettings::Rust;
        let had = |name| self.settings.kinds.iter().filter(rust).any(|had| had.name == name);
        match settings.kinds.iter().filter(rust).find(|kind| !had(kind.name.clone())) {
            Some(kind) => Err(StartError::NoHandler(kind.name.to_string())),
            None => Ok(()),
        }
    }

    async fn bind_admin(&self) -> Result<Option<Bound>, AdminError> {
        match (&self.admin, self.settings.admin.listen) {
            (Some(open), _) => {
                open.try_clone().map_err(AdminError::Adopt).and_then(admin::adopt).map(Some)
            }
            (None, Some(listen)) => admin::bind(listen).await.map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Why a daemon ends.
enum Why {
    Signal,
    /// A task that it can't go on without.
    Failure(String),
    Drained,
}

impl Why {
    fn failed(self) -> Option<String> {
        match self {
            Self::Failure(task) => Some(task),
            Self::Signal | Self::Drained => None,
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal => f.write_str("signal"),
            Self::Failure(task) => write!(f, "task {task} failed"),
            Self::Drained => f.write_str("nothing left to do"),
        }
    }
}

/// Ticks for liveness, and for systemd's watchdog as long as the daemon counts as alive; and has every
/// other loop looked at.
async fn beat(health: &Health, notifier: &Notifier, look: impl Fn()) {
    loop {
        health.tick();
        look();
        if health.dead().is_none() {
            notifier.watchdog();
        }
        sleep(TICK.min(notifier.watchdog_interval().unwrap_or(TICK))).await;
    }
}

/// The last line of a daemon's life.
fn stopped(ended: Ended) -> Ended {
    tracing::info!(
        event = events::DAEMON_STOPPED,
        orphans = ended.orphans.len(),
        cut_short = ended.cut_short,
        clean = ended.is_clean(),
        spans_lost = ended.spans_lost,
        "the daemon has stopped"
    );
    ended
}
