//! Many jobs in one request: all or none, by their lines, within bounds that hold whatever the client does.

use std::fmt::Write as _;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Answer, daemon, post_as};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, PATIENCE};

const BATCH: &str = "/api/v1/jobs:batch";
const NDJSON: &str = "application/x-ndjson";
const COUNT: &str = "SELECT count(*) FROM legwork.job";
/// Transactions of the admin port that are open.
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'legwork admin%' AND (xact_start IS NOT NULL OR state <> 'idle')";

async fn send(daemon: &Daemon, body: &str) -> Answer {
    post_as(daemon, BATCH, NDJSON, body).await
}

fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, r#"{{"kind":"waits","payload":{number},"queue":"mail"}}"#)
            .expect("it grows");
        text
    })
}

#[test]
fn many_jobs_are_enqueued_in_the_order_of_their_lines_and_told_by_their_ids() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let few = "{\"kind\":\"waits\",\"delay\":\"1h\"}\r\n {\"kind\": \"waits\", \"tags\": [\"t\"]}\n\n";
        let answer = send(&daemon, few).await;
        let told = json!({ "enqueued": 2, "first_id": 1, "last_id": 2, "ids": [1, 2] });
        assert_eq!((answer.status, answer.json()), (201, told));
        let late = "SELECT run_at BETWEEN now() + interval '59 min' AND now() + interval '1 h' FROM legwork.job WHERE id = 1";
        assert_eq!(value(&mut session, late).await, "t");
        let follows = "SELECT metadata->>'request_id' FROM legwork.job WHERE id = 2";
        assert_eq!(Some(&*value(&mut session, follows).await), answer.header("x-request-id"));

        let answer = send(&daemon, &lines(3000)).await;
        let told = json!({ "enqueued": 3000, "first_id": 3, "last_id": 3002, "ids": null });
        assert_eq!((answer.status, answer.json()), (201, told));
        let order = "SELECT bool_and(id = payload::int + 3) FROM legwork.job WHERE id > 2";
        assert_eq!(value(&mut session, order).await, "t");
        let page = daemon.get("/metrics").await.1;
        let counted = "legwork_jobs_enqueued_total{queue=\"other\",via=\"http\"} 3000\n";
        assert!(page.contains(counted), "{page}");
        assert_eq!(value(&mut session, OPEN).await, "0");
        daemon.stop().await;
        end(session).await;
    });
}

/// The type of a body that is packed, with the header that says so.
const PACKED: &str = "application/x-ndjson\r\nContent-Encoding: gzip";

#[test]
fn one_wrong_line_keeps_all_from_being_enqueued_and_is_told_by_its_place() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, unique_key) VALUES ('waits', 'taken')",
        )
        .await;
        let good = lines(500);
        for (line, status, problem, member, column, said) in [
            (
                r#"{"kind": "waits", "priority": 9}"#,
                422,
                "invalid-job",
                "priority",
                31,
                "priority_is_minus_2_to_2",
            ),
            (r#"  {"kind": "a b"}"#, 422, "invalid-job", "kind", 12, "can't stand in a name"),
            (r#"{"kind": waits}"#, 400, "invalid-body", "", 10, "expected"),
            (r#"{"kind": "a", "holder": 1}"#, 400, "invalid-body", "holder", 22, "unknown field"),
            ("[1]", 400, "invalid-body", "", 0, "whole JSON object"),
            // What the database alone can say.
            (
                r#"{"kind": "waits", "timeout": "31d"}"#,
                422,
                "invalid-job",
                "timeout",
                0,
                "timeout_is_above_0",
            ),
            (
                r#"{"kind": "waits", "unique_key": "taken"}"#,
                422,
                "invalid-job",
                "unique_key",
                0,
                "job_unique",
            ),
        ] {
            let answer = send(&daemon, &format!("{good}{line}\n{good}")).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (status, problem.to_owned()),
                "{line} {}",
                answer.body
            );
            let told = answer.json();
            assert_eq!(told["line"], 501, "{line}: {told}");
            assert_eq!(told["column"].as_u64().unwrap_or_default(), column, "{line}: {told}");
            assert_eq!(told["parameter"].as_str().unwrap_or_default(), member, "{line}: {told}");
            assert!(answer.body.contains(said), "{said}: {told}");
            assert_eq!(value(&mut session, COUNT).await, "1", "{line}");
        }
        let empty = send(&daemon, &format!("{good}\n{good}")).await;
        let told = (empty.status, empty.json()["line"].as_u64());
        assert_eq!(told, (400, Some(501)), "{}", empty.body);
        for lines in [1, 2000] {
            let nothing = send(&daemon, &"\n".repeat(lines)).await;
            assert_eq!((nothing.status, nothing.problem()), (400, "invalid-body".to_owned()));
        }
        for kind in ["application/json", PACKED] {
            let other = post_as(&daemon, BATCH, kind, &good).await;
            assert_eq!((other.status, &*other.problem()), (415, "not-json"), "{kind}");
        }
        assert_eq!(value(&mut session, COUNT).await, "1");
        assert_eq!(value(&mut session, OPEN).await, "0", "nothing is left open");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_batch_of_too_many_jobs_is_refused_whole() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let answer = send(&daemon, &"{\"kind\":\"waits\"}\n".repeat(100_001)).await;
        assert_eq!((answer.status, answer.problem()), (413, "body-too-large".to_owned()));
        assert!(answer.body.contains("100000 jobs"), "{}", answer.body);
        assert_eq!(value(&mut session, COUNT).await, "0");
        daemon.stop().await;
        end(session).await;
    });
}

const MIB: usize = 1 << 20;

/// Sends so many pieces of a MiB, whose length isn't announced: a line each, or all of them one line without end.
async fn send_mebibytes(daemon: &Daemon, lines: usize, last: u8) -> Answer {
    let mut line = Vec::from(*b"{\"kind\": \"waits\"}");
    line.resize(MIB - 1, b' ');
    line.push(last);
    let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
    let head = format!(
        "POST {BATCH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    for _ in 0..lines {
        stream.write_all(format!("\r\n{MIB:x}\r\n").as_bytes()).await.expect("it is taken");
        stream.write_all(&line).await.expect("it is taken");
    }
    // Beyond the bound nothing more is read, and what nobody has read would take the answer along.
    if lines <= 64 {
        stream.write_all(b"\r\n0\r\n\r\n").await.expect("it is taken");
    }
    Answer::of(&rest(stream).await)
}

#[test]
fn a_batch_of_64_mib_is_taken_and_one_of_more_is_refused_whole_announced_or_not() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let most = send_mebibytes(&daemon, 64, b'\n').await;
        assert_eq!(most.status, 201, "{}", most.body);
        assert!(most.body.contains("\"enqueued\":64"), "{}", most.body);
        for last in [b'\n', b' '] {
            let more = send_mebibytes(&daemon, 65, last).await;
            assert_eq!((more.status, more.problem()), (413, "body-too-large".to_owned()));
            assert!(more.body.contains("67108864 bytes"), "{}", more.body);
        }
        // Before it is sent.
        let head = format!(
            "POST {BATCH} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nContent-Length: 67108865\r\n\r\n"
        );
        let announced = super::send(daemon.admin().await, &head).await;
        assert_eq!((announced.status, announced.problem()), (413, "body-too-large".to_owned()));
        assert_eq!(value(&mut session, COUNT).await, "64");
        assert_eq!(value(&mut session, OPEN).await, "0", "nothing is left open");
        daemon.stop().await;
        end(session).await;
    });
}

/// Sends a head and the beginning of a body, and no more.
async fn begin(daemon: &Daemon, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
    let head = format!(
        "POST {BATCH} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {NDJSON}\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).await.expect("it is taken");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("it is answered").expect("it is whole");
    answer
}

#[test]
fn a_client_that_dawdles_is_cut_off_and_what_it_sent_is_taken_back() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let silent = begin(&daemon, "{\"kind\": \"waits\"").await;
        let slow = begin(&daemon, &lines(10)).await;
        support::eventually("its transaction is open", async || {
            value(&mut session, OPEN).await == "1"
        })
        .await;
        // Both places are taken, one of them by a client that has begun nothing in the database.
        let third = send(&daemon, &lines(1)).await;
        assert_eq!((third.status, third.problem()), (503, "database-unavailable".to_owned()));
        assert_eq!(third.header("retry-after"), Some("5"));
        assert_eq!(daemon.get("/health/live").await.0, 200, "others are answered");
        for stream in [silent, slow] {
            let answer = rest(stream).await;
            assert!(
                answer.contains("408 Request Timeout") && answer.contains("body-too-slow"),
                "{answer}"
            );
        }
        assert_eq!(value(&mut session, COUNT).await, "0");
        assert_eq!(value(&mut session, OPEN).await, "0", "nothing is left open");
        let next = send(&daemon, &lines(1)).await;
        assert_eq!(next.status, 201, "there is a place again: {}", next.body);

        let gone = begin(&daemon, &lines(10)).await;
        support::eventually("its transaction is open", async || {
            value(&mut session, OPEN).await == "1"
        })
        .await;
        drop(gone);
        support::eventually("a client that goes leaves nothing", async || {
            value(&mut session, OPEN).await == "0"
        })
        .await;
        assert_eq!(value(&mut session, COUNT).await, "1");
        daemon.stop().await;
        end(session).await;
    });
}
