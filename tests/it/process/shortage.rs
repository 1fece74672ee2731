//! A daemon that can't start as many programs as it may: its jobs wait, and none is charged.

use legwork::sys::ChildSetup;
use nix::sys::resource::Resource;
use sqlx::PgPool;
use tokio::process::Command;

use super::{Configuration, Notebook, count, enqueue_many};
use crate::support::{self, Daemon};

/// Enough for the daemon itself and some programs of four descriptors each.
const DESCRIPTORS: u64 = 64;
const JOBS: i32 = 40;

/// The daemon of `Daemon::start`, with this limit, soft and hard.
async fn with_descriptors(most: u64, configuration: &str) -> Daemon {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("legwork.toml");
    std::fs::write(&file, configuration).expect("the configuration can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
    command.arg("--config").arg(&file).arg("run");
    ChildSetup::new().limit(Resource::RLIMIT_NOFILE, most).apply_tokio(&mut command);
    Daemon::start_command(command, directory).await
}

async fn number(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.expect("it can be counted")
}

#[test]
fn a_job_whose_program_finds_no_descriptors_waits_and_is_not_charged() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = notebook.kind("slow", "echo ran >> notes; sleep 1", "max_attempts = 1");
        let wide = format!("[[queue]]\nname = 'default'\nconcurrency = {JOBS}\n");
        let kinds = [wide, kind];
        enqueue_many(&pool, "slow", JOBS).await;
        let daemon =
            with_descriptors(DESCRIPTORS, &Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("all jobs have ended", async || {
            count(&pool, "slow", "completed").await + count(&pool, "slow", "discarded").await
                == i64::from(JOBS)
        })
        .await;

        let said = daemon.logged("command.failed").await;
        let message = said["message"].as_str().expect("text");
        assert!(message.contains("LimitNOFILE"), "{said}");
        let first =
            "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed' AND attempt = 1";
        assert_eq!(number(&pool, first).await, i64::from(JOBS), "{}", daemon.printed());
        assert_eq!(number(&pool, "SELECT count(*) FROM legwork.failed_attempt").await, 0);
        assert_eq!(notebook.lines().len(), usize::try_from(JOBS).expect("few"), "each ran once");
        let labels = [r#"code="not_started""#];
        assert!(daemon.metric("legwork_command_exits_total", &labels).await > 0.0);
        pool.close().await;
    });
}
