//! Receivers that take a job by 202 and call back: through real daemons, on real sockets.

mod ending;

use crate::support::{
    self, Daemon, TestDb,
    collector::{Collector, attribute},
    http,
    receiver::{Receiver, Request, answer},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    fs::{self, Permissions},
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep},
};

const BASE: &str = "https://callbacks.example.org/legwork";

/// A daemon whose kind `hook` is sent to this URL, with these keys of the kind.
fn configuration(database: &str, url: &str, keys: &str) -> String {
    format!(
        "[database]\nurl = \"{database}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ncallback_url = \"{BASE}\"\n\
         [shutdown]\ngrace = \"0s\"\n[log]\nformat = \"json\"\nfilter = \"debug\"\n\
         [[kind]]\nname = \"hook\"\nhandler = \"http\"\nurl = \"{url}\"\nasync = true\n\
         allow_hosts = [\"127.0.0.1\"]\nbackoff.base = \"1h\"\nbackoff.max = \"1h\"\n{keys}"
    )
}

/// Takes every job.
async fn receiver() -> Receiver {
    Receiver::answering(|_| answer("202 Accepted", &[], "")).await
}

async fn started(db: &TestDb, receiver: &Receiver, keys: &str) -> Daemon {
    let daemon = Daemon::start(&configuration(&db.url(), &receiver.url("/"), keys)).await;
    daemon.logged("daemon.started").await;
    daemon
}

async fn insert(pool: &PgPool) -> i64 {
    let insert = "INSERT INTO legwork.job (kind) VALUES ('hook') RETURNING id";
    sqlx::query_scalar(insert).fetch_one(pool).await.expect("inserted")
}

/// What a column of a job's row says, in whichever table it is.
async fn of(pool: &PgPool, job: i64, column: &str) -> Option<String> {
    let text = format!("SELECT ({column})::text FROM legwork.jobs WHERE id = $1");
    let found = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).bind(job).fetch_one(pool).await;
    found.expect("a row")
}

async fn becomes(pool: &PgPool, job: i64, state: &str) {
    let what = format!("job {job} is {state}");
    support::eventually(&what, async || of(pool, job, "state").await.as_deref() == Some(state))
        .await;
}

/// The error of a job's newest failed attempt.
async fn error(pool: &PgPool, job: i64) -> String {
    let newest =
        "SELECT error FROM legwork.failed_attempt WHERE job_id = $1 ORDER BY token DESC LIMIT 1";
    sqlx::query_scalar(newest).bind(job).fetch_one(pool).await.expect("a failed attempt")
}

/// The path to call of the request with this number, from 0.
async fn path(receiver: &Receiver, number: usize) -> String {
    let there = async || receiver.requests().len() > number;
    support::eventually("the receiver has the request", there).await;
    path_of(&receiver.requests()[number])
}

fn path_of(request: &Request) -> String {
    let url = request.header("Legwork-Callback-URL");
    let path = url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url} isn't below {BASE}"));
    assert!(path.starts_with("/api/v1/callbacks/"), "{path}");
    path.to_owned()
}

/// Sends it by a name that isn't the daemon's, as through a proxy; status and body.
async fn post(at: SocketAddr, path: &str, body: &str) -> (u16, Value) {
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: callbacks.example.org\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http::ask(at, &request).await;
    let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status, value)
}

/// Status, and the word: what became of it, or the problem.
async fn call(daemon: &Daemon, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = post(daemon.admin().await, path, &body.to_string()).await;
    let problem = answer["type"].as_str().map(|it| it.trim_start_matches("urn:legwork:problem:"));
    let word = problem.or(answer["result"].as_str());
    (status, word.unwrap_or_else(|| panic!("{answer}")).to_owned())
}

fn is(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[test]
fn a_receiver_completes_later_and_nothing_shows_its_token_or_its_result() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let url = receiver.requests()[0].header("Legwork-Callback-URL").to_owned();
        assert_eq!(url, format!("{BASE}{path}"), "below admin.callback_url");
        support::eventually("the attempt waits for the call", async || {
            daemon.get("/debug/tasks").await.1.contains("http.callback")
        })
        .await;
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));

        let (status, beat) = post(daemon.admin().await, &path, r#"{"action":"heartbeat"}"#).await;
        assert_eq!((status, &beat["job"], &beat["result"]), (200, &json!(job), &json!("waiting")));
        let left = beat["remaining_seconds"].as_f64().expect("a number");
        assert!((1.0..=300.0).contains(&left), "of the five minutes of an attempt: {left}");

        let done = r#"{"action": "complete", "result": {"tell_tale": 1.10, "n": 123456789012345678901234567890}}"#;
        for time in ["first", "again"] {
            let (status, answer) = post(daemon.admin().await, &path, done).await;
            let expected = json!({ "job": job, "result": "taken" });
            assert_eq!((status, answer), (200, expected), "{time}");
        }
        becomes(&pool, job, "completed").await;
        let result = of(&pool, job, "result").await.expect("a result");
        assert_eq!(result, r#"{"n": 123456789012345678901234567890, "tell_tale": 1.10}"#);
        let other = call(&daemon, &path, json!({ "action": "fail" })).await;
        assert_eq!(other, is(409, "already-decided"));
        let beat = call(&daemon, &path, json!({ "action": "heartbeat" })).await;
        assert_eq!(beat, is(410, "lease-gone"));
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("completed"));

        let token = path.rsplit('/').next().expect("a token");
        let (_, metrics) = daemon.get("/metrics").await;
        assert!(
            metrics.contains("path=\"/api/v1/callbacks/{token}\",status=\"200\"} 3"),
            "{metrics}"
        );
        for page in [daemon.printed(), metrics, daemon.get("/debug/tasks").await.1] {
            assert!(!page.contains(token) && !page.contains("tell_tale"), "{page}");
        }
        assert_eq!(receiver.requests().len(), 1);
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn each_word_means_what_the_header_means() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "max_result = \"10B\"\n").await;
        let until = "extract(epoch FROM run_at - now())::int / 10";
        let mut ended = Vec::new();
        for (body, state) in [
            (json!({ "action": "fail", "error": "no paper" }), "retryable"),
            (json!({ "action": "retry", "for": "10m" }), "retryable"),
            (json!({ "action": "discard", "error": "no such customer" }), "discarded"),
            (json!({ "action": "snooze", "for": "10m" }), "scheduled"),
            (json!({ "action": "cancel" }), "cancelled"),
            (json!({ "action": "complete", "result": [1] }), "completed"),
            (json!({ "action": "complete" }), "completed"),
        ] {
            let number = receiver.requests().len();
            let job = insert(&pool).await;
            let path = path(&receiver, number).await;
            assert_eq!(call(&daemon, &path, body.clone()).await, is(200, "taken"), "{body}");
            becomes(&pool, job, state).await;
            ended.push(job);
        }
        assert_eq!(error(&pool, ended[0]).await, "called back: no paper");
        assert_eq!(error(&pool, ended[1]).await, "called back: retry");
        // Of the ten minutes, or of the backoff's hour with its jitter, nobody waits for much.
        for (job, attempt, tens) in
            [(ended[0], "1", 280..=440), (ended[1], "1", 50..=60), (ended[3], "0", 50..=60)]
        {
            assert_eq!(of(&pool, job, "attempt").await.as_deref(), Some(attempt), "{job}");
            let due = of(&pool, job, until).await.expect("a time");
            assert!(tens.contains(&due.parse::<i64>().expect("a number")), "{job}: {due}0 s");
        }
        assert_eq!(error(&pool, ended[2]).await, "called back: no such customer");
        let reason = "SELECT reason FROM legwork.finished WHERE id = $1";
        let reason: Option<String> =
            sqlx::query_scalar(reason).bind(ended[2]).fetch_one(&pool).await.expect("a row");
        assert_eq!(reason.as_deref(), Some("permanent_error"));
        for (job, result) in [(ended[5], Some("[1]")), (ended[6], None)] {
            assert_eq!(of(&pool, job, "result").await.as_deref(), result, "{job}");
        }
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_result_that_is_longer_than_the_kinds_is_refused_with_the_limit_and_a_shorter_one_counts() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "max_result = \"10B\"\n").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let long = r#"{"action": "complete", "result": "9 letters"}"#;
        let (status, refused) = post(daemon.admin().await, &path, long).await;
        assert_eq!((status, &refused["parameter"]), (413, &json!("result")), "{refused}");
        assert_eq!(refused["type"], "urn:legwork:problem:result-too-long");
        let detail = refused["detail"].as_str().expect("text");
        assert!(detail.contains("max_result is 10 bytes"), "{detail}");
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));
        let short = json!({ "action": "complete", "result": "8 letter" });
        assert_eq!(call(&daemon, &path, short).await, is(200, "taken"));
        becomes(&pool, job, "completed").await;
        assert_eq!(of(&pool, job, "result").await.as_deref(), Some("\"8 letter\""));
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn no_span_shows_the_token_of_a_call() {
    support::run(async |db: TestDb| {
        let (collector, receiver) = (Collector::new().await, receiver().await);
        let pool = db.pool().await;
        let tracing = format!(
            "[tracing]\notlp_endpoint = \"{}\"\nsample_ratio = 1.0\n",
            collector.endpoint()
        );
        let text = tracing + &configuration(&db.url(), &receiver.url("/"), "");
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let token = path.rsplit('/').next().expect("a token");
        for action in ["heartbeat", "complete"] {
            assert_eq!(call(&daemon, &path, json!({ "action": action })).await.0, 200);
        }
        becomes(&pool, job, "completed").await;
        daemon.stop().await;
        let spans = collector.spans();
        let name = "POST /api/v1/callbacks/{token}";
        let calls: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(calls.len(), 2, "{spans:?}");
        for span in calls {
            assert_eq!(attribute(span, "url.path"), "/api/v1/callbacks/{token}");
        }
        let all = format!("{spans:?}");
        assert!(!all.contains(token) && !all.contains(BASE), "{all}");
        pool.close().await;
    });
}

#[test]
fn what_cannot_be_meant_is_refused_and_the_attempt_waits_on() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        for body in [
            json!({}),
            json!({ "action": "explode" }),
            json!({ "action": "complete", "results": 1 }),
            json!({ "action": "complete", "error": "e" }),
            json!({ "action": "complete", "result": "\u{0}" }),
            json!({ "action": "heartbeat", "for": "1m" }),
            json!({ "action": "cancel", "result": 1 }),
            json!({ "action": "snooze", "for": "soon" }),
            json!({ "action": "snooze", "for": "0s" }),
            json!({ "action": "snooze", "for": "3650d" }),
            json!({ "action": "retry", "for": "25h" }),
        ] {
            assert_eq!(call(&daemon, &path, body.clone()).await, is(400, "invalid-body"), "{body}");
        }
        let large = json!({ "action": "complete", "result": "x".repeat(65_536) });
        assert_eq!(call(&daemon, &path, large).await, is(413, "body-too-large"));
        let query = format!("{path}?action=complete");
        let asked = call(&daemon, &query, json!({ "action": "complete" })).await;
        assert_eq!(asked, is(400, "unknown-parameter"));
        let at = daemon.admin().await;
        let form = format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(http::ask(at, &form).await.status, 415);
        let get = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        assert_eq!(http::ask(at, &get).await.status, 405);
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));
        assert_eq!(call(&daemon, &path, json!({ "action": "complete" })).await, is(200, "taken"));
        becomes(&pool, job, "completed").await;
        daemon.stop().await;
        pool.close().await;
    });
}

/// Two leases of one daemon, and the same key.
#[test]
fn a_forged_token_changes_nothing_and_keeps_nobody_out() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "").await;
        let (one, other) = (insert(&pool).await, insert(&pool).await);
        let paths = [path(&receiver, 0).await, path(&receiver, 1).await];
        // The lease of one under the signature of the other: the first 32 of the 75 letters are the lease's alone.
        let start = "/api/v1/callbacks/".len();
        let mixed = format!("{}{}", &paths[0][..start + 32], &paths[1][start + 32..]);
        let done = json!({ "action": "complete" });
        assert_eq!(call(&daemon, &mixed, done.clone()).await, is(421, "other-daemon"));
        for end in 0..4 {
            let cut = &paths[0][..paths[0].len() - 1 - end];
            assert_eq!(call(&daemon, cut, done.clone()).await, is(421, "other-daemon"));
        }
        let mut last = (0, String::new());
        for number in 0..4 {
            last = call(&daemon, &format!("/api/v1/callbacks/{number}"), done.clone()).await;
        }
        assert_eq!(last, is(429, "too-many-guesses"));
        for job in [one, other] {
            assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));
        }
        let refused = daemon.logged("admin.refused").await;
        assert_eq!(refused["http.route"], "/api/v1/callbacks/{token}");
        // From the same address, at once.
        for path in &paths {
            assert_eq!(call(&daemon, path, done.clone()).await, is(200, "taken"));
        }
        for job in [one, other] {
            becomes(&pool, job, "completed").await;
        }
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn another_daemon_says_that_it_is_not_the_one() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let holder = started(&db, &receiver, "").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let other = started(&db, &receiver, "").await;
        let done = json!({ "action": "complete" });
        assert_eq!(call(&other, &path, done.clone()).await, is(421, "other-daemon"));
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));
        assert_eq!(call(&holder, &path, done).await, is(200, "taken"));
        becomes(&pool, job, "completed").await;
        other.stop().await;
        holder.stop().await;
        pool.close().await;
    });
}

/// Calls while the request of a job with an even number is open, and answers once it is answered itself; with 500, as the
/// others at once. The daemon's address is to be told to it.
async fn calls_early() -> (Receiver, watch::Sender<Option<SocketAddr>>) {
    let (port, known) = watch::channel(None::<SocketAddr>);
    let receiver = Receiver::doing(move |mut stream: TcpStream| {
        let mut known = known.clone();
        async move {
            let Some(request) = Request::read(&mut stream).await else { return };
            let job: u64 = request.header("Legwork-Job-Id").parse().expect("a number");
            if job.is_multiple_of(2) {
                let at = known.wait_for(Option::is_some).await.expect("told").expect("an address");
                let done = r#"{"action":"complete","result":"early"}"#;
                let (status, _) = post(at, &path_of(&request), done).await;
                assert_eq!(status, 200);
            }
            let text = answer("500 Internal Server Error", &[], "");
            stream.write_all(text.as_bytes()).await.ok();
        }
    })
    .await;
    (receiver, port)
}

/// What it answers in the end counts for nothing: neither for the job nor for the circuit.
#[test]
fn a_receiver_may_call_before_it_answers_and_is_well() {
    support::run(async |db: TestDb| {
        let (receiver, port) = calls_early().await;
        let pool = db.pool().await;
        let keys = "circuit.failures = 2\ncircuit.open_for = \"1h\"\n";
        let daemon = started(&db, &receiver, keys).await;
        port.send_replace(Some(daemon.admin().await));
        // The second failure isn't one in a row.
        for state in ["retryable", "completed", "retryable", "completed"] {
            let job = insert(&pool).await;
            becomes(&pool, job, state).await;
            if state == "completed" {
                assert_eq!(of(&pool, job, "result").await.as_deref(), Some("\"early\""));
            }
        }
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn an_answer_that_decides_counts_and_a_202_with_an_action_is_one() {
    support::run(async |db: TestDb| {
        let receiver = Receiver::answering(|request| match request.header("legwork-job-id") {
            "1" => answer("200 OK", &[], "1"),
            "2" => answer("202 Accepted", &["Legwork-Action: complete"], "2"),
            _ => answer("410 Gone", &[], ""),
        })
        .await;
        let pool = db.pool().await;
        let daemon = started(&db, &receiver, "").await;
        for (state, result) in
            [("completed", Some("1")), ("completed", Some("2")), ("discarded", None)]
        {
            let job = insert(&pool).await;
            becomes(&pool, job, state).await;
            assert_eq!(of(&pool, job, "result").await.as_deref(), result);
            let number = usize::try_from(job).expect("small") - 1;
            let late =
                call(&daemon, &path(&receiver, number).await, json!({ "action": "fail" })).await;
            assert_eq!(late, is(410, "lease-gone"));
        }
        daemon.stop().await;
        pool.close().await;
    });
}

/// By an address that isn't loopback, where everything else needs a token.
#[test]
fn with_tokens_configured_the_url_alone_is_the_right() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let directory = tempfile::tempdir().expect("a directory");
        let token = directory.path().join("token");
        fs::write(&token, "0123456789abcdef0123456789abcdef").expect("written");
        fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("the file is ours");
        let listen = format!("listen = \"0.0.0.0:0\"\ntoken_file = \"{}\"", token.display());
        let text = configuration(&db.url(), &receiver.url("/"), "");
        let daemon = Daemon::start(&text.replace("listen = \"127.0.0.1:0\"", &listen)).await;
        daemon.logged("daemon.started").await;
        // Nothing is sent: the kernel says by which address it would be.
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.connect("198.51.100.1:9").expect("this machine has an address besides loopback");
        let mut outside = socket.local_addr().expect("an address");
        outside.set_port(daemon.admin().await.port());

        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let cancel = format!("/api/v1/jobs/{job}/cancel");
        assert_eq!(post(outside, &cancel, "{}").await.0, 421, "by a name that isn't the daemon's");
        assert_eq!(http::get(outside, &format!("/api/v1/jobs/{job}")).await.0, 401);
        assert_eq!(post(outside, &path, r#"{"action":"complete"}"#).await.0, 200);
        becomes(&pool, job, "completed").await;
        daemon.stop().await;
        pool.close().await;
    });
}
