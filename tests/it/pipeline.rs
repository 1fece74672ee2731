//! The whole daemon on a real Postgres: what becomes of a job, row by row.
//!
//! The daemon runs in the test's own process, through the library, with handlers that the test can
//! talk to; where a process matters it is the real binary. What stands here makes one thing each:
//! settings, a kind, a handler of a closure, a daemon that is stopped cleanly, a row's end. What a
//! single room promises on its own is tested in that room.

mod canary;
mod claims;
mod counts;
mod deaths;
mod doubt;
mod endings;
pub(crate) mod faults;
mod fences;
mod limits;
mod load;
mod requests;
mod stalls;
mod upkeep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use legwork::config::{
    DatabaseUrl, Environment, HandlerSettings, KindSettings, QueueSettings, Retentions, Settings,
};
use legwork::daemon::{Daemon, Ended, Signals, StartError};
use legwork::executor::{Context, Handler, HandlerFuture};
use legwork::job::{Backoff, KindName, Outcome, QueueName};
use sqlx::{PgPool, Row};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{self, PATIENCE, TestDb};

/// The defaults on the test's database, without an admin port.
pub(crate) fn settings(db: &TestDb) -> Settings {
    let mut settings = Settings::default();
    settings.database.url = Some(DatabaseUrl::new(db.url()));
    support::pooled::lead(&mut settings.database);
    settings.admin.listen = None;
    settings
}

pub(crate) fn name(text: &str) -> KindName {
    KindName::new(text).expect("a test's kind is a name")
}

/// A queue with the default limits.
pub(crate) fn queue(text: &str) -> QueueSettings {
    QueueSettings::new(QueueName::new(text).expect("a name"), Retentions::default())
}

/// A kind of the test's own code that waits `backoff` after a failure, each time.
pub(crate) fn kind(text: &str, backoff: Duration) -> KindSettings {
    let mut kind = KindSettings::new(name(text), HandlerSettings::Rust);
    kind.policy.backoff = Backoff::new(backoff, 1.0, backoff, 0.0).expect("a backoff");
    kind
}

/// Short enough not to be noticed.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(1);

pub(crate) fn daemon(settings: Settings) -> Daemon {
    Daemon::new(settings, Environment::of::<&str, &str>([]))
}

pub(crate) fn completed() -> Outcome {
    Outcome::Complete { result: None }
}

/// A handler that is a closure.
pub(crate) struct Handling<F>(F);

impl<F> Handler for Handling<F>
where
    F: for<'a> Fn(&'a Context) -> HandlerFuture<'a> + Send + Sync + 'static,
{
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        (self.0)(context)
    }
}

/// Ends when it may, and not when it is told to.
#[derive(Default)]
pub(crate) struct Stays {
    pub(crate) told: Arc<Notify>,
    pub(crate) may_end: Arc<Notify>,
}

impl Handler for Stays {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async {
            context.cancellation().cancelled().await;
            self.told.notify_one();
            self.may_end.notified().await;
            completed()
        })
    }

    fn stop_grace(&self) -> Duration {
        support::PATIENCE
    }
}

/// A handler that may wait.
pub(crate) fn handling<F>(work: F) -> Handling<F>
where
    F: for<'a> Fn(&'a Context) -> HandlerFuture<'a> + Send + Sync + 'static,
{
    Handling(work)
}

/// A handler that decides at once.
pub(crate) fn deciding(
    decide: impl Fn(&Context) -> Outcome + Send + Sync + 'static,
) -> impl Handler {
    handling(move |context| {
        let outcome = decide(context);
        Box::pin(async move { outcome })
    })
}

/// A daemon that runs.
pub(crate) struct Runner {
    signals: Signals,
    task: JoinHandle<Result<Ended, StartError>>,
}

impl Runner {
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor; `stop` awaits it")]
    pub(crate) fn start(daemon: Daemon) -> Self {
        let signals = Signals::default();
        Self { task: tokio::spawn(daemon.run_with(signals.clone())), signals }
    }

    /// Stops it as TERM would; it must end cleanly.
    pub(crate) async fn stop(self) {
        let ended = self.end().await;
        assert!(ended.is_clean(), "{ended:?}");
    }

    /// Stops it as TERM would, and says how it ended.
    pub(crate) async fn end(self) -> Ended {
        self.signals.stop();
        let ended = timeout(PATIENCE, self.task).await.expect("the daemon ends in time");
        ended.expect("it doesn't panic").expect("it had started")
    }
}

/// What history says of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) outcome: String,
    pub(crate) reason: Option<String>,
    pub(crate) attempt: i16,
    pub(crate) snoozes: i16,
    pub(crate) result: Option<String>,
    /// `attempt cause: error` of each failed attempt, in order.
    pub(crate) failures: Vec<String>,
}

/// Waits for a job's end.
pub(crate) async fn history(pool: &PgPool, id: i64) -> History {
    const LOOK: &str = "
        SELECT outcome::text, reason, attempt, snoozes, result::text, ARRAY(
            SELECT format('%s %s: %s', a.attempt, a.cause, a.error)
            FROM legwork.failed_attempt a WHERE a.job_id = f.id ORDER BY a.token) AS failures
        FROM legwork.finished f WHERE id = $1";
    let look =
        async || sqlx::query(LOOK).bind(id).fetch_optional(pool).await.expect("Postgres answers");
    let row = awaited(&format!("job {id} is in history"), look).await;
    History {
        outcome: row.get(0),
        reason: row.get(1),
        attempt: row.get(2),
        snoozes: row.get(3),
        result: row.get(4),
        failures: row.get(5),
    }
}

/// Waits until there is something, and gives it.
pub(crate) async fn awaited<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let mut found = None;
    support::eventually(what, async || {
        found = look().await;
        found.is_some()
    })
    .await;
    found.expect("it was found")
}

/// Inserts a job of this kind and gives its id.
pub(crate) async fn insert(pool: &PgPool, kind: &str) -> i64 {
    let insert = sqlx::query_scalar("INSERT INTO legwork.job (kind) VALUES ($1) RETURNING id");
    insert.bind(kind).fetch_one(pool).await.expect("Postgres answers")
}

/// Runs one statement that gives one value.
pub(crate) async fn value<T>(pool: &PgPool, statement: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(statement).fetch_one(pool).await.expect("Postgres answers")
}

/// Waits until no unfinished job is left.
pub(crate) async fn drained(pool: &PgPool) {
    support::eventually("no unfinished job is left", async || {
        value::<bool>(pool, "SELECT NOT EXISTS (SELECT FROM legwork.job)").await
    })
    .await;
}
