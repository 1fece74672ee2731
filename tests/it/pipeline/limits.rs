//! Rate limits: never more starts than they allow, and nobody else is slower for them.

use legwork::config::{HandlerSettings, KindSettings};
use legwork::job::Retention;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, kind, name, queue, settings, value,
};
use crate::support;

#[test]
fn a_limited_kind_never_starts_more_than_burst_and_rate_allow() {
    const JOBS: usize = 60;
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        let mut limited = kind("limited", AT_ONCE);
        let limit: legwork::job::RateLimit = "40/s burst 3".parse().unwrap();
        limited.rate_limit = Some(limit);
        settings.kinds = vec![limited];
        settings.queues.extend([queue("second"), queue("third")]);
        let insert = "INSERT INTO legwork.job (kind, queue)
            SELECT 'limited', (ARRAY['default', 'second', 'third'])[1 + i % 3]
            FROM generate_series(1, 60) i";
        sqlx::query(insert).execute(&pool).await.unwrap();
        let (starts, mut started) = mpsc::channel(JOBS);
        let handler = deciding(move |_| {
            starts.try_send(Instant::now()).unwrap();
            completed()
        });
        let runner = Runner::start(daemon(settings).with_handler(name("limited"), handler));
        let mut at = Vec::new();
        started.recv_many(&mut at, JOBS).await;
        while at.len() < JOBS {
            started.recv_many(&mut at, JOBS).await;
        }
        drained(&pool).await;
        runner.stop().await;
        // A busy machine moves a start by a little after its permit: one more of each queue may show in
        // a window.
        let most =
            |window: std::time::Duration| 3 + 3 + window.as_nanos() / limit.interval().as_nanos();
        for (i, first) in at.iter().enumerate() {
            for (j, last) in at.iter().enumerate().skip(i) {
                let window = last.duration_since(*first) + limit.interval();
                assert!((j - i + 1) as u128 <= most(window), "{i}..{j} within {window:?}");
            }
        }
        pool.close().await;
    });
}

/// Two queues in one run, equal but for what is ahead in one: the count there when the other is
/// done is the share of the rate that is left. The work is slots' time, the scarcest thing that a
/// limited kind could hold.
#[test]
fn a_limited_backlog_ahead_costs_an_unlimited_kind_at_most_a_tenth_of_its_rate() {
    const JOBS: i64 = 2000;
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.queues = vec![queue("alone"), queue("shared")];
        for queue in &mut settings.queues {
            queue.retention.completed = Retention::None;
        }
        let mut limited = KindSettings::new(name("limited"), HandlerSettings::Noop);
        limited.rate_limit = Some("1/s".parse().unwrap());
        settings.kinds = vec![KindSettings::new(name("free"), HandlerSettings::Sleep), limited];
        sqlx::query(
            "INSERT INTO legwork.job (kind, queue)
             SELECT 'limited', 'shared' FROM generate_series(1, 100000)",
        )
        .execute(&pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO legwork.job (kind, queue, payload)
             SELECT 'free', CASE i % 2 WHEN 0 THEN 'alone' ELSE 'shared' END, '{\"seconds\": 0.02}'
             FROM generate_series(1, 2 * 2000) i",
        )
        .execute(&pool)
        .await
        .unwrap();
        let runner = Runner::start(daemon(settings));
        let mut left = (JOBS, JOBS);
        support::eventually("the queue without a backlog is done", async || {
            left = sqlx::query_as(
                "SELECT count(*) FILTER (WHERE queue = 'alone'),
                    count(*) FILTER (WHERE queue = 'shared')
                 FROM legwork.job WHERE kind = 'free'",
            )
            .fetch_one(&pool)
            .await
            .unwrap();
            left.0 == 0
        })
        .await;
        runner.stop().await;
        let touched: i64 =
            value(&pool, "SELECT count(*) FROM legwork.job WHERE kind = 'limited' AND token > 0")
                .await;
        assert!(left.1 <= JOBS / 10, "{} of {JOBS} are left, {touched} limited touched", left.1);
        pool.close().await;
    });
}

#[test]
fn a_kind_of_one_start_an_hour_does_not_keep_the_only_slot_of_its_queue() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.queues[0].concurrency = 1;
        let mut limited = KindSettings::new(name("limited"), HandlerSettings::Noop);
        limited.rate_limit = Some("1/h".parse().unwrap());
        settings.kinds = vec![KindSettings::new(name("free"), HandlerSettings::Noop), limited];
        let insert = "INSERT INTO legwork.job (kind) SELECT 'limited' FROM generate_series(1, 10)";
        sqlx::query(insert).execute(&pool).await.unwrap();
        let runner = Runner::start(daemon(settings));
        support::eventually("a limited job was claimed and waits for its limit", async || {
            value(&pool, "SELECT bool_or(holder IS NOT NULL) FROM legwork.job").await
        })
        .await;
        for _ in 0..3 {
            let free = super::insert(&pool, "free").await;
            assert_eq!(super::history(&pool, free).await.outcome, "completed");
        }
        runner.stop().await;
        let left: (i64, i64) = sqlx::query_as("SELECT count(*), count(holder) FROM legwork.job")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(left, (10, 0), "what waited for its limit was given back");
        pool.close().await;
    });
}

#[test]
fn a_job_that_waits_for_its_limit_is_within_reach_of_expiry_cancel_and_pause() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.queues.push(queue("paused"));
        let limited = |text| {
            let mut kind = KindSettings::new(name(text), HandlerSettings::Noop);
            kind.rate_limit = Some("1/h".parse().unwrap());
            kind
        };
        settings.kinds = ["expires", "cancelled", "paused"].map(limited).into();
        let ids: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO legwork.job (kind, queue, expires_at) VALUES
             ('expires', 'default', now() + interval '2 seconds'), ('cancelled', 'default', NULL),
             ('paused', 'paused', NULL) RETURNING id",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        let runner = Runner::start(daemon(settings));
        support::eventually("all were claimed and wait for their limits", async || {
            value(&pool, "SELECT bool_and(holder IS NOT NULL) FROM legwork.job").await
        })
        .await;
        let cancel = sqlx::query_scalar("SELECT legwork.cancel($1)").bind(ids[1]);
        assert_eq!(cancel.fetch_one(&pool).await.ok(), Some("requested".to_owned()));
        assert!(value::<bool>(&pool, "SELECT legwork.pause('paused')").await);
        for (id, outcome, reason) in
            [(ids[0], "discarded", "expired"), (ids[1], "cancelled", "cancel_requested")]
        {
            let found = super::history(&pool, id).await;
            assert_eq!((found.outcome.as_str(), found.attempt), (outcome, 0));
            assert_eq!(found.reason.as_deref(), Some(reason));
        }
        support::eventually("what is paused is held by nobody", async || {
            value(&pool, "SELECT bool_and(holder IS NULL) FROM legwork.job").await
        })
        .await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn jobs_that_wait_for_their_limit_keep_their_place_in_line() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        let mut limited = KindSettings::new(name("limited"), HandlerSettings::Noop);
        limited.rate_limit = Some("1/h".parse().unwrap());
        settings.kinds = vec![limited];
        let insert = "INSERT INTO legwork.job (kind) SELECT 'limited' FROM generate_series(1, 10)";
        sqlx::query(insert).execute(&pool).await.unwrap();
        let runner = Runner::start(daemon(settings));
        support::eventually("the first went back and was claimed again", async || {
            value(&pool, "SELECT max(token) >= 2 FROM legwork.job").await
        })
        .await;
        runner.stop().await;
        let claimed: Vec<bool> =
            value(&pool, "SELECT array_agg(token > 0 ORDER BY seq) FROM legwork.job").await;
        assert_eq!(claimed.iter().filter(|claimed| **claimed).count(), 1, "{claimed:?}");
        assert!(claimed[0], "the first in line alone was taken, twice");
        pool.close().await;
    });
}
