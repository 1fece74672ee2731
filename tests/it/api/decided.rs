//! The same by HTTP and by the command line: what they take, what they refuse, and who it is noted of.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{change, daemon, found};
use crate::cli::legwork;
use crate::statements::{end, execute, rows, value};
use crate::support;

const DECIDED: &str = "SELECT queue || ' ' || setting || ' ' || value || ' ' || coalesce(reason, '-') \
    || CASE WHEN until IS NULL THEN '' ELSE ' ends' END FROM legwork.override ORDER BY queue, setting";
const NOTED: &str =
    "SELECT action || ' ' || target || ' ' || coalesce(reason, '-') FROM legwork.audit ORDER BY id";

const MAIL: &str = "/api/v1/queues/mail";

const LIMITED: &str = r#"{"rate_limit": "30/m burst 2", "until": "2126-03-01T12:00:00Z"}"#;

#[test]
fn a_queue_is_overridden_drained_and_reset_over_http() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        for (method, path, body, changed) in [
            ("PATCH", "", r#"{"concurrency": 2, "for": "1h", "reason": "slow"}"#, true),
            ("PATCH", "", LIMITED, true),
            ("PATCH", "", LIMITED, false),
            ("POST", "/drain", r#"{"for": "2h", "reason": "a move"}"#, true),
            ("POST", "/drain", r#"{"until": "2126-03-01T12:00:00Z"}"#, true),
            ("POST", "/drain", r#"{"until": "2126-03-01T12:00:00Z"}"#, false),
        ] {
            let answer = change(&daemon, method, &format!("{MAIL}{path}"), body).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.body);
            assert_eq!(answer.json(), json!({ "queue": "mail", "changed": changed }), "{body}");
        }
        let decided = ["mail concurrency 2 slow ends", "mail rate_limit 30/m burst 2 - ends"];
        assert_eq!(rows(&mut session, DECIDED).await, decided);
        let mail = found(&daemon, MAIL).await;
        let held = &mail["settings"]["override"];
        assert_eq!(
            (&mail["state"], &held["reason"]),
            (&json!("drained"), &json!("a move")),
            "{mail}"
        );
        assert!(held["paused_until"].is_string() && held["concurrency"]["until"].is_string());
        let list = found(&daemon, "/api/v1/queues").await;
        let queues = list["queues"].as_array().expect("a list");
        let mail = queues.iter().find(|queue| queue["name"] == "mail").expect("it is known");
        assert_eq!((&mail["state"], &mail["reason"]), (&json!("drained"), &json!("a move")));
        assert_eq!(mail["concurrency"], held["concurrency"]);
        assert_eq!(mail["rate_limit"], held["rate_limit"]);
        assert_eq!(mail["paused_until"], held["paused_until"]);

        for (query, changed) in
            [("?setting=concurrency", true), ("?setting=concurrency", false), ("", true)]
        {
            let answer = change(&daemon, "DELETE", &format!("{MAIL}/overrides{query}"), "{}").await;
            assert_eq!(
                (answer.status, &answer.json()["changed"]),
                (200, &json!(changed)),
                "{query}"
            );
        }
        let noted = rows(&mut session, NOTED).await;
        let expected = [
            "override queue/mail slow",
            "override queue/mail -",
            "drain queue/mail a move",
            "drain queue/mail -",
            "reset queue/mail -",
            "reset queue/mail -",
        ];
        assert_eq!(noted, expected);
        let who = rows(
            &mut session,
            "SELECT DISTINCT actor || (request_id IS NOT NULL) FROM legwork.audit",
        )
        .await;
        assert_eq!(who, ["admin, on the daemon's machinetrue"]);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn what_can_t_be_meant_is_refused_over_http() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let overrides = format!("{MAIL}/overrides?setting=shape");
        let drain = format!("{MAIL}/drain");
        for (method, path, body, status, said) in [
            ("PATCH", MAIL, "{}", 400, "name concurrency, rate_limit, or both"),
            ("PATCH", MAIL, r#"{"for": "1h"}"#, 400, "name concurrency, rate_limit, or both"),
            (
                "PATCH",
                MAIL,
                r#"{"concurrency": 0}"#,
                400,
                "to 10000\",\"parameter\":\"concurrency\"",
            ),
            ("PATCH", MAIL, r#"{"concurrency": "2"}"#, 400, "\"parameter\":\"concurrency\""),
            ("PATCH", MAIL, r#"{"concurrency": 10001}"#, 400, "10001 isn't 1 to 10000\""),
            (
                "PATCH",
                MAIL,
                r#"{"rate_limit": "fast"}"#,
                400,
                "if needed\",\"parameter\":\"rate_limit\"",
            ),
            ("PATCH", MAIL, r#"{"concurrency": 1, "for": "soon"}"#, 400, "2h30m"),
            ("PATCH", MAIL, r#"{"concurrency": 1, "until": "soon"}"#, 400, "2030-01-31T08:00:00Z"),
            (
                "PATCH",
                MAIL,
                r#"{"concurrency": 1, "until": "2020-01-01T00:00:00Z"}"#,
                400,
                "is past\",\"parameter\":\"until\"",
            ),
            (
                "PATCH",
                MAIL,
                r#"{"concurrency": 1, "for": "1h", "until": "2126-01-01T00:00:00Z"}"#,
                400,
                "not both",
            ),
            ("PATCH", MAIL, r#"{"retention": "1h"}"#, 400, "unknown field"),
            ("DELETE", &overrides, "{}", 400, "concurrency or rate_limit"),
            ("POST", &drain, r#"{"reason": ""}"#, 400, "from 1 to 500 bytes"),
            ("POST", "/api/v1/daemons/7/drain", "{}", 404, "no daemon 7"),
            ("POST", "/api/v1/daemons/x/drain", "{}", 400, "a number"),
        ] {
            let answer = change(&daemon, method, path, body).await;
            assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
            assert!(answer.body.contains(said), "{method} {path} {body}: {}", answer.body);
        }
        let left =
            "SELECT (SELECT count(*) FROM legwork.override) + (SELECT count(*) FROM legwork.audit)";
        assert_eq!(value(&mut session, left).await, "0");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn another_daemon_is_told_by_whichever_is_asked_and_what_is_done_to_one_is_noted() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut told = daemon(&db.url(), "").await;
        let id = value(&mut session, "SELECT id FROM legwork.daemon").await;
        let asked = daemon(&db.url(), "").await;
        let path = format!("/api/v1/daemons/{id}/quiet");
        let answer = change(&asked, "POST", &path, r#"{"reason": "slow"}"#).await;
        assert_eq!(answer.json(), json!({ "id": id, "wanted": "quiet", "changed": true }));
        told.logged("signal.received").await;
        let answer = change(&asked, "POST", &format!("/api/v1/daemons/{id}/drain"), "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(
            told.exit(crate::process::SLACK * 3).await.code(),
            Some(0),
            "{}",
            told.printed()
        );
        let answer = change(&asked, "POST", &path, "{}").await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "wrong-state".into()),
            "{}",
            answer.body
        );

        for (method, path, body) in [
            ("PUT", "/api/v1/log-level", r#"{"filter": "warn", "for": "1s", "reason": "loud"}"#),
            ("POST", "/api/v1/config/reload", "{}"),
        ] {
            let answer = change(&asked, method, path, body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        let notes = format!(
            "SELECT action || ' ' || coalesce(reason, '-') || ' ' || (target = 'daemon/{id}') FROM legwork.audit ORDER BY id"
        );
        assert_eq!(
            rows(&mut session, &notes).await,
            ["quiet slow true", "drain - true", "log_level loud false", "reload - false"]
        );
        asked.stop().await;
        end(session).await;
    });
}

async fn holder(session: &mut PgConnection) {
    execute(
        session,
        "INSERT INTO legwork.daemon (id, name, expires_at) VALUES (7, 'a', now() + interval '1 h')",
    )
    .await;
}

/// What is typed, and what it is answered.
fn calls() -> [(&'static [&'static str], Value); 12] {
    [
        (
            &["queue", "set", "mail", "--concurrency", "2", "--for", "1h", "--reason", "slow"],
            json!({ "queue": "mail", "changed": true }),
        ),
        (
            &[
                "queue",
                "set",
                "mail",
                "--rate-limit",
                "30/m burst 2",
                "--until",
                "2126-03-01T12:00:00Z",
            ],
            json!({ "queue": "mail", "changed": true }),
        ),
        (
            &["queue", "drain", "mail", "--for", "2h", "--reason", "moves"],
            json!({ "queue": "mail", "changed": true }),
        ),
        (
            &["queue", "drain", "news", "--until", "2126-03-01T12:00:00Z"],
            json!({ "queue": "news", "changed": true }),
        ),
        (
            &["queue", "pause", "a", "--for", "1h"],
            json!({ "queue": "a", "paused": true, "changed": true }),
        ),
        (
            &["queue", "pause", "b", "--until", "2126-03-01T12:00:00Z"],
            json!({ "queue": "b", "paused": true, "changed": true }),
        ),
        (&["queue", "unset", "news"], json!({ "queue": "news", "changed": false })),
        (
            &["queue", "unset", "mail", "--setting", "rate_limit", "--reason", "well"],
            json!({ "queue": "mail", "changed": true }),
        ),
        (
            &["daemon", "quiet", "7", "--reason", "slow"],
            json!({ "id": "7", "wanted": "quiet", "changed": true }),
        ),
        (&["daemon", "quiet", "7"], json!({ "id": "7", "wanted": "quiet", "changed": false })),
        (
            &["daemon", "drain", "7", "--reason", "slow"],
            json!({ "id": "7", "wanted": "drain", "changed": true }),
        ),
        (
            &["daemon", "shutdown", "7", "--reason", "slow"],
            json!({ "id": "7", "wanted": "shutdown", "changed": true }),
        ),
    ]
}

#[test]
fn the_command_line_decides_the_same_and_notes_who() {
    support::run(async |db| {
        let mut session = db.connect().await;
        holder(&mut session).await;
        for (arguments, said) in calls() {
            let arguments: Vec<_> = arguments.iter().copied().chain(["--output", "json"]).collect();
            assert_eq!(legwork(&db, &arguments).await.done().json(), said, "{arguments:?}");
        }
        assert_eq!(rows(&mut session, DECIDED).await, ["mail concurrency 2 slow ends"]);
        let paused = "SELECT name || ' ' || coalesce(reason, '-') || ' ' || (paused_until > now()) FROM legwork.queue WHERE paused ORDER BY name";
        assert_eq!(
            rows(&mut session, paused).await,
            ["a - true", "b - true", "mail moves true", "news - true"]
        );
        let listed = legwork(&db, &["daemon", "list", "--output", "json"]).await.done().json();
        let one = &listed["daemons"][0];
        assert_eq!((&one["id"], &one["wanted"]), (&json!("7"), &json!("shutdown")), "{listed}");
        let table = legwork(&db, &["daemon", "list"]).await.done().stdout;
        assert!(table.starts_with("ID") && table.contains("shutdown"), "{table}");
        let who = rows(
            &mut session,
            "SELECT DISTINCT split_part(actor, ', ', 2) FROM legwork.audit ORDER BY 1",
        )
        .await;
        let commands = [
            "daemon drain",
            "daemon quiet",
            "daemon shutdown",
            "queue drain",
            "queue pause",
            "queue set",
            "queue unset",
        ];
        assert_eq!(who, commands.map(|command| format!("legwork {command}")));
        end(session).await;
    });
}

#[test]
fn the_command_line_says_what_can_not_be_decided() {
    support::run(async |db| {
        let refused: [(&[&str], i32, &str); 5] = [
            (&["daemon", "drain", "8"], 1, "no daemon 8"),
            (&["queue", "set", "mail"], 2, "--concurrency"),
            (&["queue", "set", "mail", "--concurrency", "0"], 2, "0"),
            (&["queue", "set", "mail", "--rate-limit", "fast"], 2, "isn't a rate limit"),
            (
                &["queue", "set", "mail", "--concurrency", "1", "--until", "2020-01-01T00:00:00Z"],
                1,
                "is past",
            ),
        ];
        for (arguments, code, said) in refused {
            let ran = legwork(&db, arguments).await;
            assert_eq!(ran.code, code, "{arguments:?}");
            assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        }
    });
}
