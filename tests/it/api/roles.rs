//! What each role sees and does through the API: a viewer no payload, and nothing that changes.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Answer, send};
use crate::process::Configuration;
use crate::statements::{end, execute};
use crate::support::{self, Daemon};

const OPERATOR: &str = "a-token-of-32-bytes-to-steer-jobs";
const VIEWER: &str = "a-token-of-32-bytes-to-look-at-it";

async fn as_role(daemon: &Daemon, token: &str, method: &str, path: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
    );
    send(daemon.admin().await, &head).await
}

/// A daemon with a schedule and with tokens of two roles, whose files are there.
async fn guarded(url: &str, tokens: &Path) -> Daemon {
    let mut keys = String::new();
    for (key, token) in [("operator_token_file", OPERATOR), ("viewer_token_file", VIEWER)] {
        let file = tokens.join(key);
        fs::write(&file, token).expect("it can be written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("the file is ours");
        writeln!(keys, "{key} = \"{}\"", file.display()).expect("a String grows");
    }
    let schedule = "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'waits'\n";
    let text = Configuration::of(url, &[schedule.to_owned()]).text();
    let daemon = Daemon::start(&text.replace("[admin]\n", &format!("[admin]\n{keys}"))).await;
    daemon.logged("daemon.started").await;
    daemon
}

#[test]
fn a_viewer_sees_no_payload_and_changes_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, payload, metadata) VALUES ('waits', '{\"secret\": 1}', '{\"user_id\": \"secret\"}')",
        )
        .await;
        let tokens = tempfile::tempdir().expect("a directory can be made");
        let daemon = guarded(&db.url(), tokens.path()).await;

        let shown = as_role(&daemon, OPERATOR, "GET", "/api/v1/jobs/1").await;
        assert_eq!(shown.json()["payload"]["secret"], 1);
        let hidden = as_role(&daemon, VIEWER, "GET", "/api/v1/jobs/1").await;
        assert_eq!((hidden.status, hidden.json()["kind"].as_str()), (200, Some("waits")));
        assert!(!hidden.body.contains("secret"), "{}", hidden.body);
        let named = hidden.json()["hidden"].to_string();
        assert_eq!(named, r#"["payload","metadata","result","failed_attempts"]"#);

        for (method, path) in [
            ("GET", "/api/v1/jobs?include=payload"),
            ("GET", "/api/v1/jobs?payload.secret=1"),
            ("POST", "/api/v1/jobs/1/cancel"),
            ("POST", "/api/v1/queues/default/pause"),
            ("POST", "/api/v1/schedules/yearly/run"),
        ] {
            let refused = as_role(&daemon, VIEWER, method, path).await;
            assert_eq!(
                (refused.status, refused.problem()),
                (403, "role-too-small".into()),
                "{path}"
            );
            let done = as_role(&daemon, OPERATOR, method, path).await;
            assert!(matches!(done.status, 200 | 201), "{path}: {}", done.body);
        }
        for path in [
            "/api/v1/jobs",
            "/api/v1/jobs/1/why",
            "/api/v1/queues",
            "/api/v1/queues/default",
            "/api/v1/audit",
        ] {
            let seen = as_role(&daemon, VIEWER, "GET", path).await;
            assert_eq!(seen.status, 200, "{path}: {}", seen.body);
        }
        let begin =
            r#"SELECT legwork.begin_bulk('cancel', '{"payload": {"secret": "7"}}', holder => 5)"#;
        execute(&mut session, begin).await;
        for (token, shown) in [(VIEWER, "null"), (OPERATOR, r#""7""#)] {
            let seen = as_role(&daemon, token, "GET", "/api/v1/operations/1").await;
            assert_eq!(seen.json()["filter"]["payload"]["secret"].to_string(), shown);
            let listed = as_role(&daemon, token, "GET", "/api/v1/operations").await.json();
            let listed = &listed["operations"][0]["filter"]["payload"]["secret"];
            assert_eq!(listed.to_string(), shown);
        }
        let refused = as_role(&daemon, VIEWER, "DELETE", "/api/v1/operations/1").await;
        assert_eq!(refused.problem(), "role-too-small");
        // A token is told apart by the begin of its SHA-256 and isn't shown.
        let notes = as_role(&daemon, VIEWER, "GET", "/api/v1/audit").await;
        assert!(
            notes.body.contains("\"payload\": [\"secret\"]"),
            "the place alone: {}",
            notes.body
        );
        assert_eq!(notes.json()["notes"][2]["actor"], "operator, token 896c840c");
        daemon.stop().await;
        end(session).await;
    });
}
