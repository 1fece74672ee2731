//! Requests in their caller's trace, and their statements below them, at a collector.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};

use super::{Answer, described::with_examples, found, send};
use crate::process::{Configuration, SLACK};
use crate::support::{
    self, Daemon,
    collector::{Collector, attribute, hex, value},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Asks as a program does whose own span is sampled.
async fn traced(at: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let length = if method == "POST" {
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    } else {
        "\r\n"
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: r-17\r\n");
    let trace = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\nConnection: close\r\n");
    send(at, &(head + &trace + length)).await
}

async fn daemon(url: &str, collector: &Collector) -> Daemon {
    let tracing =
        format!("[tracing]\notlp_endpoint = '{}'\nsample_ratio = 0\n", collector.endpoint());
    let kinds = [super::SLEEP.to_owned()];
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
            let asks_the_database = operation["responses"]["503"].is_object();
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
            let statements = below(&spans, span);
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
        let [statement, request] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!(request.name, "POST /api/v1/jobs/{id}/discard");
        assert_eq!(attribute(request, "url.path"), "/api/v1/jobs/424242/discard");
        assert_eq!(attribute(request, "client.address"), "127.0.0.1");
        assert_eq!(value(&request.attributes, "error.type"), None, "it is the client's");
        assert_eq!(statement.parent_span_id, request.span_id);
        assert_eq!(statement.name, "SELECT legwork.discard");
        assert_eq!(attribute(statement, "db.response.status_code"), "P0002");
        assert_eq!(attribute(statement, "error.type"), "P0002");
        let lines = daemon.events();
        let mut lines = lines.iter().filter(|line| line["event"] == "admin.request");
        let line = lines.next().expect("an access line");
        assert_eq!((&line["trace_id"], &line["request_id"]), (&TRACE.into(), &"r-17".into()));
        assert_eq!(line["span_id"], hex(&request.span_id));
        assert_eq!(line["trace_flags"], "01");
    });
}
