//! Requests in their caller's trace, and their statements below them, at a collector.

mod sessions;

use std::net::SocketAddr;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};

use super::{Answer, described::with_examples, found, send};
use crate::process::{Configuration, SLACK};
use crate::support::{
    self, Daemon,
    collector::{Collector, attribute, hex, value},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// What is done as soon as it is claimed.
const NOOP: &str = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";

/// Enqueues nothing by itself, and what nobody serves when it is asked to.
const YEARLY: &str = "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'waits'\n";

/// Asks as a program does whose own span is sampled.
async fn traced(at: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let rest = if method == "POST" { body_of("application/json", "{}") } else { "\r\n".to_owned() };
    traced_with(at, (method, path, host), &rest).await
}

async fn traced_with(
    at: SocketAddr,
    (method, path, host): (&str, &str, &str),
    rest: &str,
) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: r-17\r\n");
    let trace = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nConnection: close\r\n");
    send(at, &(head + &trace + rest)).await
}

fn body_of(kind: &str, body: &str) -> String {
    format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Enqueues so; one job, or lines of them.
async fn enqueues(at: SocketAddr, body: &str) -> Answer {
    let (path, kind) = if body.contains('\n') {
        ("/api/v1/jobs:batch", "application/x-ndjson")
    } else {
        ("/api/v1/jobs", "application/json")
    };
    traced_with(at, ("POST", path, "localhost"), &body_of(kind, body)).await
}

async fn daemon(url: &str, collector: &Collector) -> Daemon {
    let tracing =
        format!("[tracing]\notlp_endpoint = '{}'\nsample_ratio = 0\n", collector.endpoint());
    let kinds = [super::SLEEP, NOOP, YEARLY].map(str::to_owned);
    let daemon = Daemon::start(&(tracing + &Configuration::of(url, &kinds).text())).await;
    support::eventually("the daemon is ready", async || daemon.get("/health/ready").await.0 == 200)
        .await;
    daemon
}

/// Ends the daemon, which sends what it has.
async fn spans_of(mut daemon: Daemon, collector: &Collector) -> (Vec<Span>, Daemon) {
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.exit(SLACK * 3).await.code(), Some(0), "{}", daemon.printed());
    (collector.spans(), daemon)
}

fn below<'s>(spans: &'s [Span], parent: &Span) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
}

#[test]
fn every_reading_operation_has_a_span_below_its_caller_and_its_statements_below_that() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let daemon = daemon(&db.url(), &collector).await;
        let document = found(&daemon, "/openapi.json").await;
        let at = daemon.admin().await;
        let mut asked = Vec::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            let operation = &operations["get"];
            let content = &operation["responses"]["200"]["content"];
            if !path.starts_with("/api/") || !content["application/json"].is_object() {
                continue;
            }
            traced(at, "GET", &with_examples(path, operation), "localhost").await;
            let refused = operation["responses"]["503"].to_string();
            let asks_the_database = refused.contains("database-unavailable");
            asked.push((format!("GET {path}"), asks_the_database));
        }
        assert!(asked.len() >= 8, "{asked:?}");
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        for (name, asks_the_database) in asked {
            let is_it = |span: &&Span| span.name == name && span.kind() == SpanKind::Server;
            let span = spans.iter().find(is_it).unwrap_or_else(|| panic!("no span of {name}"));
            assert_eq!(
                (hex(&span.trace_id), hex(&span.parent_span_id)),
                (TRACE.into(), CALLER.into())
            );
            let mut statements = below(&spans, span);
            // Of the first one to ask, and of whoever asks while the session is in use.
            statements.retain(|statement| statement.name != "connect");
            assert_eq!(!statements.is_empty(), asks_the_database, "{name}: {statements:?}");
            for statement in statements {
                assert_eq!(statement.kind(), SpanKind::Client, "{name}");
                assert_eq!(attribute(statement, "db.system.name"), "postgresql");
                assert_eq!(attribute(statement, "db.query.summary"), statement.name);
                let verb = attribute(statement, "db.operation.name");
                assert!(statement.name.starts_with(&format!("{verb} legwork.")), "{statement:?}");
                assert!(attribute(statement, "db.namespace").ends_with("|legwork"));
                assert_eq!(value(&statement.attributes, "error.type"), None);
            }
        }
    });
}

#[test]
fn a_change_that_is_refused_says_so_strangers_leave_no_span_and_lines_name_the_trace() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let daemon = daemon(&db.url(), &collector).await;
        let at = daemon.admin().await;
        let missing = traced(at, "POST", "/api/v1/jobs/424242/discard", "localhost").await;
        assert_eq!(missing.status, 404, "{}", missing.body);
        for (path, host, status) in [
            ("/api/v1/queues", "evil.example.com", 421),
            ("/health/live", "localhost", 200),
            ("/metrics", "localhost", 200),
        ] {
            assert_eq!(traced(at, "GET", path, host).await.status, status, "{path}");
        }
        let (spans, daemon) = spans_of(daemon, &collector).await;
        let [session, statement, request, probe, scrape] = spans.as_slice() else {
            panic!("{spans:#?}")
        };
        // Their caller samples, and is this machine.
        assert_eq!((&*probe.name, &*scrape.name), ("GET /health/live", "GET /metrics"));
        assert_eq!(request.name, "POST /api/v1/jobs/{id}/discard");
        assert_eq!(attribute(request, "url.path"), "/api/v1/jobs/424242/discard");
        assert_eq!(attribute(request, "client.address"), "127.0.0.1");
        assert_eq!(value(&request.attributes, "error.type"), None, "it is the client's");
        assert_eq!((&*session.name, &session.parent_span_id), ("connect", &request.span_id));
        assert_eq!(statement.parent_span_id, request.span_id);
        assert_eq!(statement.name, "SELECT legwork.discard");
        assert_eq!(attribute(statement, "db.response.status_code"), "P0002");
        assert_eq!(attribute(statement, "error.type"), "P0002");
        let lines = daemon.events();
        let mut lines = lines.iter().filter(|line| line["event"] == "admin.request");
        let line = lines.next().expect("an access line");
        let stranger = lines.find(|line| line["http.response.status_code"] == 421);
        let stranger = stranger.expect("one of whoever was refused");
        assert_eq!((&stranger["trace_id"], &stranger["span_id"]), (&TRACE.into(), &CALLER.into()));
        assert_eq!((&line["trace_id"], &line["request_id"]), (&TRACE.into(), &"r-17".into()));
        assert_eq!(line["span_id"], hex(&request.span_id));
        assert_eq!(line["trace_flags"], "01");
    });
}

/// The request's span of this name, and the spans of sendings below it, by their names.
fn sent_by<'s>(spans: &'s [Span], name: &str) -> (Vec<&'s Span>, Vec<&'s Span>) {
    let requests: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let below = requests.iter().flat_map(|request| below(spans, request));
    let mut sent: Vec<_> = below.filter(|span| span.kind() == SpanKind::Producer).collect();
    sent.sort_by(|a, b| a.name.cmp(&b.name));
    (requests, sent)
}

#[test]
fn a_job_that_is_enqueued_stands_below_its_sending_and_that_below_the_request() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let daemon = daemon(&db.url(), &collector).await;
        let (at, pool) = (daemon.admin().await, db.pool().await);
        let job = r#"{"kind": "noop", "unique_key": "k"}"#;
        assert_eq!(enqueues(at, job).await.status, 201);
        let state = "SELECT state FROM legwork.jobs WHERE id = 1";
        support::eventually("the job is done", async || {
            sqlx::query_scalar::<_, String>(state).fetch_one(&pool).await.expect("a row")
                == "completed"
        })
        .await;
        let waits = r#"{"kind": "waits", "queue": "far", "unique_key": "k"}"#;
        for status in [201, 200] {
            assert_eq!(enqueues(at, waits).await.status, status);
        }
        let named = "SELECT metadata->>'traceparent' FROM legwork.jobs WHERE id = 1";
        let named: String = sqlx::query_scalar(named).fetch_one(&pool).await.expect("a row");
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        let (requests, sent) = sent_by(&spans, "POST /api/v1/jobs");
        assert_eq!(requests.len(), 3);
        let [first, other] = sent.as_slice() else {
            panic!("one that is enqueued has one: {sent:?}")
        };
        assert_eq!((&*first.name, &*other.name), ("send default", "send far"));
        for (key, expected) in [
            ("messaging.system", "legwork"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "default"),
            ("messaging.message.id", "1"),
            ("legwork.request_id", "r-17"),
        ] {
            assert_eq!(attribute(first, key), expected, "{key}");
        }
        assert_eq!((hex(&first.trace_id).as_str(), first.parent_span_id.len()), (TRACE, 8));
        assert_eq!(named, format!("00-{TRACE}-{}-01", hex(&first.span_id)));
        let attempts = below(&spans, first);
        let spans_below: Vec<_> = attempts.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(spans_below, ["process default"]);
        pool.close().await;
    });
}

#[test]
fn a_schedule_s_job_that_is_asked_for_stands_below_its_sending_and_a_refused_one_has_none() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let daemon = daemon(&db.url(), &collector).await;
        let (at, pool) = (daemon.admin().await, db.pool().await);
        for status in [201, 409] {
            let asked = traced(at, "POST", "/api/v1/schedules/yearly/run", "localhost").await;
            assert_eq!(asked.status, status, "{}", asked.body);
        }
        let named = "SELECT metadata->>'traceparent' FROM legwork.jobs";
        let named: String = sqlx::query_scalar(named).fetch_one(&pool).await.expect("a row");
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        let (requests, sent) = sent_by(&spans, "POST /api/v1/schedules/{name}/run");
        assert_eq!(requests.len(), 2);
        let [sent] = sent.as_slice() else { panic!("one is enqueued: {sent:?}") };
        assert_eq!((&*sent.name, &*attribute(sent, "messaging.message.id")), ("send default", "1"));
        assert_eq!(named, format!("00-{TRACE}-{}-01", hex(&sent.span_id)));
        pool.close().await;
    });
}

#[test]
fn a_batch_has_a_sending_for_each_queue_and_what_is_refused_says_why_or_has_none() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let daemon = daemon(&db.url(), &collector).await;
        let (at, pool) = (daemon.admin().await, db.pool().await);
        let of = |queue: &str, more: &str| {
            format!("{{\"kind\": \"waits\", \"queue\": \"{queue}\"{more}}}\n")
        };
        let batch = of("a", ", \"unique_key\": \"k\"") + &of("b", "") + &of("a", "");
        assert_eq!(enqueues(at, &batch).await.status, 201);
        // The first is taken, the second no job.
        assert_eq!(enqueues(at, &of("a", ", \"unique_key\": \"k\"")).await.status, 422);
        assert_eq!(enqueues(at, &(of("c", "") + &of("c", ", \"sate\": 1"))).await.status, 400);
        // As many queues as one likes have as many spans as there may be.
        let many: String = (0..40).map(|queue| of(&format!("q{queue:02}"), "")).collect();
        assert_eq!(enqueues(at, &many).await.status, 201);
        let told =
            "SELECT queue || ' ' || (metadata->>'traceparent') FROM legwork.jobs ORDER BY id";
        let told: Vec<String> = sqlx::query_scalar(told).fetch_all(&pool).await.expect("rows");
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        let (requests, sent) = sent_by(&spans, "POST /api/v1/jobs:batch");
        assert_eq!(requests.len(), 4);
        // And each has what it asked the database.
        let copies = spans.iter().filter(|span| span.name == "COPY legwork.job");
        let copies = copies.map(|span| {
            assert!(requests.iter().any(|request| request.span_id == span.parent_span_id));
            assert_eq!(attribute(span, "db.operation.name"), "COPY");
            value(&span.attributes, "error.type").map(|_| attribute(span, "error.type"))
        });
        let ends = [None, Some("23505"), Some("taken_back"), None];
        assert_eq!(copies.collect::<Vec<_>>(), ends.map(|end| end.map(str::to_owned)));
        let expected =
            [("send a", Some(2), None), ("send a", None, Some("23505")), ("send b", Some(1), None)];
        let said = |span: &&Span| {
            let count = value(&span.attributes, "messaging.batch.message_count");
            (span.name.clone(), count, value(&span.attributes, "error.type"))
        };
        let mut first: Vec<_> =
            sent.iter().filter(|span| !span.name.starts_with("send q")).map(said).collect();
        first.sort_by_key(|(name, _, error)| (name.clone(), error.is_some()));
        let expected = expected.map(|(name, count, error)| {
            let (count, error) = (count.map(Value::IntValue), error.map(str::to_owned));
            (name.to_owned(), count, error.map(Value::StringValue))
        });
        assert_eq!(first, expected);
        assert_eq!(sent.iter().filter(|span| span.name.starts_with("send q")).count(), 16);
        // Each job stands below the sending of its queue, or below its request.
        let ids = |name: &str| -> Vec<String> {
            let of_name = sent.iter().filter(|span| span.name == format!("send {name}"));
            let found: Vec<_> = of_name.map(|span| hex(&span.span_id)).collect();
            if found.is_empty() {
                requests.iter().map(|span| hex(&span.span_id)).collect()
            } else {
                found
            }
        };
        assert_eq!(told.len(), 43);
        for job in told {
            let (queue, parent) = job.split_once(' ').expect("two words");
            let parent = parent.split('-').nth(2).expect("a span's id");
            assert!(ids(queue).iter().any(|id| id == parent), "{job}");
        }
        pool.close().await;
    });
}
