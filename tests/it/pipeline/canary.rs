//! The canary: a job that goes the whole way now and then, alone, and leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use legwork::job::QueueName;
use legwork::telemetry::metrics::Metrics;
use sqlx::PgPool;
use tokio::time::Instant;

use super::{Runner, Stays, daemon, insert, kind, name, queue, settings};
use crate::support::{self, TestDb};

const SENT: &str = r#"legwork_jobs_enqueued_total{queue="second",via="canary"}"#;
const ROUNDTRIPS: &str = r#"legwork_canary_roundtrip_seconds_count{queue="second"}"#;
const SECONDS: &str = r#"legwork_canary_roundtrip_seconds_sum{queue="second"}"#;
const LAST: &str = r#"legwork_canary_last_success_timestamp_seconds{queue="second"}"#;
const ASKED: &str =
    r#"legwork_db_operation_duration_seconds_count{operation="canary",result="ok"}"#;

fn shown(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn count(metrics: &Metrics, series: &str) -> u64 {
    shown(metrics, series).to_string().parse().expect("it counts whole ones")
}

/// Waits until a series has grown by so much.
async fn grows(metrics: &Metrics, series: &str, by: f64) {
    let least = shown(metrics, series) + by;
    support::eventually(&format!("{series} is {least}"), async || shown(metrics, series) >= least)
        .await;
}

/// A daemon of two queues that run one job at once each, with a canary each second through the second.
fn with_canary(db: &TestDb, enabled: bool) -> legwork::daemon::Daemon {
    let mut settings = settings(db);
    settings.queues = ["first", "second"].map(queue).into();
    settings.queues.iter_mut().for_each(|queue| queue.concurrency = 1);
    settings.kinds = vec![kind("stays", Duration::from_millis(1))];
    settings.canary.enabled = enabled;
    settings.canary.interval = Duration::from_secs(1);
    settings.canary.queue = QueueName::new("second").ok();
    daemon(settings)
}

/// Unfinished canaries, as people see them.
async fn waiting(pool: &PgPool) -> Vec<(String, String)> {
    let statement =
        "SELECT queue::text, state::text FROM legwork.jobs WHERE kind = 'legwork.canary'";
    sqlx::query_as(statement).fetch_all(pool).await.expect("jobs can be listed")
}

#[test]
fn a_canary_goes_through_its_queue_at_each_interval_and_leaves_no_history() {
    support::run(async |db| {
        let pool = db.pool().await;
        let daemon = with_canary(&db, true);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon.with_handler(name("stays"), Stays::default()));
        grows(&metrics, ROUNDTRIPS, 1.0).await;
        let first = shown(&metrics, LAST);
        grows(&metrics, ROUNDTRIPS, 2.0).await;
        assert!(shown(&metrics, LAST) > first, "each success is told of");
        assert!(shown(&metrics, SENT) >= 3.0);
        let mean = shown(&metrics, SECONDS) / shown(&metrics, ROUNDTRIPS);
        assert!((0.0..60.0).contains(&mean) && mean > 0.0, "{mean} s");
        let page = metrics.render();
        assert!(!page.contains("legwork_canary_roundtrip_seconds_count{queue=\"first\""), "{page}");
        runner.stop().await;
        let kept = sqlx::query_scalar("SELECT count(*) FROM legwork.finished").fetch_one(&pool);
        assert_eq!(kept.await.unwrap_or(-1_i64), 0, "history keeps none");
        pool.close().await;
    });
}

#[test]
fn one_canary_waits_where_nothing_is_run_and_none_where_the_queue_is_paused() {
    support::run(async |db| {
        let pool = db.pool().await;
        let stays = Stays::default();
        let (told, may_end) = (stays.told.clone(), stays.may_end.clone());
        let daemon = with_canary(&db, true).with_handler(name("stays"), stays);
        let metrics = daemon.metrics();
        // It has the only slot before any canary is there.
        let statement =
            "INSERT INTO legwork.job (queue, kind) VALUES ('second', 'stays') RETURNING id";
        let stays: i64 = sqlx::query_scalar(statement).fetch_one(&pool).await.unwrap();
        let runner = Runner::start(daemon);
        grows(&metrics, ASKED, 3.0).await;
        assert_eq!(waiting(&pool).await, [("second".to_owned(), "available".to_owned())]);
        let sent = shown(&metrics, SENT);

        let pause = "SELECT legwork.pause('second')";
        sqlx::query(pause).execute(&pool).await.unwrap();
        sqlx::query("SELECT legwork.cancel($1)").bind(stays).execute(&pool).await.unwrap();
        told.notified().await;
        may_end.notify_one();
        let gone = "DELETE FROM legwork.job WHERE kind = 'legwork.canary'";
        sqlx::query(gone).execute(&pool).await.unwrap();
        grows(&metrics, ASKED, 3.0).await;
        assert_eq!(waiting(&pool).await, []);
        assert!((shown(&metrics, SENT) - sent).abs() < f64::EPSILON, "none was sent meanwhile");
        sqlx::query("SELECT legwork.resume('second')").execute(&pool).await.unwrap();
        grows(&metrics, ROUNDTRIPS, 1.0).await;
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn without_it_nothing_is_sent_and_nothing_is_shown() {
    support::run(async |db| {
        let pool = db.pool().await;
        let stays = Stays::default();
        let (told, may_end) = (stays.told.clone(), stays.may_end.clone());
        let daemon = with_canary(&db, false).with_handler(name("stays"), stays);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        sqlx::query("INSERT INTO legwork.job (queue, kind) VALUES ('first', 'stays')")
            .execute(&pool)
            .await
            .unwrap();
        grows(&metrics, r#"legwork_jobs_claimed_total{queue="first"}"#, 1.0).await;
        let page = metrics.render();
        assert!(!page.contains("canary"), "{page}");
        sqlx::query("SELECT legwork.cancel(id) FROM legwork.job").execute(&pool).await.unwrap();
        told.notified().await;
        may_end.notify_one();
        // A stranger's one waits like any kind that nobody serves.
        let stranger = insert(&pool, "legwork.canary").await;
        runner.stop().await;
        let state: String =
            sqlx::query_scalar("SELECT state::text FROM legwork.jobs WHERE id = $1")
                .bind(stranger)
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(state, "available");
        pool.close().await;
    });
}

/// How often each statement was answered so far.
fn statements(metrics: &Metrics) -> BTreeMap<String, u64> {
    let text = metrics.render();
    let counts = text.lines().filter_map(|line| {
        let series =
            line.strip_prefix("legwork_db_operation_duration_seconds_count{operation=\"")?;
        let (operation, rest) = series.split_once('"')?;
        Some((operation.to_owned(), rest.rsplit_once(' ')?.1.parse::<u64>().ok()?))
    });
    counts.collect()
}

#[test]
fn a_canary_costs_an_insert_a_completion_and_a_bounded_number_of_claims() {
    // What a claimer's doubling pauses from 1 ms to the 250 of `claim.poll_interval` leave room for: the claim that brings
    // the canary, eight behind it, one of the other queue's claimer, which hears the same bell, and one each that the
    // lookout calls for. Where wake-ups arrive, the pauses begin with 20 ms, and it is six.
    const CLAIMS_MOST: u64 = 12;
    support::run(async |db| {
        let daemon = with_canary(&db, true);
        let metrics = daemon.metrics();
        let began = Instant::now();
        let runner = Runner::start(daemon.with_handler(name("stays"), Stays::default()));
        // Behind the claims of the start.
        grows(&metrics, ROUNDTRIPS, 1.0).await;
        let (before, sent) = (statements(&metrics), count(&metrics, SENT));
        grows(&metrics, ROUNDTRIPS, 5.0).await;
        runner.stop().await;
        let after = statements(&metrics);
        // From one to the next it's nine tenths of the interval at least.
        let most = began.elapsed().as_millis() / 900 + 1;
        let asked = |name: &str| after[name] - before.get(name).copied().unwrap_or(0);
        let sent = count(&metrics, SENT) - sent;
        assert!(sent >= 5, "{sent}");
        assert!(u128::from(after["canary"]) <= most, "{most} intervals: {after:?}");
        assert!(asked("claim") <= CLAIMS_MOST * (sent + 1), "{sent} canaries: {after:?}");
        assert_eq!(after["finish_without_history"], count(&metrics, ROUNDTRIPS), "{after:?}");
        assert_eq!(after.keys().filter(|name| name.starts_with("finish")).count(), 1, "{after:?}");
    });
}
