//! How an attempt ends and what that leaves in history: one daemon, a kind for each ending.

use std::collections::BTreeMap;
use std::time::Duration;

use legwork::executor::{Context, HandlerError, TypedHandler};
use legwork::job::{DiscardReason, JobError, Outcome, Retention};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{
    AT_ONCE, History, Runner, completed, daemon, deciding, handling, history, insert, kind, name,
    queue, settings, value,
};
use crate::support;

fn retry(text: &str) -> Outcome {
    Outcome::Retry { error: JobError::new(text), after: None }
}

fn end(outcome: &str, reason: Option<&str>, attempt: i16) -> History {
    History {
        outcome: outcome.into(),
        reason: reason.map(Into::into),
        attempt,
        snoozes: 0,
        result: None,
        failures: Vec::new(),
    }
}

fn failing(end: History, failures: &[&str]) -> History {
    History { failures: failures.iter().map(|text| (*text).into()).collect(), ..end }
}

/// Doubles a number.
struct Doubles;

#[derive(serde::Deserialize)]
struct Number {
    n: i64,
}

impl TypedHandler for Doubles {
    type Payload = Number;
    type Result = BTreeMap<&'static str, i64>;

    async fn handle(&self, payload: Number, _: &Context) -> Result<Self::Result, HandlerError> {
        Ok([("doubled", payload.n * 2)].into())
    }
}

/// What each kind's one job must leave behind, by the kind's name.
fn expected() -> BTreeMap<&'static str, History> {
    let exhausted = |attempt| end("discarded", Some("attempts_exhausted"), attempt);
    BTreeMap::from([
        ("completes", end("completed", None, 1)),
        ("fails-once", failing(end("completed", None, 2), &["1 failed: not yet"])),
        ("always-fails", failing(exhausted(3), &["1 failed: no", "2 failed: no", "3 failed: no"])),
        ("panics", failing(exhausted(1), &["1 panicked: panic: on purpose"])),
        ("panics-once", failing(end("completed", None, 2), &["1 panicked: panic: the first time"])),
        (
            "hangs",
            failing(exhausted(1), &["1 timed_out: the attempt took longer than its limit of 50ms"]),
        ),
        ("snoozes-once", History { snoozes: 1, ..end("completed", None, 1) }),
        (
            "always-snoozes",
            History { snoozes: 2, ..end("discarded", Some("snoozes_exhausted"), 0) },
        ),
        (
            "gives-up",
            failing(end("discarded", Some("permanent_error"), 1), &["1 failed: pointless"]),
        ),
        ("calls-off", end("cancelled", Some("cancel_requested"), 0)),
        (
            "doubles",
            History { result: Some(r#"{"doubled": 42}"#.into()), ..end("completed", None, 1) },
        ),
    ])
}

#[test]
fn every_ending_leaves_the_history_that_its_rule_says() {
    support::run(async |db| {
        let pool = db.pool().await;
        let expected = expected();
        let mut settings = settings(&db);
        settings.kinds = expected.keys().map(|text| kind(text, AT_ONCE)).collect();
        for kind in &mut settings.kinds {
            kind.policy.max_attempts = 3;
            kind.policy.max_snoozes = Some(2);
        }
        let daemon = daemon(settings)
            .with_handler(name("completes"), deciding(|_| completed()))
            .with_handler(
                name("fails-once"),
                deciding(|c| if c.attempt() == 1 { retry("not yet") } else { completed() }),
            )
            .with_handler(name("always-fails"), deciding(|_| retry("no")))
            .with_handler(name("panics"), deciding(|_| panic!("on purpose")))
            .with_handler(
                name("panics-once"),
                deciding(|c| {
                    assert!(c.attempt() > 1, "the first time");
                    completed()
                }),
            )
            .with_handler(name("hangs"), handling(|_| Box::pin(std::future::pending())))
            .with_handler(
                name("snoozes-once"),
                deciding(|c| match c.job().snoozes {
                    0 => Outcome::Snooze { delay: Some(AT_ONCE) },
                    _ => completed(),
                }),
            )
            .with_handler(
                name("always-snoozes"),
                deciding(|_| Outcome::Snooze { delay: Some(Duration::ZERO) }),
            )
            .with_handler(
                name("gives-up"),
                deciding(|_| Outcome::Discard {
                    reason: DiscardReason::PermanentError,
                    error: JobError::new("pointless"),
                }),
            )
            .with_handler(name("calls-off"), deciding(|_| Outcome::Cancel))
            .with_typed_handler(name("doubles"), Doubles);
        let runner = Runner::start(daemon);

        let mut found = BTreeMap::new();
        for kind in expected.keys() {
            // The row's own limits win over the kind's.
            let insert = sqlx::query_scalar(
                "INSERT INTO legwork.job (kind, payload, max_attempts, timeout)
                 VALUES ($1, '{\"n\": 21}', CASE WHEN $1 IN ('panics', 'hangs') THEN 1 END,
                     CASE $1 WHEN 'hangs' THEN interval '50 ms' END) RETURNING id",
            );
            let id: i64 = insert.bind(*kind).fetch_one(&pool).await.unwrap();
            found.insert(*kind, id);
        }
        for (kind, expected) in &expected {
            assert_eq!(history(&pool, found[kind]).await, *expected, "{kind}");
        }
        let least = "SELECT count(duration_ms) = count(*) AND bool_and(duration_ms >= CASE kind WHEN 'hangs' THEN 50 ELSE 0 END)
            FROM legwork.finished";
        assert!(value::<bool>(&pool, least).await, "each says how long its last attempt ran");
        let left: i64 = value(&pool, "SELECT count(*) FROM legwork.job").await;
        assert_eq!(left, 0, "what is in history is no longer in the live table");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_payload_that_the_handler_cannot_take_is_discarded_at_once() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("doubles", AT_ONCE)];
        let runner = Runner::start(daemon(settings).with_typed_handler(name("doubles"), Doubles));
        let id = insert(&pool, "doubles").await;
        let History { outcome, reason, attempt, failures, .. } = history(&pool, id).await;
        assert_eq!((outcome.as_str(), reason.as_deref()), ("discarded", Some("invalid_payload")));
        assert_eq!(attempt, 1);
        assert!(failures.len() == 1 && failures[0].contains("missing field `n`"), "{failures:?}");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_failed_job_waits_for_its_backoff() {
    const BACKOFF: Duration = Duration::from_millis(300);
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("fails", BACKOFF)];
        let (starts, mut started) = mpsc::channel(2);
        let handler = deciding(move |context| {
            starts.try_send(Instant::now()).unwrap();
            if context.is_final_attempt() { completed() } else { retry("not yet") }
        });
        let runner = Runner::start(daemon(settings).with_handler(name("fails"), handler));
        let id: i64 = value(
            &pool,
            "INSERT INTO legwork.job (kind, max_attempts) VALUES ('fails', 2) RETURNING id",
        )
        .await;
        let first = started.recv().await.unwrap();
        support::eventually("it is retryable", async || {
            let state = "SELECT coalesce(min(state), '') FROM legwork.jobs";
            value::<String>(&pool, state).await == "retryable"
        })
        .await;
        let second = started.recv().await.unwrap();
        // Measured by another clock than the one that decides, so a little less may show.
        assert!(second - first > BACKOFF * 9 / 10, "only {:?} later", second - first);
        assert_eq!(history(&pool, id).await.attempt, 2);
        runner.stop().await;
        pool.close().await;
    });
}

/// A job that has expired: its queue, its kind, when it is due, and the reason that it is discarded for.
const EXPIRED: &[(&str, &str, &str, &str)] = &[
    ("default", "nobody-serves", "0 s", "unknown_kind_expired"),
    ("nobody-serves", "ends", "0 s", "unknown_kind_expired"),
    ("default", "served-by-the-dead", "0 s", "unknown_kind_expired"),
    ("default", "served-elsewhere", "0 s", "expired"),
    ("elsewhere", "served-elsewhere", "0 s", "expired"),
    ("paused", "ends", "0 s", "expired"),
    ("default", "ends", "1 h", "expired"),
    ("default", "ends", "0 s", "expired"),
];

#[test]
fn a_job_whose_time_has_passed_is_discarded_whoever_serves_it_and_says_where_nobody_does() {
    support::run(async |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(
            "INSERT INTO legwork.daemon (id, expires_at, died_at, queues, kinds) VALUES
                (1, now(), now(), '{default}', '{served-by-the-dead}'),
                (2, now() + interval '1 h', NULL, '{default,elsewhere}', '{served-elsewhere}');
             SELECT legwork.pause('paused')",
        )
        .execute(&pool)
        .await
        .unwrap();
        let mut expired = Vec::new();
        for (queue, kind, delay, reason) in EXPIRED {
            let job = sqlx::query_scalar(
                "INSERT INTO legwork.job (queue, kind, run_at, expires_at)
                 VALUES ($1, $2, now() + $3::interval, now() - interval '1 minute') RETURNING id",
            );
            let id: i64 = job.bind(queue).bind(kind).bind(delay).fetch_one(&pool).await.unwrap();
            expired.push((id, *reason));
        }
        let in_time = "INSERT INTO legwork.job (kind, expires_at)
            VALUES ('nobody-serves', now() + interval '1 hour')";
        sqlx::query(in_time).execute(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ends", AT_ONCE)];
        settings.queues.push(queue("paused"));
        // Longer than days of history are made ahead.
        settings.queues[0].retention.discarded = Retention::For(Duration::from_hours(60 * 24));
        let daemon = daemon(settings).with_handler(name("ends"), deciding(|_| completed()));
        let runner = Runner::start(daemon);
        for (id, reason) in expired {
            assert_eq!(history(&pool, id).await, end("discarded", Some(reason), 0));
        }
        assert_eq!(value::<i64>(&pool, "SELECT count(*) FROM legwork.job").await, 1);
        runner.stop().await;
        pool.close().await;
    });
}
