//! What the daemon that answers does to itself: ends, reads its file again, logs otherwise for a while.

use serde_json::{Value, json};
use std::fs;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answer, change, daemon, found, post, send};
use crate::process::{Configuration, SLACK};
use crate::support::{self, Daemon, PATIENCE};

#[test]
fn another_filter_of_the_log_holds_for_its_time_and_ends_by_itself() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let before = found(&daemon, "/api/v1/log-level").await;
        assert_eq!((&before["filter"], &before["since"]), (&before["configured"], &json!(null)));
        for (body, said) in [
            (r#"{"filter": "info", "for": "25h"}"#, "from 1 s to 24 h"),
            (r#"{"filter": "info", "for": "0s"}"#, "from 1 s to 24 h"),
            (r#"{"filter": "a=b=c"}"#, "write it as log.filter"),
            (r#"{"filter": "nonsense="}"#, "write nonsense=debug"),
            (r#"{"filter": "debgu"}"#, "did you mean \\\"debug\\\"?"),
            (r#"{"filter": ""}"#, "write a level"),
            (r#"{"for": "1m"}"#, "missing field `filter`"),
        ] {
            let answer = change(&daemon, "PUT", "/api/v1/log-level", body).await;
            assert_eq!((answer.status, answer.problem()), (400, "invalid-body".into()), "{body}");
            assert!(answer.body.contains(said), "{}", answer.body);
        }
        assert_eq!(found(&daemon, "/api/v1/log-level").await, before);

        let asked =
            change(&daemon, "PUT", "/api/v1/log-level", r#"{"filter": "error", "for": "2s"}"#);
        let asked = asked.await.json();
        assert_eq!(
            (&asked["filter"], &asked["configured"]),
            (&json!("error"), &before["configured"])
        );
        assert!(asked["since"].is_string() && asked["until"].is_string(), "{asked}");
        let logged = daemon.count("admin.request");
        assert_eq!(found(&daemon, "/version").await["name"], "legwork");
        assert_eq!(daemon.count("admin.request"), logged, "an access line isn't an error");
        support::eventually("what is configured holds again", async || {
            found(&daemon, "/api/v1/log-level").await == before
        })
        .await;
        support::eventually("lines appear again", async || {
            found(&daemon, "/version").await;
            daemon.count("admin.request") > logged
        })
        .await;
        assert_eq!(daemon.count("log.filter_changed"), 2, "it was said at both ends");
        let misspelt = r#"{"filter": "legwork::clamier=debug", "for": "1s"}"#;
        let asked = change(&daemon, "PUT", "/api/v1/log-level", misspelt).await.json();
        let warned = asked["warnings"][0].as_str().expect("a warning");
        assert!(warned.contains("write info,legwork::clamier=debug"), "{warned}");
        let asked =
            change(&daemon, "PUT", "/api/v1/log-level", r#"{"filter": "off", "for": "1s"}"#);
        let asked = asked.await.json();
        let warned = asked["warnings"][0].as_str().expect("a warning");
        assert!(warned.contains("nothing is logged"), "{warned}");
        // Ten minutes where nothing is said.
        let asked = change(&daemon, "PUT", "/api/v1/log-level", r#"{"filter": "debug"}"#).await;
        assert_eq!(asked.status, 200, "{}", asked.body);
        daemon.stop().await;
    });
}

fn file(url: &str, concurrency: u32, sections: &str) -> String {
    let queue = format!("[[queue]]\nname = 'default'\nconcurrency = {concurrency}\n");
    Configuration::of(url, &[queue, sections.to_owned()]).text()
}

fn write(daemon: &Daemon, text: &str) {
    let text = support::pooled::file(text);
    fs::write(daemon.directory().join("legwork.toml"), text).expect("a file can be written");
}

/// The value of a key, as it is shown.
fn shown<'v>(held: &'v Value, key: &str) -> &'v Value {
    let values = held["values"].as_array().expect("values");
    let value = values.iter().find(|value| value["key"] == key);
    value.unwrap_or_else(|| panic!("{key} isn't shown: {held}"))
}

#[test]
fn a_reload_says_what_it_took_over_and_the_configuration_is_shown_as_it_holds() {
    support::run(async |db| {
        let secret = db.url();
        let daemon = Daemon::start(&file(&db.url(), 2, "")).await;
        daemon.logged("daemon.started").await;
        let held = found(&daemon, "/api/v1/config").await;
        assert!(held["file"].as_str().expect("a file").ends_with("legwork.toml"), "{held}");
        assert!(!held.to_string().contains(&secret), "the URL's password is blotted out");
        let concurrency = "[[queue]] \"default\".concurrency";
        assert_eq!(shown(&held, concurrency)["value"], "2");
        let batch = shown(&held, "claim.batch").clone();
        assert_eq!(batch["source"], "default");

        let changed = file(&db.url(), 5, "[claim]\nbatch = 7\n");
        write(&daemon, &changed);
        let said = post(&daemon, "/api/v1/config/reload", "{}").await.json();
        let told = (&said["reloaded"], &said["changed"], &said["needs_restart"]);
        assert_eq!(told, (&json!(true), &json!([concurrency]), &json!(["claim.batch"])), "{said}");
        let held = found(&daemon, "/api/v1/config").await;
        assert_eq!(shown(&held, concurrency)["value"], "5");
        assert_eq!(
            (shown(&held, "claim.batch"), &held["needs_restart"]),
            (&batch, &json!(["claim.batch"]))
        );
        let queue = found(&daemon, "/api/v1/queues/default").await;
        assert_eq!(queue["settings"]["file"]["concurrency"], 5);

        let broken = changed
            + "\n[[kind]]\nname = 'x'\nhandler = 'noop'\ntimeout = 'soon'\nmax_attempts = 0\n";
        write(&daemon, &broken);
        let said = post(&daemon, "/api/v1/config/reload", "{}").await.json();
        assert_eq!((&said["reloaded"], &said["changed"]), (&json!(false), &json!([])), "{said}");
        let mistakes = said["mistakes"].as_array().expect("mistakes");
        assert_eq!(mistakes.len(), 2, "{said}");
        let place = mistakes[0]["place"].as_str().expect("a place");
        assert!(place.contains("legwork.toml:"), "{said}");
        assert_eq!(found(&daemon, "/api/v1/config").await, held, "nothing has changed");
        assert_eq!(daemon.count("config.reload_failed"), 2, "and the log has them as well");
        daemon.stop().await;
    });
}

#[test]
fn a_configuration_is_looked_at_without_being_taken() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let held = found(&daemon, "/api/v1/config").await;
        let right = json!({ "toml": "[claim]\nbatch = 7\n" }).to_string();
        let said = post(&daemon, "/api/v1/config/validate", &right).await.json();
        assert_eq!((&said["valid"], &said["mistakes"]), (&json!(true), &json!([])), "{said}");
        let wrong = json!({ "toml": "[claim]\nbatch = 0\nbunch = 7\n" }).to_string();
        let said = post(&daemon, "/api/v1/config/validate", &wrong).await.json();
        assert_eq!(said["valid"], false);
        let places: Vec<_> = said["mistakes"]
            .as_array()
            .expect("mistakes")
            .iter()
            .map(|one| &one["place"])
            .collect();
        assert!(places.contains(&&json!("body:2")) && places.contains(&&json!("body:3")), "{said}");
        assert_eq!(found(&daemon, "/api/v1/config").await, held);
        // As long as a file may be, also where each byte is written in six, and no longer.
        let mut longest = format!("# {}\n[claim]\nbatch = 7\n", "x".repeat(1024 * 1024 - 21));
        assert_eq!(longest.len(), 1024 * 1024);
        let each: Vec<_> = longest.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let escaped = each.concat();
        let plain = json!({ "toml": longest }).to_string();
        for text in [plain, format!("{{\"toml\": \"{escaped}\"}}")] {
            let said = post(&daemon, "/api/v1/config/validate", &text).await;
            assert_eq!((said.status, &said.json()["valid"]), (200, &json!(true)), "{}", said.body);
        }
        longest.push('\n');
        let text = json!({ "toml": longest }).to_string();
        let said = post(&daemon, "/api/v1/config/validate", &text).await.json();
        assert_eq!(said["mistakes"][0]["message"], "body is larger than 1048576 bytes", "{said}");
        // Before any of it is sent.
        let long = "POST /api/v1/config/validate HTTP/1.0\r\nHost: localhost\r\nContent-Length: 7340032\r\n\r\n";
        let said = send(daemon.admin().await, long).await;
        assert_eq!((said.status, said.problem()), (413, "body-too-large".into()));
        daemon.stop().await;
    });
}

#[test]
fn a_daemon_that_is_told_to_drains_and_told_now_ends_at_once() {
    support::run(async |db| {
        let pool = db.pool().await;
        for (mode, drains) in [("{}", true), (r#"{"mode": "now"}"#, false)] {
            let mut daemon = daemon(&db.url(), "").await;
            let sleep =
                "INSERT INTO legwork.job (kind, payload) VALUES ('sleep', '{\"seconds\": 3}')";
            sqlx::query(sleep).execute(&pool).await.expect("a job");
            support::eventually("it runs", async || {
                daemon.metric("legwork_jobs_in_flight", &[]).await > 0.0
            })
            .await;
            let answer = post(&daemon, "/api/v1/shutdown", mode).await;
            let named = if drains { "drain" } else { "now" };
            assert_eq!((answer.status, &answer.json()["mode"]), (200, &json!(named)));
            daemon.exit(SLACK * 3).await;
            let done = "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed'";
            let done: i64 = sqlx::query_scalar(done).fetch_one(&pool).await.expect("a count");
            // Drained, it ran to its end; ended at once, it went back and has to run again.
            assert_eq!(done, 1, "{mode}: {}", daemon.printed());
            assert_eq!(daemon.count("signal.received"), 1);
        }
        pool.close().await;
    });
}

/// What was sent whole is answered, also where nobody can say any more what became of it.
#[test]
fn a_request_under_way_at_the_end_is_told_that_the_daemon_ends() {
    support::run(async |db| {
        let mut daemon = daemon(&db.url(), "").await;
        let pool = db.pool().await;
        let mut holder = pool.begin().await.expect("a transaction");
        let lock = "LOCK TABLE legwork.job IN SHARE ROW EXCLUSIVE MODE";
        sqlx::query(lock).execute(&mut *holder).await.expect("the lock");
        let under_way = post(&daemon, "/api/v1/jobs", r#"{"kind": "noop"}"#);
        let end = async {
            support::eventually("it waits for the lock", async || {
                let waiting = support::who_waits_for("legwork.job");
                sqlx::query_scalar::<_, i32>(waiting).fetch_one(&pool).await.expect("an answer")
                    != 0
            })
            .await;
            daemon.signal(Signal::SIGTERM);
        };
        let (answer, ()) = tokio::join!(under_way, end);
        assert_eq!((answer.status, answer.problem()), (503, "daemon-ends".into()));
        assert!(answer.body.contains("whether it was done isn't known"), "{}", answer.body);
        daemon.exit(SLACK).await;
        holder.rollback().await.expect("the lock goes");
        pool.close().await;
    });
}

/// Notes of an action, newest first.
async fn notes(daemon: &Daemon, action: &str) -> Vec<Value> {
    let page = found(daemon, &format!("/api/v1/audit?action={action}")).await;
    page["notes"].as_array().expect("a page has notes").clone()
}

#[test]
fn what_a_daemon_does_to_itself_is_noted_by_its_id_as_what_it_is_told_by_the_database() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let listed = found(&daemon, "/api/v1/daemons").await;
        let (id, name) = (&listed["daemons"][0]["id"], &listed["daemons"][0]["name"]);
        let id = id.as_str().expect("an id");
        let target = json!(format!("daemon/{id}"));
        let quiet = post(&daemon, &format!("/api/v1/daemons/{id}/quiet"), "{}").await;
        assert_eq!(quiet.status, 200, "{}", quiet.body);
        let quiet = notes(&daemon, "quiet").await;
        assert_eq!((quiet.len(), &quiet[0]["target"]), (1, &target), "{quiet:?}");
        let debug = r#"{"filter": "debug", "reason": "loud"}"#;
        for (method, path, body) in [
            ("POST", "config/reload", r#"{"reason": "ticket 812"}"#),
            ("PUT", "log-level", debug),
            ("DELETE", "log-level", r#"{"reason": "found"}"#),
            // Changes nothing.
            ("DELETE", "log-level", r#"{"reason": "twice"}"#),
        ] {
            let answer = change(&daemon, method, &format!("/api/v1/{path}"), body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        }
        for (action, reason) in
            [("reload", "ticket 812"), ("log_level", "loud"), ("log_level_reset", "found")]
        {
            let notes = notes(&daemon, action).await;
            let said = (&notes[0]["target"], &notes[0]["reason"], &notes[0]["detail"]["name"]);
            assert_eq!((notes.len(), said), (1, (&target, &json!(reason), name)), "{notes:?}");
        }
        let pool = db.pool().await;
        let mut daemon = daemon;
        assert_eq!(post(&daemon, "/api/v1/shutdown", "{}").await.status, 200);
        daemon.exit(SLACK).await;
        let noted = "SELECT target FROM legwork.audit WHERE action = 'shutdown'";
        let noted: String = sqlx::query_scalar(noted).fetch_one(&pool).await.expect("a note");
        assert_eq!(json!(noted), target);
        pool.close().await;
    });
}

/// As many queues as there may be, with so many jobs at once each.
fn many(url: &str, concurrency: u32) -> String {
    let queue = |number| format!("[[queue]]\nname = 'q{number}'\nconcurrency = {concurrency}\n");
    let limited = |number| {
        format!("[[kind]]\nname = 'k{number}'\nhandler = 'noop'\nrate_limit = '{concurrency}/s'\n")
    };
    let sections: String = (0..100).map(queue).chain((0..20).map(limited)).collect();
    Configuration::of(url, &[sections]).text()
}

/// Asks for a reload, and gives what the answer is read from.
async fn asks_for_a_reload(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
    let request = "POST /api/v1/config/reload HTTP/1.0\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    daemon.logged("signal.received").await;
    stream
}

async fn answered(mut stream: TcpStream) -> Answer {
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("all");
    Answer::of(&answer)
}

#[test]
fn a_reload_that_waits_with_its_daemon_for_the_database_is_told_of_the_end() {
    support::run(async |_db| {
        let mut daemon = Daemon::start(&many("postgres://nobody@127.0.0.1:1/nowhere", 1)).await;
        let stream = asks_for_a_reload(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        let answer = answered(stream).await;
        assert_eq!((answer.status, answer.problem()), (503, "daemon-ends".into()));
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(daemon.logged("audit.missed").await["action"], "reload");
    });
}

#[test]
fn a_reload_whose_client_goes_away_is_noted_all_the_same() {
    support::run(async |db| {
        let daemon = Daemon::start(&many(&db.url(), 1)).await;
        daemon.logged("daemon.started").await;
        write(&daemon, &many(&db.url(), 2));
        drop(asks_for_a_reload(&daemon).await);
        support::eventually("it is noted", async || !notes(&daemon, "reload").await.is_empty())
            .await;
        let notes = notes(&daemon, "reload").await;
        let detail = &notes[0]["detail"];
        assert_eq!((notes.len(), &detail["reloaded"]), (1, &json!(true)), "{notes:?}");
        assert_eq!(detail["changed"].as_array().map(Vec::len), Some(100), "{detail}");
        daemon.stop().await;
    });
}

/// It ends amid the change or, where that was quicker than the signal, after it; and says which.
#[test]
fn a_reload_amid_which_the_daemon_is_told_to_end_says_so_and_the_end_is_in_order() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut daemon = Daemon::start(&many(&db.url(), 1)).await;
        daemon.logged("daemon.started").await;
        write(&daemon, &many(&db.url(), 2));
        let stream = asks_for_a_reload(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        let answer = answered(stream).await;
        assert_eq!(daemon.exit(SLACK * 3).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(daemon.logged("daemon.stopped").await["clean"], true);
        let noted = "SELECT detail::text FROM legwork.audit WHERE action = 'reload'";
        let noted: String = sqlx::query_scalar(noted).fetch_one(&pool).await.expect("one note");
        let noted: Value = serde_json::from_str(&noted).expect("JSON");
        if answer.status == 200 {
            assert_eq!(
                (&answer.json()["reloaded"], &noted["reloaded"]),
                (&json!(true), &json!(true))
            );
        } else {
            assert_eq!((answer.status, answer.problem()), (503, "daemon-ends".into()));
            let expected = json!({ "reloaded": false, "changed": [], "cut_short": true, "name": noted["name"] });
            assert_eq!(noted, expected, "{}", answer.body);
        }
        pool.close().await;
    });
}
