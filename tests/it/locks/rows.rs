//! One row that somebody holds, or that only the database can mend.

use std::sync::Arc;
use std::time::Duration;

use legwork::config::DatabaseUrl;
use legwork::executor::Handler;
use legwork::job::{JobError, Outcome};
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use tokio::sync::watch;

use super::{Locker, PATIENT};
use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, handling, history, insert, kind, name,
    settings, value,
};
use crate::process::{Configuration, Notebook, SLACK, becomes, count, enqueue, enqueue_many};
use crate::support::{self, Daemon, TestDb};

/// Jobs that end at one moment, and so in one flush.
const FLUSH: i64 = 101;

/// A daemon whose jobs all run until they are told to end, and end in one flush.
struct Gated {
    runner: Runner,
    gate: watch::Sender<bool>,
    ids: Vec<i64>,
}

impl Gated {
    async fn start(db: &TestDb, url: String, outcome: fn(i64) -> Outcome) -> Self {
        let pool = db.pool().await;
        let mut settings = settings(db);
        settings.database.url = Some(DatabaseUrl::new(url));
        support::pooled::lead(&mut settings.database);
        settings.kinds = vec![kind("waits", AT_ONCE), kind("passes", AT_ONCE)];
        settings.queues[0].concurrency = 200;
        settings.complete.flush_interval = Duration::from_millis(200);
        let (gate, opened) = watch::channel(false);
        let insert = "INSERT INTO legwork.job (kind, max_attempts)
            SELECT 'waits', 2 FROM generate_series(1, $1) RETURNING id";
        let ids: Vec<i64> =
            sqlx::query_scalar(insert).bind(FLUSH).fetch_all(&pool).await.expect("jobs");
        let handler = waiting(opened, outcome);
        let daemon = daemon(settings).with_handler(name("waits"), handler);
        let runner = Runner::start(daemon.with_handler(name("passes"), deciding(|_| completed())));
        support::eventually("every job runs", async || {
            let running = "SELECT count(*) FROM legwork.job WHERE holder IS NOT NULL";
            value::<i64>(&pool, running).await == FLUSH
        })
        .await;
        pool.close().await;
        Self { runner, gate, ids }
    }

    fn open(&self) {
        self.gate.send(true).expect("handlers wait for it");
    }
}

/// Waits for the gate; a job's second attempt succeeds.
fn waiting(opened: watch::Receiver<bool>, outcome: fn(i64) -> Outcome) -> impl Handler {
    let opened = Arc::new(opened);
    handling(move |context| {
        let mut opened = (*opened).clone();
        Box::pin(async move {
            opened.wait_for(|open| *open).await.expect("the gate outlives its handlers");
            match context.attempt() {
                1 => outcome(context.job().lease.job.0),
                _ => completed(),
            }
        })
    })
}

fn fails(_: i64) -> Outcome {
    Outcome::Retry { error: JobError::new("not yet"), after: None }
}

fn completes(_: i64) -> Outcome {
    completed()
}

/// Waits until all but so many are in history.
async fn all_but(pool: &PgPool, left: i64) {
    support::eventually("all others are in history", async || {
        let done: i64 = value(pool, "SELECT count(*) FROM legwork.finished").await;
        done == FLUSH - left
    })
    .await;
}

#[rstest]
#[case::by_a_producer("SELECT legwork.assert_lease({id}, 1)", completes)]
#[case::by_an_operator("SELECT legwork.cancel({id})", completes)]
#[case::a_retry("SELECT FROM legwork.job WHERE id = {id} FOR UPDATE", fails)]
fn a_row_that_somebody_holds_delays_no_other_of_its_flush(
    #[case] lock: &'static str,
    #[case] outcome: fn(i64) -> Outcome,
) {
    support::run(async move |db| {
        let pool = db.pool().await;
        let gated = Gated::start(&db, db.url(), outcome).await;
        let held = gated.ids[36];
        let locker = Locker::holds(&db, &lock.replace("{id}", &held.to_string())).await;
        gated.open();
        all_but(&pool, 1).await;
        let left: i64 = value(&pool, "SELECT id FROM legwork.job WHERE holder IS NOT NULL").await;
        assert_eq!(left, held);
        locker.lets_go().await;
        history(&pool, held).await;
        all_but(&pool, 0).await;
        drained(&pool).await;
        // Each once, and nothing is orphaned.
        let doubled = "SELECT count(*) FROM (SELECT id FROM legwork.finished GROUP BY id HAVING count(*) > 1) d";
        assert_eq!(value::<i64>(&pool, doubled).await, 0);
        gated.runner.stop().await;
        pool.close().await;
    });
}

/// Every tenth job that ends is counted in a row of the operator's own.
const COUNTED: &str = "
    CREATE TABLE public.ended (jobs bigint);
    INSERT INTO public.ended VALUES (0);
    CREATE FUNCTION public.count_it() RETURNS trigger LANGUAGE plpgsql AS
        $f$ BEGIN UPDATE public.ended SET jobs = jobs + 1; RETURN OLD; END $f$;
    CREATE TRIGGER count_it BEFORE DELETE ON legwork.job FOR EACH ROW
    WHEN (OLD.kind = 'waits' AND OLD.id % 10 = 0) EXECUTE FUNCTION public.count_it()";

#[test]
fn rows_that_wait_for_another_tables_lock_delay_neither_their_flush_nor_what_comes_later() {
    support::run(async |db| {
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(COUNTED)).await.unwrap();
        let gated = Gated::start(&db, db.url(), completes).await;
        let locker = Locker::holds(&db, "SELECT FROM public.ended FOR UPDATE").await;
        gated.open();
        support::eventually("verdicts wait for the lock", async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE NOT l.granted AND a.datname = current_database()
                    AND a.application_name = 'legwork completer')";
            value::<bool>(&pool, waits).await
        })
        .await;
        for _ in 0..3 {
            let next = insert(&pool, "passes").await;
            history(&pool, next).await;
        }
        all_but(&pool, 10 - 3).await;
        locker.lets_go().await;
        // Who ends doesn't wait until it is time for another try.
        gated.runner.stop().await;
        all_but(&pool, -3).await;
        pool.close().await;
    });
}

#[test]
fn at_the_end_a_row_that_somebody_holds_is_the_only_orphan() {
    support::run(async |db| {
        let pool = db.pool().await;
        let gated = Gated::start(&db, db.url(), completes).await;
        let held = gated.ids[36];
        let lock = format!("SELECT legwork.assert_lease({held}, 1)");
        let locker = Locker::holds(&db, &lock).await;
        gated.open();
        let ended = gated.runner.end().await;
        let orphans: Vec<_> = ended.orphans.iter().map(|job| job.0).collect();
        assert_eq!(orphans, [held]);
        all_but(&pool, 1).await;
        locker.lets_go().await;
        pool.close().await;
    });
}

/// What the completer needs of the job's table.
const RIGHTS: &str = "REVOKE UPDATE (holder), DELETE ON legwork.job FROM legwork_daemon";

#[test]
fn a_right_that_is_missing_for_a_while_costs_no_verdict() {
    support::run(async |db| {
        let pool = db.pool().await;
        let gated = Gated::start(&db, db.url_as("legwork_daemon"), completes).await;
        pool.execute(RIGHTS).await.unwrap();
        let failures = "SELECT coalesce(sum(xact_rollback), 0)::bigint FROM pg_stat_database
            WHERE datname = current_database()";
        let before: i64 = value(&pool, failures).await;
        gated.open();
        // A backend reports what it did a second later at the most.
        support::eventually("verdicts were refused", async || {
            value::<i64>(&pool, failures).await > before + 3
        })
        .await;
        pool.execute("SELECT legwork.apply_grants()").await.unwrap();
        all_but(&pool, 0).await;
        drained(&pool).await;
        gated.runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_job_that_may_neither_end_nor_go_back_is_written_once_the_database_is_mended() {
    support::run(async |db| {
        let pool = db.pool().await;
        let gated = Gated::start(&db, db.url(), completes).await;
        let poisoned = gated.ids[36];
        // A sequence counts what is rolled back as well.
        let poison = format!(
            "CREATE SEQUENCE public.refusals;
             CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
                 IF TG_OP = 'UPDATE' THEN PERFORM nextval('public.refusals'); END IF;
                 RAISE 'this row is poison';
             END $f$;
             CREATE TRIGGER refuse BEFORE UPDATE OR DELETE ON legwork.job FOR EACH ROW
             WHEN (OLD.id = {poisoned}) EXECUTE FUNCTION public.refuse()"
        );
        pool.execute(sqlx::raw_sql(AssertSqlSafe(poison))).await.unwrap();
        gated.open();
        all_but(&pool, 1).await;
        support::eventually("it may not go back either", async || {
            value::<bool>(&pool, "SELECT is_called FROM public.refusals").await
        })
        .await;
        pool.execute("DROP TRIGGER refuse ON legwork.job").await.unwrap();
        history(&pool, poisoned).await;
        gated.runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_daemon_with_a_held_row_is_ready_and_says_which_row_waits() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [
            notebook.kind("patient", PATIENT, ""),
            "[[kind]]\nname = 'quick'\nhandler = 'noop'\n".to_owned(),
        ];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let held = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        let locker = Locker::holds(&db, &format!("SELECT legwork.assert_lease({held}, 1)")).await;
        notebook.allow("go");
        let aside = daemon.logged("flush.row_aside").await;
        assert_eq!(aside["job.id"], held);
        enqueue_many(&pool, "quick", 100).await;
        support::eventually("all others are completed", async || {
            count(&pool, "quick", "completed").await == 100
        })
        .await;
        assert_eq!(daemon.get("/health/ready").await, (200, "ready\n".to_owned()));
        assert!((daemon.metric("legwork_flush_pending_rows", &[]).await - 1.0).abs() < 0.1);
        locker.lets_go().await;
        becomes(&pool, held, "completed").await;
        support::eventually("nothing waits to be written", async || {
            daemon.metric("legwork_flush_pending_rows", &[]).await < 0.1
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
