//! What a running daemon says of its slots and rate limits with its row, and what `why()` makes of it.

use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::{AT_ONCE, Runner, completed, daemon, drained, handling, insert, kind, name, settings};
use crate::support;

/// Waits until `why` blocks the job at this gate, and gives what it says there.
async fn blocked_at(pool: &PgPool, gate: &str, job: i64) -> String {
    super::awaited(&format!("{gate} blocks job {job}"), async || {
        let why = "SELECT detail FROM legwork.why($1) WHERE gate = $2 AND blocking";
        let row = sqlx::query_scalar(why).bind(job).bind(gate).fetch_optional(pool);
        row.await.expect("Postgres answers")
    })
    .await
}

#[test]
fn why_names_taken_slots_once_the_daemon_has_renewed_and_no_longer_once_they_are_free() {
    static GO: Semaphore = Semaphore::const_new(0);
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.daemon.name = "web-1".into();
        settings.daemon.heartbeat_interval = Duration::from_millis(100);
        settings.queues[0].concurrency = 2;
        settings.kinds = vec![kind("waits", AT_ONCE)];
        let handler = handling(|_| {
            Box::pin(async {
                GO.acquire().await.expect("open").forget();
                completed()
            })
        });
        let runner = Runner::start(daemon(settings).with_handler(name("waits"), handler));
        let mut last = 0;
        for _ in 0..3 {
            last = insert(&pool, "waits").await;
        }
        let detail = blocked_at(&pool, "slots", last).await;
        let told = "all 2 slots of queue default are taken on every daemon that serves it \
                    (web-1: 2 of 2, ";
        assert!(detail.starts_with(told), "{detail}");
        let limits: serde_json::Value =
            super::value(&pool, "SELECT limits FROM legwork.daemon").await;
        assert_eq!(
            limits,
            serde_json::json!({ "queues": { "default": { "slots": 2 } }, "kinds": {} })
        );
        GO.add_permits(3);
        drained(&pool).await;
        support::eventually("no slot is said to be taken", async || {
            super::value(
                &pool,
                "SELECT load = '{\"quiet\": false, \"queues\": {\"default\": {\"in_use\": 0, \"waiting\": 0}}, \
                 \"kinds\": {}}' FROM legwork.daemon",
            )
            .await
        })
        .await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn why_names_the_limits_of_kind_and_queue_that_hold_a_job_back() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.daemon.name = "web-1".into();
        settings.daemon.heartbeat_interval = Duration::from_millis(100);
        let mut limited = KindSettings::new(name("limited"), HandlerSettings::Noop);
        limited.rate_limit = Some("1/h".parse().unwrap());
        settings.kinds = vec![limited];
        settings.queues[0].rate_limit = Some("2/h burst 2".parse().unwrap());
        let runner = Runner::start(daemon(settings));
        let mut last = 0;
        for _ in 0..3 {
            last = insert(&pool, "limited").await;
        }
        let told =
            "SELECT array_agg(detail) FROM legwork.why($1) WHERE gate = 'rate limit' AND blocking";
        support::eventually("one job waits, and why() says so of both limits", async || {
            let told: Option<Vec<String>> =
                sqlx::query_scalar(told).bind(last).fetch_one(&pool).await.unwrap();
            told.is_some_and(|told| {
                let kind =
                    "kind limited starts at most 1/h (burst 1) on web-1, where 1 waits for it";
                let queue =
                    "queue default starts at most 2/h (burst 2) on web-1, where 1 waits for it";
                told.len() == 2 && told[0].starts_with(kind) && told[1].starts_with(queue)
            })
        })
        .await;
        runner.stop().await;
        pool.close().await;
    });
}
