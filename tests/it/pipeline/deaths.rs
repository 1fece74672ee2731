//! What the rescue of a dead daemon's jobs leaves in history, and that history can't hold it up.

use std::sync::Arc;
use std::time::Duration;

use legwork::claimer::Bell;
use legwork::config::Settings;
use legwork::heartbeat::LeaseTimes;
use legwork::maintenance::Rescuer;
use legwork::postgres::Upkeep;
use legwork::telemetry::metrics::Metrics;
use rstest::rstest;
use sqlx::{Connection as _, Executor as _, PgPool};

use super::value;
use crate::support::{self, TestDb};

/// A daemon that died, and its jobs: of a queue for which nothing is published, of one that keeps failed
/// attempts for 3 days, and of one that keeps none. The first had failed before.
const DEAD: &str = "
    INSERT INTO legwork.daemon (id, name, expires_at, died_at) VALUES (7, 'web-1', now(), now());
    INSERT INTO legwork.queue (name, retention_discarded) VALUES ('short', '3 days'), ('none', '0');
    INSERT INTO legwork.job (kind, queue)
        VALUES ('first', 'default'), ('second', 'short'), ('third', 'none');
    UPDATE legwork.job SET holder = 7, token = 4, attempt = CASE kind WHEN 'first' THEN 2 ELSE 0 END";

/// Who died with what, and until when that is kept, in days from today.
const RECORDS: &str = "
    SELECT coalesce(string_agg(format('%s: attempt %s, token %s, holder %s, %s ms, %s days, %s: %s', j.kind,
        a.attempt, a.token, a.holder, coalesce(a.duration_ms::text, 'unknown'),
        a.drop_after - (now() AT TIME ZONE 'UTC')::date, a.cause, a.error), E'\n' ORDER BY a.job_id), '')
    FROM legwork.failed_attempt a JOIN legwork.job j ON j.id = a.job_id";

const FIRST: &str = "first: attempt 3, token 4, holder 7, unknown ms, 30 days, daemon_died: \
                     daemon web-1 (boot id 7) died while it ran or held this job";
const SECOND: &str = "second: attempt 1, token 4, holder 7, unknown ms, 3 days, daemon_died: \
                      daemon web-1 (boot id 7) died while it ran or held this job";

pub(super) fn upkeep(url: &str) -> Upkeep {
    Upkeep::new(support::pooled::connector(url))
}

async fn arranged(db: &TestDb, statements: &'static str) -> PgPool {
    let pool = db.pool().await;
    for statements in [DEAD, statements] {
        pool.execute(sqlx::raw_sql(statements)).await.expect("Postgres takes it");
    }
    pool
}

/// How many jobs are back in line, charged one attempt more and one rescue.
async fn rescued(pool: &PgPool) -> i64 {
    let back = "SELECT count(*) FROM legwork.job WHERE holder IS NULL AND rescues = 1
        AND attempt = CASE kind WHEN 'first' THEN 3 ELSE 1 END";
    value(pool, back).await
}

const REFUSES_ALL: &str = "
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $f$ BEGIN RAISE 'no more records'; END $f$;
    CREATE TRIGGER refuse BEFORE INSERT ON legwork.failed_attempt FOR EACH ROW EXECUTE FUNCTION public.refuse()";
const DAYS_GONE: &str = "
    DO $$ DECLARE part regclass; BEGIN
        FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'legwork.failed_attempt'::regclass
            AND inhrelid::regclass::text >= 'legwork.failed_attempt_' || to_char(now() + '2 days', 'YYYYMMDD')
        LOOP EXECUTE format('DROP TABLE %s', part); END LOOP;
    END $$";
const NO_DAYS_TO_BE_MADE: &str = "
    CREATE OR REPLACE FUNCTION legwork.make_partitions(first_day date, last_day date) RETURNS integer
        LANGUAGE plpgsql AS $f$ BEGIN RAISE 'no day can be made'; END $f$";
const ITS_OWN_RECORD: &str = "
    INSERT INTO legwork.failed_attempt (job_id, token, holder, attempt, cause, error, duration_ms, drop_after)
    SELECT id, 4, 7, 3, 'failed', 'its own words', 12, (now() AT TIME ZONE 'UTC')::date + 30
    FROM legwork.job WHERE kind = 'first'";
const OWN: &str = "first: attempt 3, token 4, holder 7, 12 ms, 30 days, failed: its own words";

#[rstest]
#[case::as_it_should_be(&[], &[FIRST, SECOND])]
#[case::its_day_is_missing(&[DAYS_GONE], &[FIRST, SECOND])]
#[case::its_day_is_missing_and_cannot_be_made(&[DAYS_GONE, NO_DAYS_TO_BE_MADE], &[])]
#[case::history_refuses_everything(&[REFUSES_ALL], &[])]
#[case::the_daemon_had_recorded_the_failure_itself(&[ITS_OWN_RECORD], &[OWN, SECOND])]
#[case::the_daemon_is_forgotten(
    &["DELETE FROM legwork.daemon"],
    &["first: attempt 3, token 4, holder 7, unknown ms, 30 days, daemon_died: \
       an unknown daemon (boot id 7) ran or held this job and is gone",
      "second: attempt 1, token 4, holder 7, unknown ms, 3 days, daemon_died: \
       an unknown daemon (boot id 7) ran or held this job and is gone"]
)]
fn a_rescue_records_the_attempt_that_the_death_cost_and_history_cannot_hold_it_up(
    #[case] arrange: &'static [&'static str],
    #[case] expected: &'static [&'static str],
) {
    support::run(async move |db| {
        let pool = arranged(&db, "").await;
        for statements in arrange {
            pool.execute(sqlx::raw_sql(*statements)).await.unwrap();
        }
        let upkeep = upkeep(&db.url());
        assert_eq!(upkeep.rescue(7).await.expect("they are rescued").len(), 3);
        assert_eq!(rescued(&pool).await, 3);
        assert_eq!(value::<String>(&pool, RECORDS).await, expected.join("\n"));
        assert_eq!(upkeep.rescue(7).await.expect("none is left"), [""; 0]);
        let broken: i64 = value(&pool, "SELECT count(*) FROM legwork.invariants()").await;
        assert_eq!(broken, 0);
        pool.close().await;
    });
}

/// As after an hour of a rollout.
const MANY_DIED: &str = "INSERT INTO legwork.daemon (id, expires_at, died_at)
    SELECT n, now(), now() FROM generate_series(100, 149) n";

#[test]
fn a_daemon_that_starts_after_many_have_died_reads_the_jobs_once_for_all_who_hold_none() {
    support::run(async |db| {
        let pool = arranged(&db, MANY_DIED).await;
        let (metrics, times) = (Arc::new(Metrics::default()), Settings::default().daemon);
        let times = (LeaseTimes::new(&times), Duration::from_secs(10));
        let upkeep = Arc::new(upkeep(&db.url()));
        let mut rescuer = Rescuer::new(upkeep, times, Bell::default(), metrics);
        rescuer.round().await.expect("it is answered");
        assert_eq!(rescued(&pool).await, 3);
        drop(rescuer);
        let scans =
            "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'legwork.job'::regclass";
        support::eventually("its session told what it did", async || {
            value::<i64>(&pool, scans).await > 3
        })
        .await;
        let scans = value::<i64>(&pool, scans).await;
        assert!(scans < 20, "{scans} scans");
        pool.close().await;
    });
}

#[test]
fn a_job_that_somebody_has_locked_is_known_to_be_left_until_it_is_rescued() {
    support::run(async |db| {
        let pool = arranged(&db, "").await;
        let mut other = db.connect().await;
        let mut locked = other.begin().await.unwrap();
        locked.execute("SELECT FROM legwork.job WHERE kind = 'first' FOR SHARE").await.unwrap();
        let upkeep = upkeep(&db.url());
        assert_eq!(upkeep.rescue(7).await.expect("the others are rescued").len(), 2);
        assert!(upkeep.rescue(7).await.expect("none can be had").is_empty());
        assert!(upkeep.holds(7).await.expect("it says so"), "one is left");
        locked.rollback().await.unwrap();
        assert_eq!(upkeep.rescue(7).await.expect("it is rescued").len(), 1);
        assert!(!upkeep.holds(7).await.expect("it says so"), "none is left");
        other.close().await.unwrap();
        pool.close().await;
    });
}

/// A job that may not go back at all, and a record that history refuses, in one batch.
#[test]
fn a_rescue_that_is_taken_apart_loses_the_records_of_the_refused_alone() {
    const POISON: &str = "
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $f$ BEGIN RAISE 'this row is poison'; END $f$;
        CREATE TRIGGER refuse BEFORE UPDATE ON legwork.job FOR EACH ROW
            WHEN (NEW.kind = 'third') EXECUTE FUNCTION public.refuse();
        CREATE FUNCTION public.refuse_record() RETURNS trigger LANGUAGE plpgsql AS
            $f$ BEGIN RAISE 'this record is poison'; END $f$;
        CREATE TRIGGER refuse BEFORE INSERT ON legwork.failed_attempt FOR EACH ROW
            WHEN (NEW.attempt = 1) EXECUTE FUNCTION public.refuse_record()";
    support::run(async |db| {
        let pool = arranged(&db, POISON).await;
        let upkeep = upkeep(&db.url());
        let refused = upkeep.rescue(7).await.expect_err("one job can't be changed");
        assert!(refused.blames_the_rows(), "{refused:?}");
        let mut queues = upkeep.rescue_apart(7).await.expect("the others are rescued");
        queues.sort_unstable();
        assert_eq!(queues, ["default", "short"]);
        assert_eq!(rescued(&pool).await, 2);
        assert_eq!(value::<String>(&pool, RECORDS).await, FIRST);
        pool.close().await;
    });
}

#[test]
fn a_rescue_does_not_wait_for_somebody_who_has_locked_history() {
    support::run(async |db| {
        let pool = arranged(&db, "").await;
        let mut other = db.connect().await;
        let mut locked = other.begin().await.unwrap();
        locked.execute("LOCK TABLE legwork.failed_attempt IN SHARE MODE").await.unwrap();
        assert_eq!(upkeep(&db.url()).rescue(7).await.expect("they are rescued").len(), 3);
        locked.rollback().await.unwrap();
        assert_eq!(rescued(&pool).await, 3);
        assert_eq!(value::<String>(&pool, RECORDS).await, "");
        other.close().await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_rescue_records_under_row_level_security_where_copy_is_refused() {
    const SECURED: &str = "
        ALTER TABLE legwork.failed_attempt ENABLE ROW LEVEL SECURITY;
        CREATE POLICY everything ON legwork.failed_attempt TO legwork_daemon USING (true);
        ALTER TABLE legwork.job ENABLE ROW LEVEL SECURITY;
        CREATE POLICY everything ON legwork.job TO legwork_daemon USING (true)";
    support::run(async |db| {
        let pool = arranged(&db, SECURED).await;
        let upkeep = upkeep(&db.url_as("legwork_daemon"));
        assert_eq!(upkeep.rescue(7).await.expect("they are rescued").len(), 3);
        assert_eq!(rescued(&pool).await, 3);
        assert_eq!(value::<String>(&pool, RECORDS).await, [FIRST, SECOND].join("\n"));
        pool.close().await;
    });
}
