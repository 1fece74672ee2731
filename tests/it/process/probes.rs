//! Health and metrics on the real port, and what a process holds after much work.

use nix::sys::signal::Signal;

use super::{Configuration, SLACK, becomes, count, enqueue, enqueue_many};
use crate::support::{self, Daemon, Proxy};

#[test]
fn readiness_names_its_reasons_and_liveness_does_not_ask_the_database() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        support::eventually("the daemon is ready", async || {
            daemon.get("/health/ready").await == (200, "ready\n".to_owned())
        })
        .await;
        assert_eq!(daemon.get("/health/live").await, (200, "live\n".to_owned()));

        proxy.blackhole();
        support::eventually("readiness says that the heartbeat is late", async || {
            let (status, reasons) = daemon.get("/health/ready").await;
            status == 503 && reasons.contains("[-]heartbeat failed: nothing reported for")
        })
        .await;
        support::eventually("readiness says that claims aren't answered", async || {
            daemon.get("/health/ready").await.1.contains("[-]claimers failed: claims aren't")
        })
        .await;
        assert_eq!(daemon.get("/health/live").await.0, 200);

        proxy.heal();
        support::eventually("the daemon is ready again", async || {
            daemon.get("/health/ready").await.0 == 200
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_job_is_counted_on_the_metrics_page() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;

        let labels = [r#"queue="default""#, r#"kind="noop""#, r#"outcome="completed""#];
        support::eventually("the finished job is counted", async || {
            daemon.metric("legwork_jobs_finished_total", &labels).await.to_string() == "1"
        })
        .await;
        for (name, labels) in [
            ("legwork_jobs_claimed_total", &labels[..1]),
            ("legwork_job_duration_seconds_count", &labels[..2]),
        ] {
            assert_eq!(daemon.metric(name, labels).await.to_string(), "1", "{name}");
        }
        drop(daemon);
        pool.close().await;
    });
}

#[test]
#[cfg(target_os = "linux")]
fn five_hundred_programs_leave_no_thread_descriptor_or_child() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds =
            ["[[kind]]\nname = 'true'\nhandler = 'command'\ncommand = ['/bin/true']\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let completed = async |wanted: i64| {
            let what = format!("{wanted} programs have run");
            support::eventually(&what, async || count(&pool, "true", "completed").await == wanted)
                .await;
        };
        enqueue_many(&pool, "true", 40).await;
        completed(40).await;
        support::eventually("no program is left", async || daemon.holds().children == 0).await;
        let before = daemon.holds();

        enqueue_many(&pool, "true", 500).await;
        completed(540).await;
        support::eventually(&format!("it holds what it held before, {before:?}"), async || {
            let now = daemon.holds();
            now.threads <= before.threads
                && now.descriptors <= before.descriptors
                && now.children == 0
        })
        .await;
        drop(daemon);
        pool.close().await;
    });
}
