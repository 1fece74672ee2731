//! Test 9: the demo's summary is computed from `legwork.jobs` after the daemon has stopped, and one
//! sample's wrong outcome makes the exit code 1.
//!
//! A trigger turns one sample's outcome round at the very moment at which the daemon ends its row:
//! a summary that was computed before, or from anything but the rows, wouldn't know.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::process::Command;

use crate::support::{self, Daemon, PATIENCE};

const TURN_ROUND: &str = "
    CREATE FUNCTION public.turn_round() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        UPDATE legwork.finished SET outcome = 'discarded' WHERE tags @> '{flaky}';
        RETURN NULL;
    END $$;
    CREATE TRIGGER turn_round AFTER UPDATE ON legwork.daemon FOR EACH ROW
    WHEN (NEW.died_at IS NOT NULL) EXECUTE FUNCTION public.turn_round()";

/// Waits for the address that the demo shows, and for its schema; turns one sample's outcome round.
async fn meddle(demo: &Daemon) {
    let mut url = None;
    support::eventually("the demo says where its database is", async || {
        let printed = demo.printed();
        let psql = printed.lines().find(|line| line.contains(" -c 'SELECT id"));
        url = psql.and_then(|line| line.split('\'').nth(1)).map(str::to_owned);
        url.is_some()
    })
    .await;
    let mut session = PgConnection::connect(&url.expect("it was found")).await.unwrap();
    support::eventually("the trigger is there", async || {
        // Until the schema is made the statement fails as a whole.
        let made = sqlx::raw_sql(AssertSqlSafe(TURN_ROUND)).execute(&mut session).await;
        made.is_ok()
    })
    .await;
    session.close().await.unwrap();
}

#[test]
fn a_wrong_outcome_that_only_the_rows_know_of_makes_the_demo_fail() {
    support::run(async |_db| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_legwork"));
        command.args(["--output", "json", "demo", "--once"]);
        let directory = tempfile::tempdir().expect("a directory");
        let mut demo = Daemon::start_command(command, directory).await;
        meddle(&demo).await;
        // The demo's own limit is a minute.
        assert_eq!(demo.exit(PATIENCE * 4).await.code(), Some(1), "{}", demo.printed());
        let summary = demo.events().into_iter().find(|line| line["wrong"].is_array());
        let summary = summary.unwrap_or_else(|| panic!("no summary in {}", demo.printed()));
        let wrong = summary["wrong"].as_array().expect("a list");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let wrong = wrong[0].as_str().expect("a sentence");
        assert!(wrong.starts_with("\"flaky\" should be completed"), "{wrong}");
    });
}
