//! What the gauges say while something is under way, and what they say afterwards.

use std::sync::Arc;

use legwork::config::Settings;
use legwork::telemetry::metrics::Metrics;
use sqlx::PgPool;

use super::{AT_ONCE, Runner, Stays, completed, daemon, deciding, drained, insert, kind, name};
use crate::support;

/// The value of a series, as it is shown.
fn shown(metrics: &Metrics, series: &str) -> String {
    let text = metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or("absent").to_owned()
}

/// Waits until a series has this value.
async fn shows(metrics: &Metrics, series: &str, value: &str) {
    support::eventually(&format!("{series} is {value}"), async || shown(metrics, series) == value)
        .await;
}

fn with_kinds(mut settings: Settings, kinds: &[&str]) -> Settings {
    settings.kinds = kinds.iter().map(|text| kind(text, AT_ONCE)).collect();
    settings
}

const BUSY: &str = r#"legwork_workers{queue="default",state="busy"}"#;
const IDLE: &str = r#"legwork_workers{queue="default",state="idle"}"#;
const STOPPING: &str = r#"legwork_workers{queue="default",state="stopping"}"#;
const IN_FLIGHT: &str = r#"legwork_jobs_in_flight{queue="default",kind="stays"}"#;
const OLDEST: &str = r#"legwork_job_oldest_running_age_seconds{queue="default"}"#;

#[test]
fn a_worker_is_busy_then_stopping_then_idle() {
    support::run(async |db| {
        let pool = db.pool().await;
        let stays = Stays::default();
        let (told, may_end) = (Arc::clone(&stays.told), Arc::clone(&stays.may_end));
        let settings = with_kinds(super::settings(&db), &["stays"]);
        let daemon = daemon(settings).with_handler(name("stays"), stays);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let id = insert(&pool, "stays").await;
        shows(&metrics, BUSY, "1").await;
        assert_eq!(shown(&metrics, IN_FLIGHT), "1");
        assert!(shown(&metrics, OLDEST).parse::<f64>().unwrap() > 0.0);

        cancel(&pool, id).await;
        told.notified().await;
        assert_eq!([BUSY, STOPPING, IDLE].map(|state| shown(&metrics, state)), ["0", "1", "0"]);
        may_end.notify_one();
        drained(&pool).await;
        shows(&metrics, IDLE, "1").await;
        assert_eq!([BUSY, STOPPING].map(|state| shown(&metrics, state)), ["0", "0"]);
        assert_eq!([IN_FLIGHT, OLDEST].map(|series| shown(&metrics, series)), ["0", "0"]);
        runner.stop().await;
        pool.close().await;
    });
}

async fn cancel(pool: &PgPool, id: i64) {
    let asked = sqlx::query("SELECT legwork.cancel($1)").bind(id).execute(pool).await;
    asked.expect("a job can be cancelled");
}

#[test]
fn a_panic_is_counted_and_nothing_stays_in_flight() {
    support::run(async |db| {
        let pool = db.pool().await;
        let settings = with_kinds(super::settings(&db), &["panics"]);
        let panics = deciding(|context| {
            assert!(context.attempt() > 1, "on purpose");
            completed()
        });
        let daemon = daemon(settings).with_handler(name("panics"), panics);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        insert(&pool, "panics").await;
        drained(&pool).await;
        let of_kind = |metric: &str| format!(r#"{metric}{{queue="default",kind="panics"}}"#);
        shows(&metrics, &of_kind("legwork_jobs_in_flight"), "0").await;
        assert_eq!(shown(&metrics, &of_kind("legwork_job_panics_total")), "1");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_verdict_is_pending_until_it_is_written() {
    support::run(async |db| {
        let pool = db.pool().await;
        let settings = with_kinds(super::settings(&db), &["quick"]);
        let daemon = daemon(settings).with_handler(name("quick"), deciding(|_| completed()));
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let mut lock = pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE legwork.finished").execute(&mut *lock).await.unwrap();
        insert(&pool, "quick").await;
        shows(&metrics, "legwork_flush_pending_rows", "1").await;
        lock.rollback().await.unwrap();
        drained(&pool).await;
        shows(&metrics, "legwork_flush_pending_rows", "0").await;
        runner.stop().await;
        pool.close().await;
    });
}
