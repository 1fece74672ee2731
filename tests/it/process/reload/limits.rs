//! Rate limits that appear, change and vanish while jobs wait for them.

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::postgres::PgPool;

use super::{Notebook, SLACK, becomes, enqueue, file, queue, reload};
use crate::support::{self, Daemon};

/// Waits until the daemon's row says this.
pub(super) async fn published(pool: &PgPool, says: &str) {
    let asked = "SELECT coalesce(bool_or(jsonb_path_match(\
                 to_jsonb(d), $1::text::jsonpath)), false) \
                 FROM legwork.daemon d";
    support::eventually(says, async || {
        sqlx::query_scalar::<_, bool>(asked).bind(says).fetch_one(pool).await.expect("an answer")
    })
    .await;
}

/// Has the file read, and nothing but this key changes.
async fn changes(daemon: &Daemon, text: &str, key: &str) {
    let line = reload(daemon, text, "config.reloaded").await;
    let told = (line["config.changed"].as_str(), &line["config.needs_restart"]);
    assert_eq!(told, (Some(key), &Value::Null));
}

const OF_KIND: &str = "[[kind]] \"work\".rate_limit";
const OF_QUEUE: &str = "[[queue]] \"default\".rate_limit";

#[test]
fn a_limit_that_appears_changes_or_vanishes_holds_for_what_waits_and_what_comes() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = notebook.kind("work", "echo ran $LEGWORK_JOB_ID >> notes", "");
        let text = |of_queue: &str, of_kind: &str| {
            file(&db.url(), &format!("{}{of_queue}\n{kind}{of_kind}\n", queue(4)))
        };
        let (none, hourly) = ("", "rate_limit = '1/h'");
        let mut daemon = Daemon::start(&text(none, hourly)).await;
        let mut ids = vec![enqueue(&pool, "work").await, enqueue(&pool, "work").await];
        published(&pool, "$.load.kinds.work.waiting == 1").await;

        // One that is claimed and waits, and one in line.
        changes(&daemon, &text(none, none), OF_KIND).await;
        for id in &ids {
            becomes(&pool, *id, "completed").await;
        }
        published(&pool, "!exists($.limits.kinds.work)").await;

        for (of_queue, of_kind, key, waiting) in [
            (none, hourly, OF_KIND, "$.load.kinds.work.waiting == 1"),
            (hourly, none, OF_QUEUE, "$.load.queues.default.waiting == 1"),
        ] {
            changes(&daemon, &text(of_queue, of_kind), key).await;
            let before = notebook.lines();
            // Of several none starts: nobody claims them for no limit any more.
            let mut waits = Vec::new();
            for _ in 0..5 {
                waits.push(enqueue(&pool, "work").await);
            }
            published(&pool, waiting).await;
            assert_eq!(notebook.lines(), before, "it waits for the limit");
            let (of_queue, of_kind) =
                (of_queue.replace("1/h", "50/s"), of_kind.replace("1/h", "50/s"));
            changes(&daemon, &text(&of_queue, &of_kind), key).await;
            for id in &waits {
                becomes(&pool, *id, "completed").await;
            }
            changes(&daemon, &text(none, none), key).await;
            ids.append(&mut waits);
        }
        let attempts = "SELECT count(*) FROM legwork.jobs WHERE attempt = 1";
        let charged: i64 = sqlx::query_scalar(attempts).fetch_one(&pool).await.expect("an answer");
        assert_eq!(charged, 12, "going back costs no attempt");
        let ran: Vec<_> = ids.iter().map(|id| format!("ran {id}")).collect();
        let mut lines = notebook.lines();
        lines.sort_by_key(|line| ran.iter().position(|ran| ran == line));
        assert_eq!(lines, ran);
        assert_eq!(daemon.count("task.restarted"), 0);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn reloads_that_leave_a_limit_as_it_is_leave_its_permits() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = notebook.kind("work", "echo ran >> notes", "rate_limit = '20/m'");
        let text = |jobs, limit: &str| {
            file(&db.url(), &format!("{}rate_limit = '{limit}'\n{kind}", queue(jobs)))
        };
        let mut daemon = Daemon::start(&text(1, "900/s")).await;
        daemon.logged("daemon.started").await;
        let id = enqueue(&pool, "work").await;
        // Were the bucket emptied each time, it would never start: reloads come quicker than permits.
        let mut round = 0;
        support::eventually("it ran", async || {
            round += 1;
            let limit = if round % 2 == 0 { "900/s" } else { "800/s" };
            reload(&daemon, &text(1 + round % 3, limit), "config.reloaded").await;
            !notebook.lines().is_empty()
        })
        .await;
        assert!(round > 3, "{round}");
        becomes(&pool, id, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
