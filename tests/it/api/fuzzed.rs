//! The document against the daemon, by a program that knows nothing but the document: whatever it asks is answered
//! by a status, headers and a body that are described, and nothing is an error of the daemon's.
//!
//! `make fuzz-api` asks long. Otherwise, where the program is at hand, it asks the same little each time.

use std::time::Duration;

use tokio::time::timeout;

use super::{daemon, found};
use crate::statements::{end, execute};
use crate::support::{self, judge::judge, server::environment};

/// Requests of each operation where nobody asks for more.
const LITTLE: &str = "10";
/// The longest that it may take; with the little, a quarter of a minute.
const LIMIT: Duration = Duration::from_mins(15);

/// What isn't asked: what takes as many seconds as it is asked for or has no end, what ends the daemon, what the
/// program can't write (NDJSON), and what only a receiver knows the URL of.
const LEFT_OUT: &str = "^(/debug/pprof/(profile|heap|allocs|trace)|/debug/(trace|bundle)|/api/v1/events|/api/v1/shutdown\
                        |/api/v1/daemons/[{]id[}]/(drain|shutdown)|/api/v1/jobs:batch|/api/v1/callbacks/[{]token[}])$";

/// What isn't held: that whatever fits a schema is taken and what doesn't is refused. Rules such as "`for` or `until`" and
/// "at most ten years" aren't in schemas, and a member that is null is taken as one that is absent.
const NOT_HELD: &str = "positive_data_acceptance,negative_data_rejection";

/// How it is asked. 503 is what a database is allowed to be.
const SETTINGS: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
"#;

#[test]
fn whatever_is_asked_is_answered_as_the_document_says() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, payload, run_at)
             SELECT 'send_email', '{\"to\": \"ann@example.com\"}', now() + interval '1 day' FROM generate_series(1, 50);
             SELECT legwork.discard(id) FROM legwork.job WHERE id % 5 = 0",
        )
        .await;
        let schedule = "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'sleep'\n";
        let daemon = daemon(&db.url(), schedule).await;

        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("schemathesis.toml"), SETTINGS).expect("written");
        let Some(mut command) = judge("schemathesis") else { return };
        command.current_dir(&place);
        command.args(["run", "--no-color", "--continue-on-failure"]);
        command.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "60"]);
        command.args(["--exclude-path-regex", LEFT_OUT, "--exclude-checks", NOT_HELD]);
        match environment("LEGWORK_TEST_FUZZ") {
            Some(requests) => command.args(["--max-examples", &requests]),
            None => command.args(["--max-examples", LITTLE, "--generation-deterministic"]),
        };
        command.arg(format!("http://{}/openapi.json", daemon.admin().await));
        let ran = timeout(LIMIT, command.output()).await.expect("it ends").expect("it runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
        println!("{said}");
        assert!(said.contains("Test cases:"), "something was asked: {said}");
        // Whatever it was asked, it is well.
        found(&daemon, "/api/v1/queues").await;
        daemon.stop().await;
        end(session).await;
    });
}
