//! What an operator reads of an attempt that failed, and of a job that never ran.

use nix::sys::signal::Signal;

use super::{Configuration, Notebook, SLACK};
use crate::support::{self, Daemon};

#[test]
fn a_failed_attempt_is_told_with_its_job_its_request_and_its_error() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("fails", "echo the relay is down >&2; exit 1", "")];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let insert = "INSERT INTO legwork.job (kind, max_attempts, metadata) VALUES
            ('fails', 1, '{\"request_id\": \"r-7\", \"user_id\": 42}') RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&pool).await.unwrap();
        let line = daemon.logged("job.failed").await;
        for (field, value) in [
            ("job.id", serde_json::json!(id)),
            ("job.kind", "fails".into()),
            ("job.queue", "default".into()),
            ("job.attempt", 1.into()),
            ("job.max_attempts", 1.into()),
            ("job.outcome", "discarded".into()),
            ("request_id", "r-7".into()),
            ("user_id", "42".into()),
            ("error.type", "failed".into()),
            ("error.message", "exit code 1\nthe relay is down".into()),
        ] {
            assert_eq!(line[field], value, "{field} of {line}");
        }

        let insert = "INSERT INTO legwork.job (kind, attempt, max_attempts) VALUES
            ('fails', 2, 2) RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&pool).await.unwrap();
        let line = daemon.logged("job.discarded").await;
        assert_eq!((&line["job.id"], &line["reason"]), (&id.into(), &"attempts_exhausted".into()));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0));
        pool.close().await;
    });
}
