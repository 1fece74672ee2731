//! Loops that stand still on a real Postgres: what their watchdog leaves alone, what it ends, and that
//! nothing is lost with what it ends.
//!
//! Where a loop is to stand still, a trigger keeps its statement until the test lets it go: a wait for a
//! lock would be ended by the server. The loop's limit is far shorter than its statements' deadline,
//! which no limit of a daemon is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use legwork::claimer::{Bell, ClaimRequest, ClaimSource};
use legwork::completer::{Completer, Links, verdict_channel};
use legwork::config::Settings;
use legwork::job::Verdict;
use legwork::maintenance::{Promoter, every};
use legwork::postgres::{Held, PostgresClaims, PostgresOutcomes, RunTime, Upkeep};
use legwork::supervise::{ExitPolicy, Supervisor};
use legwork::telemetry::{
    health::{Check, Health},
    metrics::Metrics,
};
use sqlx::{Executor, PgPool};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::fences::{claim, connector, register, request, settled};
use super::{history, insert, value};
use crate::support;

const LIMIT: Duration = Duration::from_millis(300);

/// Keeps each statement that changes a job, with the locks that it has, until there is a row in `gone`. It
/// waits for that fact; the sleep is only between two looks, and by it the statement is known as kept.
const KEEPER: &str = "
    CREATE TABLE public.gone (at timestamptz);
    CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        WHILE NOT EXISTS (SELECT FROM public.gone) LOOP PERFORM pg_sleep(0.01); END LOOP;
        RETURN coalesce(NEW, OLD);
    END $f$;
    CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON legwork.job FOR EACH ROW EXECUTE FUNCTION public.keep()";

async fn keep_statements(pool: &PgPool) {
    pool.execute(sqlx::raw_sql(KEEPER)).await.expect("Postgres answers");
}

async fn let_them_go(pool: &PgPool) {
    pool.execute("INSERT INTO public.gone VALUES (now())").await.expect("Postgres answers");
}

/// How many statements of ours are kept.
const KEPT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'legwork %' AND state = 'active' AND wait_event = 'PgSleep'";

async fn waits(pool: &PgPool) {
    support::eventually("a statement is kept", async || value::<i64>(pool, KEPT).await > 0).await;
}

/// Drops a claim while its statement is kept, and waits until it has taken its job: the server knows
/// nothing of the drop, and does what it was asked for.
async fn taken_by_a_claim_that_was_dropped(
    claims: &PostgresClaims,
    request: &ClaimRequest,
    pool: &PgPool,
) {
    let mut dropped = Box::pin(claims.claim(request));
    support::eventually("the claim is kept", async || {
        assert!(dropped.as_mut().now_or_never().is_none(), "it isn't let go");
        value::<i64>(pool, KEPT).await > 0
    })
    .await;
    drop(dropped);
    let_them_go(pool).await;
    let taken = "SELECT EXISTS (SELECT FROM legwork.job WHERE holder IS NOT NULL)";
    support::eventually("the claim has taken the job", async || value::<bool>(pool, taken).await)
        .await;
}

/// A supervisor, and what is told of its tasks.
struct Watched {
    supervisor: Supervisor,
    health: Arc<Health>,
    loops: Check,
    metrics: Arc<Metrics>,
}

impl Watched {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::default());
        let health = Health::new(Duration::from_secs(1));
        let loops = health.check("loops");
        Self { supervisor: Supervisor::shown_in(&metrics), health, loops, metrics }
    }

    fn restarts(&self) -> u32 {
        self.supervisor.tasks()[0].restarts
    }

    /// Why the loops aren't well.
    fn late(&self) -> Option<String> {
        self.supervisor.tell_late(&self.loops);
        self.health.checks().remove(0).failing
    }

    async fn is_started_again(&self) {
        support::eventually("its loop is started again", async || self.restarts() > 0).await;
    }

    async fn stop(self) {
        self.supervisor.abort("");
        let soon = tokio::time::Instant::now() + support::PATIENCE;
        assert!(self.supervisor.ended("", soon).await);
    }
}

#[test]
fn a_promoter_that_stands_still_is_named_and_started_again_on_a_session_of_its_own() {
    support::run(async |db| {
        let (pool, watched) = (db.pool().await, Watched::new());
        let due = "INSERT INTO legwork.job (kind, run_at, ready_at)
            VALUES ('k', now() - interval '1 s', now() - interval '1 h')";
        sqlx::query(due).execute(&pool).await.unwrap();
        keep_statements(&pool).await;
        let upkeep = Arc::new(Upkeep::new(connector(&db)));
        let promoter = Arc::new(Mutex::new(Promoter::new(Arc::clone(&upkeep), Bell::default())));
        watched.supervisor.spawn_watched("promoter", ExitPolicy::Restart, LIMIT, move || {
            let promoter = Arc::clone(&promoter);
            every("promoter", CancellationToken::new(), move || {
                let promoter = Arc::clone(&promoter);
                async move { promoter.lock().await.round().await }
            })
        });
        support::eventually("it is named", async || {
            watched.late().is_some_and(|why| why.starts_with("promoter has been in one step for"))
        })
        .await;
        watched.is_started_again().await;
        let line = "legwork_worker_restarts_total{component=\"promoter\",reason=\"stalled\"} ";
        let text = watched.metrics.render();
        assert!(text.lines().any(|l| l.starts_with(line) && !l.ends_with(" 0")), "{text}");
        // Another that waits for its turn isn't kept from the session by the one that is gone.
        support::eventually("the new one has a connection of its own", async || {
            let sessions = "SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE datname =
                current_database() AND application_name = 'legwork maintenance'";
            value::<i64>(&pool, sessions).await > 1
        })
        .await;
        let_them_go(&pool).await;
        support::eventually("what is due is in line", async || {
            value::<bool>(&pool, "SELECT run_at <= ready_at FROM legwork.job").await
        })
        .await;
        support::eventually("all is well again", async || watched.late().is_none()).await;
        watched.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_statement_that_waits_for_a_lock_is_ended_by_its_deadline_and_not_by_the_watchdog() {
    support::run(async |db| {
        let (pool, watched) = (db.pool().await, Watched::new());
        let mut settings = support::pooled::database(&db.url());
        settings.connect_timeout = Duration::from_millis(500);
        settings.statement_timeout = settings.connect_timeout;
        // As a daemon's are: longer than either, with room for a machine that is busy.
        let limit = settings.statement_timeout * 4;
        let connector = support::pooled::connector_of(&settings);
        let upkeep = Arc::new(Upkeep::new(connector));
        let (failed, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (Arc::clone(&failed), Arc::clone(&done));
        let mut locked = pool.begin().await.unwrap();
        locked.execute("LOCK TABLE legwork.job").await.unwrap();
        watched.supervisor.spawn_watched("promoter", ExitPolicy::Restart, limit, move || {
            let (upkeep, (failed, done)) = (Arc::clone(&upkeep), counts.clone());
            async move {
                loop {
                    match upkeep.next_due(RunTime(0.0)).await {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(_) => failed.fetch_add(1, Ordering::Relaxed),
                    };
                }
            }
        });
        // Longer together than one step may take until its loop is started again, 7 s.
        support::eventually("sixteen statements have missed their deadline", async || {
            assert_eq!(watched.late(), None);
            failed.load(Ordering::Relaxed) >= 16
        })
        .await;
        locked.rollback().await.unwrap();
        let answered = async || done.load(Ordering::Relaxed) > 0;
        support::eventually("statements are answered again", answered).await;
        assert_eq!(watched.restarts(), 0);
        watched.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_completer_that_is_ended_within_a_flush_loses_no_verdict_and_takes_none_for_late() {
    support::run(async |db| {
        let (pool, watched) = (db.pool().await, Watched::new());
        register(&pool).await;
        let id = insert(&pool, "fenced").await;
        let held = Arc::new(Held::default());
        let claims = PostgresClaims::new(connector(&db), Arc::clone(&held));
        let sink = PostgresOutcomes::new(connector(&db), Arc::clone(&held));
        let job = claim(&claims).await;
        keep_statements(&pool).await;

        let (verdicts, inbox) = verdict_channel();
        let links = Links {
            metrics: Arc::clone(&watched.metrics),
            check: watched.health.check("flush"),
            came_back: Arc::new(|| {}),
            is_ours: Arc::new(|_| true),
            late: Arc::new(|_| {}),
        };
        let settings =
            (Settings::default().complete, tokio::sync::watch::Sender::default().subscribe());
        let completer = Arc::new(Completer::new(sink, inbox, settings, links));
        watched.supervisor.spawn_watched("completer", ExitPolicy::Restart, LIMIT, move || {
            Arc::clone(&completer).run()
        });
        verdicts.settle(settled(&job, Verdict::Complete { result: None }), ()).await;
        waits(&pool).await;
        watched.is_started_again().await;
        // The server knows nothing of the end, and does what it was asked for, while the one after it
        // finds the row locked.
        let_them_go(&pool).await;

        assert_eq!(history(&pool, id).await.outcome, "completed");
        support::eventually("nothing is held any more", async || held.jobs().is_empty()).await;
        support::eventually("the loop waits for more", async || watched.late().is_none()).await;
        let text = watched.metrics.render();
        let late = |line: &&str| line.starts_with("legwork_late_results_total{");
        assert!(text.lines().filter(late).all(|line| line.ends_with(" 0")), "{text}");
        watched.stop().await;
        drop(claims);
        pool.close().await;
    });
}

#[test]
fn what_a_claim_took_whose_claimer_was_ended_is_given_back_and_claimed_again() {
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let claims = PostgresClaims::new(connector(&db), Arc::default());
        assert!(claims.claim(&request()).await.expect("it is answered").is_empty());
        insert(&pool, "fenced").await;
        keep_statements(&pool).await;
        let request = request();
        taken_by_a_claim_that_was_dropped(&claims, &request, &pool).await;
        assert_eq!(claim(&claims).await.lease.token, 2, "the second claim of it");
        drop(claims);
        pool.close().await;
    });
}

#[test]
fn a_row_of_a_lost_claim_that_somebody_holds_keeps_no_claim_waiting_and_comes_back_when_let_go() {
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let claims = PostgresClaims::new(connector(&db), Arc::default());
        insert(&pool, "fenced").await;
        keep_statements(&pool).await;
        let request = request();
        taken_by_a_claim_that_was_dropped(&claims, &request, &pool).await;
        let mut locked = pool.begin().await.unwrap();
        locked.execute("SELECT FROM legwork.job FOR SHARE").await.unwrap();
        let other = insert(&pool, "fenced").await;
        assert_eq!(claim(&claims).await.lease.job.0, other);
        locked.rollback().await.unwrap();
        // Each claim looks whether it is time to look again.
        let mut found = Vec::new();
        support::eventually("the first job is claimed again", async || {
            found = claims.claim(&request).await.expect("it is answered");
            !found.is_empty()
        })
        .await;
        assert_eq!(found[0].lease.token, 2);
        drop(claims);
        pool.close().await;
    });
}
