//! Retention that changes while the daemon runs.

use nix::sys::signal::Signal;

use super::{SLACK, becomes, enqueue, file, reload};
use crate::support::{self, Daemon};

const NOOP: &str = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";

#[test]
fn jobs_that_end_after_a_reload_are_kept_as_long_as_it_says_and_the_database_knows() {
    support::run(async |db| {
        let pool = db.pool().await;
        let text = |retention: &str| file(&db.url(), &format!("{retention}{NOOP}"));
        let mut daemon = Daemon::start(&text("[retention]\ncompleted = '3d'\n")).await;
        let kept = enqueue(&pool, "noop").await;
        becomes(&pool, kept, "completed").await;

        let none =
            "[retention]\ncancelled = '5d'\n[[queue]]\nname = 'default'\nretention = 'none'\n";
        let line = reload(&daemon, &text(none), "config.reloaded").await;
        let keys = "retention.completed, retention.cancelled, [[queue]] \"default\".retention";
        assert_eq!(
            (&line["config.changed"], line.get("config.needs_restart")),
            (&keys.into(), None)
        );
        let gone = enqueue(&pool, "noop").await;
        let left = "SELECT count(*) FROM legwork.jobs WHERE id = $1";
        support::eventually("nothing is left of it", async || {
            let left = sqlx::query_scalar::<_, i64>(left).bind(gone).fetch_one(&pool).await;
            left.expect("an answer") == 0
        })
        .await;
        becomes(&pool, kept, "completed").await;
        let told = "SELECT count(*) = 1 FROM legwork.queue WHERE name = 'default' AND \
                    retention_completed = '0' AND retention_cancelled = '5 days'";
        support::eventually("the database was told", async || {
            sqlx::query_scalar::<_, bool>(told).fetch_one(&pool).await.expect("an answer")
        })
        .await;

        reload(&daemon, &text("[retention]\ncompleted = '3d'\n"), "config.reloaded").await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
