//! The claim: what it must find, and what it must never take.

use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, history, insert, kind, name, queue,
    settings, value,
};
use crate::support;

#[test]
fn a_claim_takes_no_more_than_its_limit_whatever_the_plan() {
    let plans: [(&str, &str); 5] = [
        ("the planner's choice", ""),
        ("the claim session's", include_str!("../../../src/postgres/sql/claim_session.sql")),
        ("nested loops", "SET enable_hashjoin = off; SET enable_mergejoin = off;"),
        (
            "nested loops without a tid scan or a cache of the inner side",
            "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
             SET enable_memoize = off; SET enable_tidscan = off;",
        ),
        (
            "generic, without any index",
            "SET plan_cache_mode = force_generic_plan; SET enable_indexscan = off;
             SET enable_bitmapscan = off; SET enable_tidscan = off;",
        ),
    ];
    support::run(async |db| {
        let pool = db.pool().await;
        let register =
            "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h')";
        sqlx::query(register).execute(&pool).await.unwrap();
        sqlx::query(
            "INSERT INTO legwork.job (kind, priority)
             SELECT 'few', i % 5 - 2 FROM generate_series(1, 100) i",
        )
        .execute(&pool)
        .await
        .unwrap();
        for (plan, settings) in plans {
            for limit in [1i64, 7] {
                let mut session = db.connect().await;
                session.execute(sqlx::raw_sql(settings)).await.unwrap();
                let claimed = sqlx::query(include_str!("../../../src/postgres/sql/claim.sql"))
                    .bind(7i64)
                    .bind("default")
                    .bind([-2i16, -1, 0, 1, 2])
                    .bind([0i64; 5])
                    .bind(vec!["few"])
                    .bind(limit)
                    .bind(false)
                    .fetch_all(&mut session)
                    .await
                    .unwrap();
                let held: i64 =
                    value(&pool, "SELECT count(*) FROM legwork.job WHERE holder = 7").await;
                assert_eq!(claimed.len(), usize::try_from(limit).unwrap(), "{plan}");
                assert_eq!(held, limit, "{plan}");
                let first = "SELECT priority::smallint FROM legwork.job WHERE id = $1";
                let first =
                    sqlx::query_scalar::<_, i16>(first).bind(claimed[0].get::<i64, _>("id"));
                let first = first.fetch_one(&pool).await.unwrap();
                assert_eq!(first, -2, "{plan}: the first priority comes first");
                let back = "UPDATE legwork.job SET holder = NULL WHERE holder = 7";
                sqlx::query(back).execute(&pool).await.unwrap();
                session.close().await.unwrap();
            }
        }
        pool.close().await;
    });
}

#[test]
fn a_run_at_that_no_client_can_decode_stops_nobody() {
    support::run(async |db| {
        let pool = db.pool().await;
        let undo = "ALTER DOMAIN legwork.run_time DROP CONSTRAINT run_at_is_between_2000_and_2200";
        sqlx::query(undo).execute(&pool).await.unwrap();
        let mut hostile = Vec::new();
        for run_at in
            ["-infinity", "4713-01-01 00:00:00+00 BC", "infinity", "294276-12-31 00:00+00"]
        {
            let statement = format!(
                "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', '{run_at}') RETURNING id"
            );
            let id: i64 =
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&pool).await.unwrap();
            hostile.push(id);
        }
        let mut settings = settings(&db);
        settings.kinds = vec![KindSettings::new(name("noop"), HandlerSettings::Noop)];
        let runner = Runner::start(daemon(settings));
        let plain = insert(&pool, "noop").await;
        assert_eq!(history(&pool, plain).await.outcome, "completed");
        // What is due by any calendar runs; what never is, waits, and doesn't hold promotion up.
        for id in &hostile[..2] {
            assert_eq!(history(&pool, *id).await.outcome, "completed");
        }
        for _ in 0..3 {
            let scheduled: i64 = value(
                &pool,
                "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', now() + interval '20 ms')
                 RETURNING id",
            )
            .await;
            assert_eq!(history(&pool, scheduled).await.outcome, "completed");
        }
        let waiting: Vec<i64> =
            value(&pool, "SELECT array_agg(id ORDER BY id) FROM legwork.job WHERE token = 0").await;
        assert_eq!(waiting, hostile[2..]);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn an_idle_daemon_of_five_queues_and_a_limited_kind_sends_four_statements_a_second() {
    // A round of the statistics, and more than two of the doorbell.
    const WINDOW: Duration = Duration::from_secs(20);
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.queues = ["a", "b", "c", "d", "e"].map(queue).into();
        settings.kinds = vec![kind("ends", AT_ONCE), kind("limited", AT_ONCE)];
        settings.kinds[1].rate_limit = Some("100/s".parse().expect("a rate"));
        let daemon = daemon(settings)
            .with_handler(name("ends"), deciding(|_| completed()))
            .with_handler(name("limited"), deciding(|_| completed()));
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        // Its own statements alone: Postgres's count of commits has autovacuum's among them.
        let count = || -> u32 {
            let text = metrics.render();
            let counts = text.lines().filter_map(|line| {
                let series = line.strip_prefix("legwork_db_operation_duration_seconds_count{")?;
                series.rsplit_once(' ')?.1.parse::<u32>().ok()
            });
            counts.sum()
        };
        // The first windows have the start in them, and on a busy machine others what the daemon makes up for.
        let mut sent = Vec::new();
        let few = support::holds_within(6 * WINDOW, async || {
            let before = count();
            // Not a wait for a fact: the rate is what is looked for, and a rate takes time.
            tokio::time::sleep(WINDOW).await;
            sent.push(count() - before);
            sent.last().is_some_and(|sent| (1..=4 * 20).contains(sent))
        })
        .await;
        assert!(few, "no window of {WINDOW:?} has as few as four a second: {sent:?}");
        // And yet every queue is looked into, without any hint: this trigger rings for nobody.
        sqlx::query("ALTER TABLE legwork.job DISABLE TRIGGER ring").execute(&pool).await.unwrap();
        let insert = "INSERT INTO legwork.job (queue, kind)
            SELECT q, k FROM unnest('{a,b,c,d,e}'::text[]) q, unnest('{ends,limited}'::text[]) k";
        sqlx::query(insert).execute(&pool).await.unwrap();
        drained(&pool).await;
        runner.stop().await;
        pool.close().await;
    });
}
