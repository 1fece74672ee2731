//! Promotion and rescue on rows that a mark or a death could leave behind, and beside one another.

use std::sync::Arc;
use std::time::Duration;

use legwork::config::{HandlerSettings, Kept, KindSettings, Retentions};
use legwork::job::Outcome;
use legwork::maintenance::Pruner;
use legwork::telemetry::health::Health;
use sqlx::{Connection, PgPool};
use tokio::sync::mpsc;

use super::deaths::upkeep;
use super::{
    AT_ONCE, Runner, daemon, drained, handling, history, insert, kind, name, queue, settings, value,
};
use crate::support::{self, TestDb};

fn noop(db: &TestDb) -> Runner {
    let mut settings = settings(db);
    settings.kinds = vec![KindSettings::new(name("noop"), HandlerSettings::Noop)];
    Runner::start(daemon(settings))
}

async fn outcomes(pool: &PgPool, kind: &str) -> Vec<(String, i16, i16)> {
    let query = "SELECT outcome::text, attempt, rescues FROM legwork.finished WHERE kind = $1";
    sqlx::query_as(query).bind(kind).fetch_all(pool).await.expect("Postgres answers")
}

#[test]
fn jobs_whose_holder_nobody_knows_are_back_in_line_when_a_daemon_starts() {
    support::run(async |db| {
        let pool = db.pool().await;
        let leftover = "INSERT INTO legwork.job (kind) VALUES ('noop'), ('noop')";
        sqlx::query(leftover).execute(&pool).await.unwrap();
        // As after a restore: held, by a daemon of which there is no row.
        let held = "UPDATE legwork.job SET holder = 4711, token = 3";
        sqlx::query(held).execute(&pool).await.unwrap();
        let runner = noop(&db);
        drained(&pool).await;
        // Two charged executions: the lost one, as for each rescue, and the one that completed.
        let rescued = ("completed".to_owned(), 2, 1);
        assert_eq!(outcomes(&pool, "noop").await, [rescued.clone(), rescued]);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_scheduled_job_that_commits_behind_the_promoters_mark_runs_with_the_next_sweep() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut late = db.connect().await;
        let mut transaction = late.begin().await.unwrap();
        // Waiting, as its insert saw it; long due, as the promoter's mark sees it.
        let due = "INSERT INTO legwork.job (kind, run_at, ready_at)
            VALUES ('noop', now() - interval '1 h', now() - interval '2 h')";
        sqlx::query(due).execute(&mut *transaction).await.unwrap();
        let runner = noop(&db);
        let other =
            "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', now() + interval '1 s')";
        sqlx::query(other).execute(&pool).await.unwrap();
        drained(&pool).await;
        assert_eq!(outcomes(&pool, "noop").await.len(), 1, "the mark has moved");
        transaction.commit().await.unwrap();
        drained(&pool).await;
        assert_eq!(outcomes(&pool, "noop").await.len(), 2);
        runner.stop().await;
        late.close().await.unwrap();
        pool.close().await;
    });
}

/// A rescue that waits: the trigger of an operator, for an advisory lock that the test holds.
const WAITS: &str = "
    CREATE FUNCTION public.waits() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $f$;
    CREATE TRIGGER waits BEFORE UPDATE ON legwork.job FOR EACH ROW WHEN (OLD.holder = 4711)
    EXECUTE FUNCTION public.waits()";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'legwork %' AND wait_event = 'advisory'";

#[test]
fn a_rescue_that_takes_long_delays_no_promotion_and_no_cancel() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut lock = db.connect().await;
        for statement in [WAITS, "SELECT pg_advisory_lock(7)"] {
            sqlx::raw_sql(statement).execute(&mut lock).await.unwrap();
        }
        let mut settings = settings(&db);
        let noop = KindSettings::new(name("noop"), HandlerSettings::Noop);
        settings.kinds = vec![noop, kind("stops", AT_ONCE)];
        let (starts, mut started) = mpsc::channel(1);
        let stops = handling(move |context| {
            starts.try_send(()).unwrap();
            Box::pin(async {
                context.cancellation().cancelled().await;
                Outcome::Cancel
            })
        });
        let runner = Runner::start(daemon(settings).with_handler(name("stops"), stops));
        let running = insert(&pool, "stops").await;
        started.recv().await.unwrap();

        let lost = insert(&pool, "lost").await;
        let dead =
            "INSERT INTO legwork.daemon (id, expires_at) VALUES (4711, now() - interval '1 h')";
        let held = "UPDATE legwork.job SET holder = 4711, token = 1 WHERE kind = 'lost'";
        for statement in [held, dead] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        support::eventually("the rescue waits", async || value::<i64>(&pool, WAITING).await == 1)
            .await;
        let due = "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', now() + interval '1 s')";
        sqlx::query(due).execute(&pool).await.unwrap();
        let cancel = sqlx::query_scalar::<_, String>("SELECT legwork.cancel($1)").bind(running);
        assert_eq!(cancel.fetch_one(&pool).await.unwrap(), "requested");
        // A third of what the rescue's statement may take: only beside it can both be done by then.
        let both = "SELECT count(*) FROM legwork.finished";
        let done = async || value::<i64>(&pool, both).await == 2;
        assert!(support::holds_within(Duration::from_secs(10), done).await, "they waited with it");
        assert_eq!(history(&pool, running).await.outcome, "cancelled");
        assert_eq!(value::<i64>(&pool, WAITING).await, 1, "the rescue still waits");

        lock.close().await.unwrap();
        let rescued = "SELECT count(*) FROM legwork.job WHERE holder IS NULL AND rescues = 1";
        support::eventually("the job is rescued", async || value::<i64>(&pool, rescued).await == 1)
            .await;
        assert_eq!(value::<i64>(&pool, "SELECT id FROM legwork.job").await, lost);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn nothing_expires_before_its_daemon_is_registered() {
    support::run(async |db| {
        let pool = db.pool().await;
        let expired = "INSERT INTO legwork.job (kind, expires_at) VALUES ('noop', '2001-01-01')";
        sqlx::query(expired).execute(&pool).await.unwrap();
        let (_publisher, leases) = legwork::heartbeat::leases();
        let rested = legwork::maintenance::expire(&upkeep(&db.url()), &leases).await.unwrap();
        assert!(rested.idle && rested.pause > Duration::ZERO, "it is asked again");
        let left: i64 = value(&pool, "SELECT count(*) FROM legwork.job").await;
        assert_eq!(left, 1, "its own kinds would seem to be nobody's");
        let runner = noop(&db);
        drained(&pool).await;
        let reason: String = value(&pool, "SELECT reason FROM legwork.finished").await;
        assert_eq!(reason, "expired");
        runner.stop().await;
        pool.close().await;
    });
}

/// Two days that are past, on the first of which somebody has built a view.
const OLD_DAYS: &str = "SELECT legwork.make_partitions('2020-05-01', '2020-05-02');
    CREATE VIEW public.mine AS SELECT id FROM legwork.finished_20200501";

#[test]
fn a_day_that_cannot_be_dropped_keeps_no_other_and_no_retention_from_being_told() {
    support::run(async |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(OLD_DAYS).execute(&pool).await.unwrap();
        let check = Health::new(Duration::from_secs(1)).check("partition");
        let kept = [(queue("default").name, Retentions::default())];
        let kept = tokio::sync::watch::Sender::new(kept.into()).subscribe();
        let upkeep = Arc::new(upkeep(&db.url()));
        let mut pruner = Pruner::new(upkeep, check, kept);
        pruner.round().await.expect("it goes on");
        let left: Vec<String> =
            value(&pool, "SELECT array_agg(name) FROM legwork.droppable_partitions()").await;
        assert_eq!(left, ["finished_20200501"]);
        assert_eq!(value::<String>(&pool, "SELECT name::text FROM legwork.queue").await, "default");
        drop(pruner);
        pool.close().await;
    });
}

#[test]
fn notes_of_what_people_changed_are_deleted_when_their_time_is_over() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notes = "SELECT legwork.note('test', 'note/' || n) FROM generate_series(1, 2100) n;
            UPDATE legwork.audit SET at = now() - interval '91 days' WHERE id < 2100";
        sqlx::raw_sql(notes).execute(&pool).await.unwrap();
        let check = Health::new(Duration::from_secs(1)).check("partition");
        let kept = tokio::sync::watch::Sender::new(Kept::default()).subscribe();
        let mut pruner = Pruner::new(Arc::new(upkeep(&db.url())), check, kept);
        pruner.round().await.expect("it prunes");
        let left: Vec<String> = value(&pool, "SELECT array_agg(target) FROM legwork.audit").await;
        assert_eq!(left, ["note/2100"]);
        drop(pruner);
        pool.close().await;
    });
}
