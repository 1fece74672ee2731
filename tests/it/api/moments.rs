//! Moments, wherever one can be said: by HTTP, and by the command line over either. Each that RFC 3339 has is taken for what it
//! is, whatever its offset, though Postgres wouldn't read its text.

use serde_json::{Value, json};

use super::{Answer, change, daemon, found, get, post};
use crate::cli::{Ran, command, finished, legwork};
use crate::statements::{end, execute, rows};
use crate::support::{self, Daemon, TestDb};

/// One of each half hour around 2026-11-29T00:00:00+16:00.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue, created_at) OVERRIDING SYSTEM VALUE
    VALUES ('k', 'mail', '2026-11-28 07:30+00'), ('k', 'mail', '2026-11-28 08:30+00')";
const ENDS: &str = "SELECT to_char(v.until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' '
        || to_char(q.paused_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
    FROM legwork.override v JOIN legwork.queue q ON q.name = v.queue";
/// What can't be shown in UTC.
const BEYOND: &str = "9999-12-31T23:59:59-00:01";

/// A moment, how many of the jobs are older, and how many younger.
const SINCE: [(&str, usize, usize); 5] = [
    ("2026-11-29T00:00:00+16:00", 1, 1),
    ("2026-11-28T00:00:00-23:59", 2, 0),
    ("2026-11-28T00:00:00+23:59", 0, 2),
    ("0000-01-01T00:00:00Z", 0, 2),
    ("9999-12-31T23:59:59Z", 2, 0),
];

fn escaped(moment: &str) -> String {
    moment.replace('+', "%2B")
}

fn refused(answer: &Answer, of: (&str, &str)) {
    let said = (answer.status, &*answer.problem(), &answer.json()["parameter"]);
    assert_eq!(said, (400, of.0, &json!(of.1)), "{}", answer.body);
    assert!(answer.body.contains("in the years 0000 to 9999"), "{}", answer.body);
}

async fn looks(daemon: &Daemon) {
    for (moment, older, younger) in SINCE {
        for (name, jobs) in [("created_before", older), ("created_after", younger)] {
            let page = found(daemon, &format!("/api/v1/jobs?{name}={}", escaped(moment))).await;
            assert_eq!(page["jobs"].as_array().map(Vec::len), Some(jobs), "{name} {moment}");
            let wanted = json!({ "action": "cancel", "dry_run": true, "filter": { name: moment } });
            let counted = post(daemon, "/api/v1/jobs/bulk", &wanted.to_string()).await;
            assert_eq!(counted.json()["matched"], json!(jobs), "{name} {moment}: {}", counted.body);
        }
        found(daemon, &format!("/api/v1/audit?since={}", escaped(moment))).await;
    }
    for (path, name) in [("jobs", "created_after"), ("jobs", "created_before"), ("audit", "since")]
    {
        let answer = get(daemon, &format!("/api/v1/{path}?{name}={BEYOND}")).await;
        refused(&answer, ("invalid-parameter", name));
    }
    let wanted = json!({ "action": "cancel", "filter": { "created_before": BEYOND } });
    let answer = post(daemon, "/api/v1/jobs/bulk", &wanted.to_string()).await;
    refused(&answer, ("invalid-body", "created_before"));
}

async fn changes(daemon: &Daemon) {
    for (method, path, mut said) in [
        ("PATCH", "mail", json!({ "concurrency": 2 })),
        ("POST", "mail/pause", json!({})),
        ("POST", "mail/drain", json!({})),
    ] {
        let path = format!("/api/v1/queues/{path}");
        said["until"] = json!("2127-02-28T00:00:00+23:59");
        let answer = change(daemon, method, &path, &said.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        said["until"] = json!(BEYOND);
        let answer = change(daemon, method, &path, &said.to_string()).await;
        refused(&answer, ("invalid-body", "until"));
        said["until"] = json!("0000-01-01T00:00:00Z");
        let past = change(daemon, method, &path, &said.to_string()).await;
        assert_eq!((past.status, &*past.problem()), (400, "invalid-body"), "{}", past.body);
    }
    for member in ["run_at", "expires_at"] {
        let job = |moment: &str| json!({ "kind": "k", member: moment }).to_string();
        let taken = post(daemon, "/api/v1/jobs", &job("2127-02-28T00:00:00+23:59")).await;
        assert_eq!(taken.status, 201, "{member}: {}", taken.body);
        let answer = post(daemon, "/api/v1/jobs", &job(BEYOND)).await;
        assert_eq!(&answer.json()["parameter"], member, "{}", answer.body);
    }
}

#[test]
fn every_moment_of_rfc_3339_is_taken_over_http() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let daemon = daemon(&db.url(), "").await;
        looks(&daemon).await;
        changes(&daemon).await;
        assert_eq!(rows(&mut session, ENDS).await, ["2127-02-27 00:01 2127-02-27 00:01"]);
        // It is kept as text that Postgres wrote, and read again by each batch.
        let wanted = json!({ "action": "cancel",
            "filter": { "queue": "mail", "created_after": "0000-01-01T00:00:00Z" } });
        let begun = post(&daemon, "/api/v1/jobs/bulk", &wanted.to_string()).await.json();
        let path = format!("/api/v1/operations/{}", begun["id"]);
        let mut ended = Value::Null;
        support::eventually("it has ended", async || {
            ended = found(&daemon, &path).await;
            ended["state"] != "running"
        })
        .await;
        assert_eq!((&ended["state"], &ended["changed"]), (&json!("done"), &json!(2)), "{ended}");
        daemon.stop().await;
        end(session).await;
    });
}

/// Over the database, or over the daemon that is here.
async fn ran(db: &TestDb, url: Option<&str>, words: &[&str]) -> Ran {
    match url {
        None => legwork(db, words).await,
        Some(url) => finished(command("", &[words, &["--url", url]].concat()), None).await,
    }
}

#[test]
fn every_moment_of_rfc_3339_is_taken_by_the_command_line_over_either() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let daemon = daemon(&db.url(), "").await;
        let url = format!("http://{}", daemon.admin().await);
        for url in [None, Some(&*url)] {
            for (moment, ..) in SINCE {
                ran(&db, url, &["audit", "list", "--since", moment]).await.done();
            }
            let beyond = ran(&db, url, &["audit", "list", "--since", BEYOND]).await;
            assert_eq!(beyond.code, 2, "{}", beyond.stderr);
            let set = ["queue", "set", "mail", "--concurrency", "2"];
            for words in [&set[..], &["queue", "pause", "mail"], &["queue", "drain", "mail"]] {
                let until = |moment| [words, &["--until", moment]].concat();
                ran(&db, url, &until("2127-02-28T00:00:00+23:59")).await.done();
                let beyond = ran(&db, url, &until(BEYOND)).await;
                assert_eq!(beyond.code, 2, "{}", beyond.stderr);
                assert!(beyond.stderr.contains("'--until <TIME>': in UTC"), "{}", beyond.stderr);
            }
            assert_eq!(rows(&mut session, ENDS).await, ["2127-02-27 00:01 2127-02-27 00:01"]);
            ran(&db, url, &["queue", "unset", "mail"]).await.done();
            ran(&db, url, &["queue", "resume", "mail"]).await.done();
        }
        for moment in ["--run-at", "--expires-at"] {
            let words = ["enqueue", "k", moment];
            legwork(&db, &[&words[..], &["2127-02-28T00:00:00+23:59"]].concat()).await.done();
            assert_eq!(legwork(&db, &[&words[..], &[BEYOND]].concat()).await.code, 2, "{moment}");
        }
        daemon.stop().await;
        end(session).await;
    });
}
