//! A daemon that can't go on: it ends, and not as if all were well, or nobody would start it again.

use std::time::Duration;

use legwork::{
    config::{DatabaseUrl, Environment, HandlerSettings, KindSettings, QueueSettings, Settings},
    daemon::{Daemon, Signals},
    executor::{Context, Handler, HandlerFuture},
    job::{KindName, QueueName},
};
use tokio::time::timeout;

use crate::support::{self, PATIENCE};

/// Breaks its worker where no attempt's boundary is: as it is asked how long it may take to stop.
struct Breaking;

impl Handler for Breaking {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(std::future::pending())
    }

    fn stop_grace(&self) -> Duration {
        panic!("no answer");
    }
}

fn settings(url: &str) -> Settings {
    let mut settings = Settings::default();
    settings.database.url = Some(DatabaseUrl::new(url));
    support::pooled::lead(&mut settings.database);
    settings.admin.listen = None;
    let name = QueueName::new("default").expect("a name");
    let mut queue = QueueSettings::new(name, settings.retention);
    queue.concurrency = 1;
    settings.queues = vec![queue];
    settings.kinds = vec![KindSettings::new(breaking(), HandlerSettings::Rust)];
    settings
}

fn breaking() -> KindName {
    KindName::new("breaking").expect("a name")
}

#[test]
fn a_daemon_whose_task_fails_for_good_ends_uncleanly_and_names_it() {
    support::run(async |db| {
        let pool = db.pool().await;
        let statement = "INSERT INTO legwork.job (kind, timeout)
            SELECT 'breaking', '50 ms' FROM generate_series(1, 8)";
        sqlx::query(statement).execute(&pool).await.unwrap();
        let nothing: [(&str, &str); 0] = [];
        let daemon = Daemon::new(settings(&db.url()), Environment::of(nothing));
        let run = daemon.with_handler(breaking(), Breaking).run_with(Signals::default());
        let ended = timeout(PATIENCE, run).await.expect("it ends").expect("it had started");
        assert_eq!(ended.failed.as_deref(), Some("worker[default]#0"));
        assert!(!ended.is_clean());
        pool.close().await;
    });
}
