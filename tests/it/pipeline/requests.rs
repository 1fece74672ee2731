//! What producers and operators ask for: when a job runs, whether it runs at all, what is kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings, Settings};
use legwork::job::{Outcome, Retention};
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, handling, history, insert, kind, name,
    queue, settings, value,
};
use crate::support::{self, TestDb};

/// Serves `noop` alone.
fn serving_noop(db: &TestDb) -> Settings {
    let mut settings = settings(db);
    settings.kinds = vec![KindSettings::new(name("noop"), HandlerSettings::Noop)];
    settings
}

/// `token` of an unfinished job: how often it was claimed.
async fn claims_of(pool: &PgPool, id: i64) -> i64 {
    let token = sqlx::query_scalar("SELECT token FROM legwork.job WHERE id = $1");
    token.bind(id).fetch_one(pool).await.expect("Postgres answers")
}

async fn cancel(pool: &PgPool, id: i64) -> String {
    sqlx::query_scalar("SELECT legwork.cancel($1)")
        .bind(id)
        .fetch_one(pool)
        .await
        .expect("Postgres answers")
}

#[test]
fn a_waiting_job_that_is_cancelled_never_runs() {
    support::run(async |db| {
        let pool = db.pool().await;
        let cancelled = insert(&pool, "noop").await;
        assert_eq!(cancel(&pool, cancelled).await, "cancelled");
        let runner = Runner::start(daemon(serving_noop(&db)));
        let other = insert(&pool, "noop").await;
        assert_eq!(history(&pool, other).await.outcome, "completed");
        let found = history(&pool, cancelled).await;
        assert_eq!((found.outcome.as_str(), found.attempt), ("cancelled", 0));
        assert_eq!(found.reason.as_deref(), Some("cancelled_while_waiting"));
        assert_eq!(cancel(&pool, cancelled).await, "already_finished");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_running_job_that_is_cancelled_is_told_and_ends_by_what_its_handler_did() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = ["stops", "ignores", "finishes"].map(|text| kind(text, AT_ONCE)).into();
        let (starts, mut started) = mpsc::channel(3);
        let begun = move |id: i64| starts.try_send(id).unwrap();
        let (b1, b2, b3) = (begun.clone(), begun.clone(), begun);
        let daemon = daemon(settings)
            .with_handler(
                name("stops"),
                handling(move |context| {
                    b1(context.job().lease.job.0);
                    Box::pin(async {
                        context.cancellation().cancelled().await;
                        Outcome::Cancel
                    })
                }),
            )
            .with_handler(
                name("ignores"),
                handling(move |context| {
                    b2(context.job().lease.job.0);
                    Box::pin(std::future::pending())
                }),
            )
            .with_handler(
                name("finishes"),
                handling(move |context| {
                    b3(context.job().lease.job.0);
                    Box::pin(async {
                        context.cancellation().cancelled().await;
                        completed()
                    })
                }),
            );
        let runner = Runner::start(daemon);
        let expected = [
            ("stops", ("cancelled", 0, Some("cancel_requested"))),
            ("ignores", ("cancelled", 0, Some("cancel_requested"))),
            ("finishes", ("completed", 1, None)),
        ];
        for (kind, expected) in expected {
            let id = insert(&pool, kind).await;
            assert_eq!(started.recv().await, Some(id));
            assert_eq!(cancel(&pool, id).await, "requested");
            let found = history(&pool, id).await;
            let found = (found.outcome.as_str(), found.attempt, found.reason.as_deref());
            assert_eq!(found, expected, "{kind}");
        }
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_job_whose_cancel_outlived_its_attempt_does_not_run_again() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("stopped", AT_ONCE)];
        let id = insert(&pool, "stopped").await;
        let asked = "UPDATE legwork.job SET cancel_requested = true";
        sqlx::query(asked).execute(&pool).await.unwrap();
        let handler = deciding(|_| panic!("it must not run"));
        let runner = Runner::start(daemon(settings).with_handler(name("stopped"), handler));
        let found = history(&pool, id).await;
        assert_eq!((found.outcome.as_str(), found.attempt), ("cancelled", 0));
        assert_eq!(found.reason.as_deref(), Some("cancel_requested"));
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn an_expired_job_is_discarded_without_running() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("late", AT_ONCE)];
        let handler = deciding(|_| panic!("it must not run"));
        let runner = Runner::start(daemon(settings).with_handler(name("late"), handler));
        let id: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, expires_at)
             VALUES ('late', now() - interval '1 second') RETURNING id",
        )
        .await;
        let found = history(&pool, id).await;
        assert_eq!((found.outcome.as_str(), found.attempt), ("discarded", 0));
        assert_eq!(found.reason.as_deref(), Some("expired"));
        assert_eq!(found.failures, [""; 0]);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_unique_key_is_taken_until_its_job_has_finished() {
    const INSERT: &str = "INSERT INTO legwork.job (kind, unique_key) VALUES ('held', 'one')
        ON CONFLICT DO NOTHING RETURNING id";
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("held", AT_ONCE)];
        let (starts, mut started) = mpsc::channel(2);
        let (go, gate) = tokio::sync::watch::channel(false);
        let handler = handling(move |_| {
            starts.try_send(()).unwrap();
            let mut gate = gate.clone();
            Box::pin(async move {
                gate.wait_for(|open| *open).await.unwrap();
                completed()
            })
        });
        let again = async || -> Option<i64> {
            sqlx::query_scalar(INSERT).fetch_optional(&pool).await.unwrap()
        };
        let first = again().await.expect("the key is free");
        assert_eq!(again().await, None, "taken while it waits");
        let runner = Runner::start(daemon(settings).with_handler(name("held"), handler));
        started.recv().await.unwrap();
        assert_eq!(again().await, None, "taken while it runs");
        let plain = "INSERT INTO legwork.job (kind, unique_key) VALUES ('held', 'one')";
        let refused = sqlx::query(plain).execute(&pool).await.unwrap_err();
        let refused = refused.into_database_error().unwrap();
        assert_eq!(refused.constraint(), Some("job_unique"));
        go.send_replace(true);
        assert_eq!(history(&pool, first).await.outcome, "completed");
        let second = again().await.expect("free again");
        assert_eq!(history(&pool, second).await.outcome, "completed");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_scheduled_job_runs_when_it_is_due_and_not_before() {
    support::run(async |db| {
        let pool = db.pool().await;
        let runner = Runner::start(daemon(serving_noop(&db)));
        let id: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, run_at) VALUES ('noop', now() + interval '500 ms')
             RETURNING id",
        )
        .await;
        let state: String = value(&pool, "SELECT min(state) FROM legwork.jobs").await;
        assert_eq!(state, "scheduled");
        assert_eq!(history(&pool, id).await.outcome, "completed");
        let early: bool =
            value(&pool, "SELECT bool_or(finished_at < run_at) FROM legwork.finished").await;
        assert!(!early);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn with_one_slot_jobs_run_in_order_of_priority_and_then_of_their_place_in_line() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ordered", AT_ONCE)];
        settings.queues[0].concurrency = 1;
        sqlx::query(
            "INSERT INTO legwork.job (kind, priority)
             SELECT 'ordered', (i * 3) % 5 - 2 FROM generate_series(1, 40) i",
        )
        .execute(&pool)
        .await
        .unwrap();
        let wanted: Vec<i64> =
            value(&pool, "SELECT array_agg(id ORDER BY priority, seq) FROM legwork.job").await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let ran = Arc::clone(&order);
        let handler = deciding(move |context| {
            ran.lock().unwrap().push(context.job().lease.job.0);
            completed()
        });
        let runner = Runner::start(daemon(settings).with_handler(name("ordered"), handler));
        drained(&pool).await;
        runner.stop().await;
        assert_eq!(*order.lock().unwrap(), wanted);
        pool.close().await;
    });
}

#[test]
fn what_nobody_serves_waits_untouched_and_runs_once_it_is_served() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kind_less = insert(&pool, "unserved").await;
        let queue_less: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, queue) VALUES ('noop', 'elsewhere') RETURNING id",
        )
        .await;
        let runner = Runner::start(daemon(serving_noop(&db)));
        // Behind the two in line, and one after the other: the daemon has passed by them.
        for _ in 0..3 {
            let served = insert(&pool, "noop").await;
            assert_eq!(history(&pool, served).await.outcome, "completed");
        }
        assert_eq!(claims_of(&pool, kind_less).await, 0);
        assert_eq!(claims_of(&pool, queue_less).await, 0);
        runner.stop().await;

        let mut settings = serving_noop(&db);
        settings.kinds.push(KindSettings::new(name("unserved"), HandlerSettings::Noop));
        settings.queues.push(queue("elsewhere"));
        let runner = Runner::start(daemon(settings));
        for id in [kind_less, queue_less] {
            let found = history(&pool, id).await;
            assert_eq!((found.outcome.as_str(), found.attempt), ("completed", 1));
        }
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_paused_queue_starts_nothing_and_goes_on_when_it_is_resumed() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = serving_noop(&db);
        settings.queues.push(queue("other"));
        assert!(value::<bool>(&pool, "SELECT legwork.pause('default', 'a test')").await);
        let held = insert(&pool, "noop").await;
        let runner = Runner::start(daemon(settings));
        for _ in 0..3 {
            let id: i64 = value(
                &pool,
                "INSERT INTO legwork.job (kind, queue) VALUES ('noop', 'other') RETURNING id",
            )
            .await;
            assert_eq!(history(&pool, id).await.outcome, "completed");
        }
        assert_eq!(claims_of(&pool, held).await, 0);
        assert!(value::<bool>(&pool, "SELECT legwork.resume('default')").await);
        assert_eq!(history(&pool, held).await.outcome, "completed");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn retention_none_keeps_no_history() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = serving_noop(&db);
        settings.queues[0].retention.completed = Retention::None;
        settings.queues.push(queue("kept"));
        let runner = Runner::start(daemon(settings));
        insert(&pool, "noop").await;
        drained(&pool).await;
        let kept: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, queue) VALUES ('noop', 'kept') RETURNING id",
        )
        .await;
        history(&pool, kept).await;
        let ids: Vec<i64> = value(&pool, "SELECT array_agg(id) FROM legwork.finished").await;
        assert_eq!(ids, [kept]);
        runner.stop().await;
        pool.close().await;
    });
}

/// Days are made 35 ahead by maintenance; the one that is needed here is far beyond.
#[test]
fn history_is_kept_for_as_long_as_the_configuration_may_say() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = serving_noop(&db);
        let days = 3650;
        settings.queues[0].retention.completed = Retention::For(Duration::from_hours(24) * days);
        settings.queues[0].retention.discarded = Retention::For(Duration::from_hours(24) * 90);
        let failing = deciding(|_| panic!("so that it has a failed attempt"));
        settings.kinds.push(kind("panics", AT_ONCE));
        let runner = Runner::start(daemon(settings).with_handler(name("panics"), failing));
        let id = insert(&pool, "noop").await;
        assert_eq!(history(&pool, id).await.outcome, "completed");
        let id: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, max_attempts) VALUES ('panics', 1) RETURNING id",
        )
        .await;
        assert_eq!(history(&pool, id).await.failures.len(), 1);
        let left: Vec<i32> = value(
            &pool,
            "SELECT array_agg(drop_after - (finished_at AT TIME ZONE 'UTC')::date ORDER BY id)
             FROM legwork.finished",
        )
        .await;
        assert_eq!(left, [3650, 90]);
        runner.stop().await;
        pool.close().await;
    });
}
