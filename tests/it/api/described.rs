//! What the document says of the API beyond what `src/admin/tests/described.rs` can hold without a database: each
//! operation's example is asked, and what comes is what stands there.

use serde_json::{Value, json};

use super::{ask, daemon, found};
use crate::statements::{end, execute};
use crate::support;

#[path = "../../../src/admin/tests/schema.rs"]
pub(super) mod schema;
use schema::faults;

/// The path of an operation with the examples of its parameters.
pub(super) fn with_examples(path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let example = match &parameter["example"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (parameter["in"].as_str(), parameter["name"].as_str()) {
            (Some("path"), Some(name)) => path = path.replace(&format!("{{{name}}}"), &example),
            // Each of its members is a parameter.
            (Some("query"), Some("payload")) => {
                for (name, text) in parameter["example"].as_object().expect("members") {
                    query.push(format!("{name}={}", text.as_str().expect("a text")));
                }
            }
            (Some("query"), Some(name)) => query.push(format!("{name}={example}")),
            _ => {}
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

#[test]
fn every_example_is_answered_as_it_is_described() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "ALTER SEQUENCE legwork.job_id_seq RESTART 4711;
             INSERT INTO legwork.job (kind, payload, tags, metadata) VALUES ('send_email', '{\"to\": \"ann@example.com\"}', '{nightly}', '{\"user_id\": \"u\"}');
             SELECT legwork.make_partitions(current_date, current_date);
             INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause, error)
             VALUES (4711, 1, current_date, 1, 'failed', 'no route to host');
             SELECT legwork.discard(4711);
             INSERT INTO legwork.job (kind) VALUES ('send_email');
             SELECT legwork.pause('default', 'an incident');
             ALTER SEQUENCE legwork.operation_id_seq RESTART 12;
             SELECT legwork.begin_bulk('cancel', '{\"kind\": \"none\"}')",
        )
        .await;
        let schedule = "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'sleep'\n";
        let daemon = daemon(&db.url(), schedule).await;
        let document = found(&daemon, "/openapi.json").await;
        let at = daemon.admin().await;
        let mut asked = 0;
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                // A stream has no end: events.rs listens.
                if !path.starts_with("/api/")
                    || path == "/api/v1/events"
                    || !["get", "head"].contains(&method.as_str())
                {
                    continue;
                }
                let example = with_examples(path, operation);
                let answer = ask(at, &method.to_uppercase(), &example).await;
                assert_eq!(answer.status, 200, "{method} {example}: {}", answer.body);
                asked += 1;
                if method == "head" {
                    assert_eq!(answer.body, "", "{example}");
                    continue;
                }
                let content = &operation["responses"]["200"]["content"]["application/json"];
                for value in [&answer.json(), &content["example"]] {
                    let found = faults(&document, &content["schema"], value);
                    assert!(found.is_empty(), "{example}: {}\n{value}", found.join("\n"));
                }
                if path == "/api/v1/jobs" {
                    assert_eq!(super::ids(&answer.json()), [4711], "the examples meet one job");
                }
            }
        }
        assert!(asked >= 24, "at least twelve operations, and HEAD of each: {asked}");

        // A database that isn't as it should be refuses, and that is described too.
        execute(&mut session, "ALTER SCHEMA legwork RENAME TO elsewhere").await;
        for (path, operations) in document["paths"].as_object().expect("paths") {
            // Those that the database has no part in go on.
            if path.starts_with("/api/") && operations["get"]["responses"].get("500").is_some() {
                let answer = ask(at, "GET", &with_examples(path, &operations["get"])).await;
                assert_eq!(
                    (answer.status, answer.problem()),
                    (500, "database-refused".into()),
                    "{path}"
                );
                let types = &operations["get"]["responses"]["500"]["content"]["application/problem+json"]
                    ["schema"];
                assert_eq!(
                    types["properties"]["type"]["enum"],
                    json!(["urn:legwork:problem:database-refused"])
                );
            }
        }
        execute(&mut session, "ALTER SCHEMA elsewhere RENAME TO legwork").await;
        daemon.stop().await;
        end(session).await;
    });
}

/// What the page tells people to type, as far as it reads and needs no job of theirs.
#[test]
fn what_the_page_asks_is_answered() {
    let page = include_str!("../../../docs/api.md");
    support::run(async |db| {
        let daemon = daemon(&db.url(), "[[queue]]\nname = 'default'\n").await;
        let mut asked = 0;
        for line in page.lines().filter(|line| {
            line.starts_with("curl ") && !line.contains("POST") && !line.contains("/events")
        }) {
            let Some((_, path)) = line.split_once("$LEGWORK") else { continue };
            if line.contains("--json") {
                continue;
            }
            let path = path.split(['"', ' ']).next().expect("a path");
            let answer = ask(daemon.admin().await, "GET", path).await;
            let expected = if path.contains("sate=") { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{line}: {}", answer.body);
            asked += 1;
        }
        assert!(asked >= 5, "{asked}");
        daemon.stop().await;
    });
}
