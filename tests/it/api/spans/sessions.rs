//! What a request waits for before its first statement stands in its trace too: a place, and a session.

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::*;
use crate::statements::{end, execute, value as answered};
use crate::support::Proxy;

/// The only span below the request that was answered 503, but for that of a job that it was to enqueue.
fn of_the_refused<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let is_it = |span: &&Span| {
        let status = value(&span.attributes, "http.response.status_code");
        span.name == name && status == Some(Value::IntValue(503))
    };
    let refused: Vec<_> = spans.iter().filter(is_it).collect();
    let below = refused.iter().flat_map(|request| below(spans, request));
    let below: Vec<_> = below.filter(|span| span.kind() != SpanKind::Producer).collect();
    let [session] = below.as_slice() else { panic!("{name}: {refused:#?} {below:#?}") };
    session
}

fn is_a_failed_wait(session: &Span, why: &str) {
    assert_eq!((&*session.name, session.kind()), ("connect", SpanKind::Client));
    assert_eq!(attribute(session, "db.system.name"), "postgresql");
    assert!(attribute(session, "db.namespace").ends_with("|legwork"));
    assert_eq!(attribute(session, "legwork.request_id"), "r-17");
    assert_eq!(attribute(session, "error.type"), why);
    let status = session.status.as_ref().map(opentelemetry_proto::tonic::trace::v1::Status::code);
    assert_eq!(status, Some(StatusCode::Error), "{session:?}");
}

#[test]
fn a_request_that_gets_no_session_says_in_its_trace_that_it_waited_for_one() {
    support::run(async |db| {
        let (collector, proxy) = (Collector::new().await, Proxy::before(&db.url()).await);
        let daemon = daemon(proxy.url(), &collector).await;
        let at = daemon.admin().await;
        proxy.blackhole();
        for (method, path) in [("GET", "/api/v1/queues"), ("POST", "/api/v1/jobs/1/cancel")] {
            assert_eq!(traced(at, method, path, "localhost").await.status, 503, "{path}");
        }
        let line = r#"{"kind": "noop"}"#.to_owned() + "\n";
        assert_eq!(enqueues(at, &line).await.status, 503);
        proxy.heal();
        support::eventually("it is answered again", async || {
            traced(at, "GET", "/api/v1/daemons", "localhost").await.status == 200
        })
        .await;
        assert_eq!(traced(at, "GET", "/api/v1/jobs/7", "localhost").await.status, 404);
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        let jobs = "POST /api/v1/jobs:batch";
        for name in ["GET /api/v1/queues", "POST /api/v1/jobs/{id}/cancel", jobs] {
            is_a_failed_wait(of_the_refused(&spans, name), "no_connection");
        }
        // Whoever finds a session ready waits for none.
        let found = spans.iter().find(|span| span.name == "GET /api/v1/jobs/{id}");
        let below = below(&spans, found.expect("its span"));
        assert!(!below.is_empty() && below.iter().all(|span| span.name != "connect"), "{below:#?}");
    });
}

#[test]
fn a_request_for_which_no_place_is_free_in_time_says_so_in_its_trace() {
    // What is in the way for as long as a request's statement may take, which is longer than anybody waits for a place.
    // Nothing waits for its sleep, by which it is known.
    const SLOW: &str = "CREATE OR REPLACE FUNCTION legwork.backlog(queue text) RETURNS bigint
        LANGUAGE sql AS 'SELECT 1::bigint FROM pg_sleep(60)'";
    const ASLEEP: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'legwork admin%'
        AND wait_event = 'PgSleep'";
    support::run(async |db| {
        let mut session = db.connect().await;
        let collector = Collector::new().await;
        let url = db.url();
        let text = Configuration { statement_timeout: "30s", ..Configuration::of(&url, &[]) };
        let endpoint = collector.endpoint();
        let tracing = format!("[tracing]\notlp_endpoint = '{endpoint}'\nsample_ratio = 0\n");
        let daemon = Daemon::start(&(tracing + &text.text())).await;
        daemon.logged("daemon.started").await;
        let at = daemon.admin().await;
        execute(&mut session, SLOW).await;
        let slow = || traced(at, "GET", "/api/v1/queues", "localhost");
        let refused = async {
            support::eventually("both places are taken", async || {
                answered(&mut session, ASLEEP).await == "2"
            })
            .await;
            traced(at, "GET", "/api/v1/jobs/7", "localhost").await.status
        };
        let (_, _, status) = futures::join!(slow(), slow(), refused);
        assert_eq!(status, 503);
        let (spans, _daemon) = spans_of(daemon, &collector).await;
        is_a_failed_wait(of_the_refused(&spans, "GET /api/v1/jobs/{id}"), "no_place");
        end(session).await;
    });
}
