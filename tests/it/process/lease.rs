//! Leases: given up in time when they can't be renewed, and kept when only the handlers are stuck.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use legwork::config::{
    DatabaseUrl, Environment, HandlerSettings, KindSettings, QueueSettings, Settings,
};
use legwork::daemon::{self, Ended, Signals, StartError};
use legwork::executor::{Context, Handler, HandlerFuture};
use legwork::job::{KindName, Outcome, QueueName};
use nix::sys::signal::Signal;
use sqlx::postgres::PgPool;

use super::{Configuration, HEARTBEAT, Notebook, SLACK, TTL, becomes, count, enqueue};
use crate::support::{self, Daemon, Proxy};

/// The first attempt runs until it is told to stop, and says when it has stopped.
const TELLS_OF_ITS_STOP: &str = "echo started $LEGWORK_ATTEMPT >> notes
if [ \"$LEGWORK_ATTEMPT\" = 1 ]; then
    trap 'echo stopped 1 >> notes; exit 1' TERM
    while :; do sleep 0.02; done
fi
echo ended $LEGWORK_ATTEMPT >> notes";

#[test]
fn a_daemon_that_cannot_renew_stops_its_handlers_before_another_starts_their_jobs() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let proxy = Proxy::before(&db.url()).await;
        let kinds = [notebook.kind("work", TELLS_OF_ITS_STOP, "")];
        let mut cut_off = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        let id = enqueue(&pool, "work").await;
        notebook.says("started 1").await;
        let mut other = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        other.logged("daemon.started").await;

        proxy.blackhole();
        let taken_over = becomes(&pool, id, "completed").await;
        assert_eq!((taken_over.attempt, taken_over.rescues), (2, 1));
        assert_eq!(notebook.lines(), ["started 1", "stopped 1", "started 2", "ended 2"]);
        cut_off.logged("daemon.lost").await;
        failed_and_not_recovered(&cut_off, "canceller").await;

        other.signal(Signal::SIGTERM);
        assert_eq!(other.exit(SLACK).await.code(), Some(0), "{}", other.printed());
        proxy.heal();
        let next = enqueue(&pool, "work").await;
        notebook.says("started 1").await;
        cancel(&pool, next).await;
        becomes(&pool, next, "cancelled").await;
        cut_off.signal(Signal::SIGTERM);
        assert_eq!(cut_off.exit(SLACK).await.code(), Some(0), "{}", cut_off.printed());
        pool.close().await;
    });
}

/// Sees a task's rounds fail, and none be told to have succeeded that had nothing to ask without a lease.
async fn failed_and_not_recovered(daemon: &Daemon, task: &str) {
    let of_task =
        |line: &serde_json::Value, event: &str| line["event"] == event && line["task"] == task;
    support::eventually("its rounds fail, and then one has nothing to ask", async || {
        // Its own list of tasks stands in the same log: what a round told before its pause stands above that.
        let from = daemon.lines();
        daemon.signal(Signal::SIGUSR1);
        daemon.logged_since(from, "task.listed").await;
        let lines = daemon.events();
        let mut since = lines.iter().skip_while(|line| !of_task(line, "maintenance.failed"));
        since.any(|line| of_task(line, "task.listed") && line["waits_at"] == "round.pause")
    })
    .await;
    let lines = daemon.events();
    let recovered = lines.iter().any(|line| of_task(line, "maintenance.recovered"));
    assert!(!recovered, "{}", daemon.printed());
}

/// Asks for a job's end, once it runs.
async fn cancel(pool: &PgPool, id: i64) {
    becomes(pool, id, "running").await;
    let asked = sqlx::query("SELECT legwork.cancel($1)").bind(id).execute(pool).await;
    asked.expect("a job can be cancelled");
}

/// A handler that blocks its thread, as no handler should, until it is released.
#[derive(Clone, Default)]
struct Blocking {
    threads: Arc<Mutex<HashSet<ThreadId>>>,
    released: Arc<AtomicBool>,
}

impl Blocking {
    fn blocked(&self) -> usize {
        self.threads.lock().expect("nobody panics with it").len()
    }

    fn release(&self) {
        self.released.store(true, Ordering::Release);
    }
}

impl Handler for Blocking {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async {
            let this = std::thread::current().id();
            self.threads.lock().expect("nobody panics with it").insert(this);
            while !self.released.load(Ordering::Acquire) {
                // The workload itself: a handler that blocks its thread is what the test is about.
                std::thread::sleep(Duration::from_millis(5));
            }
            Outcome::Complete { result: None }
        })
    }
}

/// A daemon within this process, on a runtime of its own with two threads.
struct Within {
    signals: Signals,
    thread: JoinHandle<Result<Ended, StartError>>,
}

impl Within {
    fn start(settings: Settings, handler: Blocking) -> Self {
        let signals = Signals::default();
        let asked = signals.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime can be built");
            let nothing: [(&str, &str); 0] = [];
            let daemon = daemon::Daemon::new(settings, Environment::of(nothing));
            let ended = runtime.block_on(daemon.with_handler(blocking(), handler).run_with(asked));
            runtime.shutdown_background();
            ended
        });
        Self { signals, thread }
    }

    async fn end(self) -> Ended {
        self.signals.stop();
        let ended = tokio::task::spawn_blocking(move || self.thread.join());
        let ended =
            ended.await.expect("joining doesn't panic").expect("the daemon's thread doesn't panic");
        ended.expect("the daemon had started")
    }
}

fn blocking() -> KindName {
    KindName::new("blocking").expect("a name")
}

/// Two queues, one for each worker thread.
const QUEUES: [&str; 2] = ["left", "right"];

fn settings(url: &str) -> Settings {
    let mut settings = Settings::default();
    settings.database.url = Some(DatabaseUrl::new(url));
    support::pooled::lead(&mut settings.database);
    settings.daemon.lease_ttl = TTL;
    settings.daemon.heartbeat_interval = HEARTBEAT;
    settings.admin.listen = None;
    let queue =
        |name| QueueSettings::new(QueueName::new(name).expect("a name"), settings.retention);
    settings.queues = QUEUES.into_iter().map(queue).collect();
    settings.kinds = vec![KindSettings::new(blocking(), HandlerSettings::Rust)];
    settings
}

#[test]
fn leases_are_kept_while_every_worker_thread_is_blocked_for_three_times_the_lease() {
    support::run(async |db| {
        let pool = db.pool().await;
        let handler = Blocking::default();
        let daemon = Within::start(settings(&db.url()), handler.clone());
        // One that would take over.
        let kinds = ["[[kind]]\nname = 'other'\nhandler = 'noop'\n".to_owned()];
        let other = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        other.logged("daemon.started").await;

        for queue in QUEUES {
            let statement = "INSERT INTO legwork.job (queue, kind) VALUES ($1, 'blocking')";
            sqlx::query(statement).bind(queue).execute(&pool).await.unwrap();
        }
        support::eventually("both threads are blocked", async || handler.blocked() == 2).await;
        let since: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(&pool)
            .await
            .unwrap();
        support::eventually("the lease was renewed for three times its length", async || {
            let statement = "SELECT max(extract(epoch FROM renewed_at))::float8
                FROM legwork.daemon WHERE kinds @> ARRAY['blocking'] AND died_at IS NULL";
            let renewed: Option<f64> =
                sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
            renewed.is_some_and(|renewed| renewed - since > 3.0 * TTL.as_secs_f64())
        })
        .await;
        handler.release();

        support::eventually("every job is done", async || {
            count(&pool, "blocking", "completed").await == 2
        })
        .await;
        let statement = "SELECT count(*) FROM legwork.jobs WHERE rescues > 0 OR attempt <> 1";
        let disturbed: i64 = sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
        assert_eq!(disturbed, 0, "every job ran once and stayed where it was");
        assert!(daemon.end().await.is_clean());
        drop(other);
        pool.close().await;
    });
}
