//! The document against the daemon, by a program that knows nothing but the document: whatever it asks is answered
//! by a status, headers and a body that are described, and nothing is an error of the daemon's.
//!
//! `make fuzz-api` asks long. Otherwise, where the program is at hand, it asks the same little each time.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::{SLEEP, send};
use crate::process::Configuration;
use crate::statements::{end, execute};
use crate::support::{self, Daemon, judge::judge, server::environment};

/// Requests of each operation where nobody asks for more.
const LITTLE: &str = "10";
/// The longest that it may take; with the little, a quarter of a minute each.
const LIMIT: Duration = Duration::from_mins(15);

/// What isn't asked, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("/api/v1/events", "a stream has no end"),
    ("/api/v1/shutdown", "it ends the daemon"),
    // What it is answered it asks again by: the ids of daemons too.
    ("/api/v1/daemons/{id}/drain", "it ends the daemon, whose id stands in the list"),
    ("/api/v1/daemons/{id}/shutdown", "it ends the daemon, whose id stands in the list"),
    (
        "/api/v1/callbacks/{token}",
        "what is made up is a wrong token, after which all requests are told to wait",
    ),
    ("/debug/pprof", "a redirect is followed, and what comes is another path's"),
    ("/debug/pprof/profile", "it takes as many seconds as it is asked for"),
    ("/debug/pprof/heap", "it takes as many seconds as it is asked for"),
    ("/debug/pprof/allocs", "it takes as many seconds as it is asked for"),
    ("/debug/pprof/trace", "it takes as many seconds as it is asked for"),
    ("/debug/trace", "it takes as many seconds as it is asked for"),
    ("/debug/bundle", "it takes as many seconds as it is asked for"),
];

/// What isn't held, and why.
///
/// - `positive_data_acceptance`, that whatever fits a schema is taken: rules such as "`for` or `until`" and "at most ten
///   years" aren't in schemas.
/// - `ignored_auth`, that nothing is answered without a token: it sends wrong ones, after which all requests are told to
///   wait. src/admin/tests/asked.rs asks each route so.
const NOT_HELD: &str = "positive_data_acceptance,ignored_auth";

/// Lines of jobs, which the program can't write by itself.
const LINES: &str = r#"
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"#;

/// Who asks, by a token of that role.
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

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
        let place = tempfile::tempdir().expect("a directory");
        let daemon = guarded(&db.url(), schedule, place.path()).await;
        for role in ROLES {
            if !fuzzed(&daemon, role, place.path()).await {
                break;
            }
        }
        // Whatever it was asked, it is well.
        let head =
            format!("GET /api/v1/queues HTTP/1.0\r\nHost: localhost\r\n{}\r\n\r\n", shown("admin"));
        let queues = send(daemon.admin().await, &head).await;
        assert_eq!(queues.status, 200, "{}", queues.body);
        daemon.stop().await;
        end(session).await;
    });
}

/// A token of this role.
fn token(role: &str) -> String {
    format!("a-token-of-32-bytes-to-fuzz-as-{role}")
}

/// The header that shows it.
fn shown(role: &str) -> String {
    format!("Authorization: Bearer {}", token(role))
}

/// A daemon with a token of each role, in files that are put there, and what the program reads besides.
async fn guarded(url: &str, beside: &str, place: &Path) -> Daemon {
    let mut keys = String::new();
    for role in ROLES {
        let file = place.join(role);
        fs::write(&file, token(role)).expect("it can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("the file is ours");
        let key = if role == "admin" { "token_file" } else { &format!("{role}_token_file") };
        writeln!(keys, "{key} = '{}'", file.display()).expect("a String grows");
    }
    fs::write(place.join("schemathesis.toml"), SETTINGS).expect("written");
    fs::write(place.join("hooks.py"), LINES).expect("written");
    let text = Configuration::of(url, &[SLEEP.to_owned(), beside.to_owned()]).text();
    let daemon = Daemon::start(&text.replace("[admin]\n", &format!("[admin]\n{keys}"))).await;
    let ready = async || daemon.get("/health/ready").await.0 == 200;
    support::eventually("the daemon is ready", ready).await;
    daemon
}

/// Has the program ask as this role; `false` where it isn't at hand.
async fn fuzzed(daemon: &Daemon, role: &str, place: &Path) -> bool {
    let Some(mut command) = judge("schemathesis") else { return false };
    command.current_dir(place).env("SCHEMATHESIS_HOOKS", place.join("hooks.py"));
    command.args(["run", "--no-color", "--continue-on-failure"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "60"]);
    for (path, _) in LEFT_OUT {
        command.args(["--exclude-path", path]);
    }
    command.args(["--exclude-checks", NOT_HELD, "--header", &shown(role)]);
    match environment("LEGWORK_TEST_FUZZ") {
        Some(requests) => command.args(["--max-examples", &requests]),
        None => command.args(["--max-examples", LITTLE, "--generation-deterministic"]),
    };
    command.arg(format!("http://{}/openapi.json", daemon.admin().await));
    let ran = timeout(LIMIT, command.output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{role}: {said}\n{}", String::from_utf8_lossy(&ran.stderr));
    std::io::stderr().write_all(said.as_bytes()).ok();
    assert!(said.contains("Test cases:"), "something was asked: {said}");
    true
}
