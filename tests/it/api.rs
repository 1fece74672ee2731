//! The API on a real port of a real daemon, as people and programs ask it.

mod abused;
mod audit;
mod batch;
mod bulk;
mod changed;
mod daemon_itself;
mod decided;
mod described;
mod enqueued;
mod events;
mod every;
mod fuzzed;
mod moments;
mod once;
mod pages;
mod roles;
mod scheduled;
mod sessions;
mod shown;
mod spans;
mod tagged;

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::Configuration;
use crate::support::{self, Daemon, PATIENCE};

/// A kind that the daemon runs for as long as its payload says, beside which others wait for somebody who serves them.
const SLEEP: &str = "[[kind]]\nname = 'sleep'\nhandler = 'sleep'\n";

/// What came of a request.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// What came, from its first byte to its last.
    fn of(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.expect("a status"), head: head.to_owned(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The type of a problem, behind what all have in common.
    fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let problem = self.json();
        let kind = problem["type"].as_str().expect("a problem has a type");
        kind.strip_prefix("urn:legwork:problem:").expect("it is one of ours").to_owned()
    }
}

async fn ask(at: SocketAddr, method: &str, path: &str) -> Answer {
    send(at, &format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).await
}

/// Changes something, by this body of this type.
async fn post_as(daemon: &Daemon, path: &str, kind: &str, body: &str) -> Answer {
    change_as(daemon, "POST", path, (kind, body)).await
}

/// Changes something by this method.
async fn change(daemon: &Daemon, method: &str, path: &str, body: &str) -> Answer {
    change_as(daemon, method, path, ("application/json", body)).await
}

async fn change_as(
    daemon: &Daemon,
    method: &str,
    path: &str,
    (kind, body): (&str, &str),
) -> Answer {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    send(daemon.admin().await, &(head + body)).await
}

async fn post(daemon: &Daemon, path: &str, body: &str) -> Answer {
    post_as(daemon, path, "application/json", body).await
}

async fn send(at: SocketAddr, request: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.expect("it is answered").expect("it is whole");
    // An archive is no text, and nobody here reads it.
    Answer::of(&String::from_utf8_lossy(&answer))
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon.admin().await, "GET", path).await
}

/// What is there, which has to be.
async fn found(daemon: &Daemon, path: &str) -> Value {
    let answer = get(daemon, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Starts a daemon with this beside its configuration, and waits until it works.
async fn daemon(url: &str, beside: &str) -> Daemon {
    let kinds = [SLEEP.to_owned(), beside.to_owned()];
    let daemon = Daemon::start(&Configuration::of(url, &kinds).text()).await;
    support::eventually("the daemon is ready", async || daemon.get("/health/ready").await.0 == 200)
        .await;
    daemon
}

fn ids(page: &Value) -> Vec<i64> {
    let jobs = page["jobs"].as_array().expect("a page has jobs");
    jobs.iter().map(|job| job["id"].as_i64().expect("a job has an id")).collect()
}
