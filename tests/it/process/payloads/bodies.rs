//! Payloads that leave in requests, results that come back, and what clients of the API send.

use serde_json::json;

use super::*;
use crate::support::{
    Answer, http,
    receiver::{Receiver, Request, answer},
};

/// Stands in results, and nowhere else.
const RESULT: &str = "t3lltale-of-a-result";
/// What a receiver says of its failure, which is logged as it says it; the body of its answer isn't, which quotes the
/// request.
const SAID: &str = "the receiver's own words";

/// By the path: done with a result, failed with words, taken until it calls back.
fn answers(request: &Request) -> String {
    let result = json!({ RESULT: RESULT }).to_string();
    match request.head.split(' ').nth(1) {
        Some("/done") => answer("200 OK", &["Content-Type: application/json"], &result),
        Some("/failed") => {
            let reason = format!("Legwork-Reason: {SAID}");
            answer("500 Internal Server Error", &[&reason], &request.body)
        }
        _ => answer("202 Accepted", &[], &result),
    }
}

fn configuration(db: &TestDb, receiver: &Receiver, collector: &Collector) -> String {
    let kind = |name: &str, keys: &str| {
        let url = receiver.url(&format!("/{name}"));
        format!(
            "[[kind]]\nname = '{name}'\nhandler = 'http'\nurl = '{url}'\nmax_attempts = 1\n\
             allow_hosts = ['127.0.0.1']\n{keys}"
        )
    };
    let kinds = [kind("done", ""), kind("failed", ""), kind("later", "async = true\n")];
    let text = Configuration::of(&db.url(), &kinds).text();
    let text = text.replace("format = 'json'", "format = 'json'\nfilter = 'trace'");
    let called = "[admin]\ncallback_url = 'https://callbacks.example.org'\n";
    let text = text.replace("[admin]\n", called);
    let tracing = format!("[tracing]\notlp_endpoint = '{}'\n", collector.endpoint());
    tracing + "sample_ratio = 1.0\n" + &text
}

async fn post(daemon: &Daemon, path: &str, kind: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\n");
    let request = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    http::ask(daemon.admin().await, &request).await
}

/// What clients send: a job, several, several with a broken one, and an operation on those with this payload.
async fn sends(daemon: &Daemon) {
    let job = |kind: &str| json!({ "kind": kind, "payload": { SECRET: SECRET } }).to_string();
    let lines = format!("{}\n{}\n", job("failed"), job("later"));
    let broken = format!("{}\n{{\"kind\": \"done\", \"payload\": \"{SECRET}\n", job("done"));
    let wrong = format!("{{\"kind\": \"done\", \"payload\": {SECRET}}}");
    let bulk =
        json!({ "action": "cancel", "filter": { "payload": { SECRET: SECRET }, "kind": "none" } });
    let (json, ndjson) = ("application/json", "application/x-ndjson");
    for (path, kind, body, status) in [
        ("/api/v1/jobs", json, &job("done"), 201),
        ("/api/v1/jobs", json, &wrong, 400),
        ("/api/v1/jobs:batch", ndjson, &lines, 201),
        ("/api/v1/jobs:batch", ndjson, &broken, 400),
        ("/api/v1/jobs/bulk", json, &bulk.to_string(), 202),
    ] {
        let answer = post(daemon, path, kind, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

/// The receiver that has taken its job calls back.
async fn calls_back(daemon: &Daemon, receiver: &Receiver) {
    let url = || {
        let requests = receiver.requests();
        let taken = requests.iter().find(|request| request.head.contains(" /later "))?;
        Some(taken.header("Legwork-Callback-URL").to_owned())
    };
    support::eventually("the receiver has the job", async || url().is_some()).await;
    let url = url().expect("it has the job");
    let path = url.strip_prefix("https://callbacks.example.org").expect("the URL of the file");
    let done = json!({ "action": "complete", "result": { RESULT: RESULT } }).to_string();
    let answer = post(daemon, path, "application/json", &done).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// How many jobs ended so, with the result where they have one.
async fn ended(pool: &PgPool) -> i64 {
    let count = "SELECT count(*) FROM legwork.jobs WHERE state = 'completed' AND result::text LIKE '%' || $1 || '%'
        OR state = 'discarded'";
    sqlx::query_scalar(count).bind(RESULT).fetch_one(pool).await.expect("it is counted")
}

/// What is kept of failures.
async fn kept(pool: &PgPool) -> String {
    let errors = "SELECT string_agg(error, ' ') FROM legwork.failed_attempt";
    sqlx::query_scalar(errors).fetch_one(pool).await.expect("they are kept")
}

fn has_none(what: &str, text: &str) {
    let leaks: Vec<_> =
        text.lines().filter(|line| line.contains(SECRET) || line.contains(RESULT)).collect();
    assert!(leaks.is_empty(), "{what}: {leaks:#?}");
}

#[test]
fn what_receivers_are_sent_and_send_back_and_what_clients_post_is_shown_nowhere() {
    support::run(async |db| {
        let (pool, collector) = (db.pool().await, Collector::new().await);
        let receiver = Receiver::answering(answers).await;
        let mut daemon = Daemon::start(&configuration(&db, &receiver, &collector)).await;
        daemon.logged("daemon.started").await;
        let work = async {
            sends(&daemon).await;
            calls_back(&daemon, &receiver).await;
            support::eventually("all have ended", async || ended(&pool).await == 3).await;
        };
        let ((), trace) = tokio::join!(work, daemon.get("/debug/trace?seconds=2"));
        assert_eq!(trace.0, 200, "{}", trace.1);
        let requests = receiver.requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| request.body.contains(SECRET)), "{requests:?}");

        has_none("a trace", &trace.1);
        for path in ["/metrics", "/debug/tasks", "/debug/tasks?format=text"] {
            let (status, page) = daemon.get(path).await;
            assert_eq!(status, 200, "{page}");
            has_none(path, &page);
            assert!(!page.contains(SAID), "{path}: {page}");
        }
        let failed = daemon.logged("job.failed").await;
        assert!(failed.to_string().contains(SAID), "{failed}");
        assert!(kept(&pool).await.contains(SECRET), "the record has the answer");
        daemon.signal(Signal::SIGTERM);
        daemon.exit(PATIENCE).await;
        has_none("the log", &daemon.printed());
        let spans = collector.spans();
        for name in ["POST", "POST /api/v1/jobs:batch", "POST /api/v1/callbacks/{token}"] {
            assert!(spans.iter().any(|span| span.name == name), "{name} isn't among {spans:#?}");
        }
        let spans = format!("{spans:?}");
        has_none("spans", &spans);
        assert!(!spans.contains(SAID), "{spans}");
        pool.close().await;
    });
}
