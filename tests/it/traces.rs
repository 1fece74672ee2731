//! One trace and one request from the INSERT to whatever the job's handler calls, and its spans at a
//! collector.

mod attributes;
mod collectors;

use std::time::Duration;

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _};
use tokio::time::Instant;

use crate::process::{Configuration, Notebook, SLACK, becomes};
use crate::statements;
use crate::support::{
    self, Daemon,
    collector::{Collector, attribute, hex, value},
    receiver::{Receiver, answer},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";
const STATE: &str = "vendor=1,other=x";

/// Writes down what the session tells it, and enqueues a job.
const FUNCTION: &str = "CREATE SCHEMA app;
    CREATE TABLE app.told (traceparent text, request text, caller text);
    CREATE FUNCTION app.tell(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
        WITH told AS (
            INSERT INTO app.told VALUES (current_setting('legwork.traceparent'),
                current_setting('legwork.request_id'), current_setting('legwork.user_id', true))
        ), child AS (INSERT INTO legwork.job (kind) VALUES ('noop'))
        SELECT NULL::jsonb
    $$;";

/// A kind of each handler that hands the trace on, and spans to this collector.
fn configuration(url: &str, hook: &str, notebook: &Notebook, tracing: &str) -> String {
    let kinds = [
        format!(
            "[[kind]]\nname = 'hook'\nhandler = 'http'\nurl = '{hook}'\nallow_hosts = ['127.0.0.1']\n"
        ),
        "[[kind]]\nname = 'call'\nhandler = 'sql'\nfunction = 'app.tell'\n".to_owned(),
        notebook.kind(
            "tell",
            "echo \"$TRACEPARENT $LEGWORK_REQUEST_ID $LEGWORK_USER_ID\" >> notes",
            "",
        ),
        "[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned(),
    ];
    let text = Configuration::of(url, &kinds).text();
    let text = text.replace("format = 'json'", "format = 'json'\nfilter = 'info,legwork=debug'");
    format!("{tracing}{text}")
}

fn to(collector: &Collector, more: &str) -> String {
    format!("[tracing]\notlp_endpoint = '{}'\n{more}", collector.endpoint())
}

/// Enqueues a job of each kind in one transaction, as a producer does that names the trace in the rows, or
/// once in its session.
async fn enqueue(pool: &PgPool, in_session: bool) {
    let traceparent = format!("00-{TRACE}-{PRODUCER}-01");
    let mut transaction = pool.begin().await.expect("a transaction");
    if in_session {
        let set = format!(
            "SET LOCAL legwork.traceparent = '{traceparent}'; SET LOCAL legwork.tracestate = '{STATE}';
            SET LOCAL legwork.request_id = 'r-17'"
        );
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(set))).await.expect("set");
    }
    let metadata = (!in_session)
        .then(|| serde_json::json!({ "traceparent": traceparent, "tracestate": STATE, "request_id": "r-17", "user_id": "u-3" }));
    for kind in ["hook", "call", "tell"] {
        let insert = match &metadata {
            Some(metadata) => {
                sqlx::query("INSERT INTO legwork.job (kind, metadata) VALUES ($1, $2)")
                    .bind(kind)
                    .bind(metadata)
            }
            None => sqlx::query("INSERT INTO legwork.job (kind) VALUES ($1)").bind(kind),
        };
        insert.execute(&mut *transaction).await.expect("inserted");
    }
    transaction.commit().await.expect("committed");
}

async fn completed(pool: &PgPool, jobs: i64) {
    support::eventually("all jobs are completed", async || {
        let count = "SELECT count(*) FROM legwork.jobs WHERE state = 'completed'";
        sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.expect("counted") == jobs
    })
    .await;
}

/// The attempt's span of the only job of this kind.
fn attempt(spans: &[Span], kind: &str) -> Span {
    let is_it = |span: &&Span| {
        span.name == "process default" && attribute(span, "legwork.job.kind") == kind
    };
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no span of {kind} in {spans:?}")).clone()
}

/// The span of this name below the attempt of this kind.
fn call(spans: &[Span], name: &str, kind: &str) -> Span {
    let parent = attempt(spans, kind).span_id;
    let is_it = |span: &&Span| span.name == name && span.parent_span_id == parent;
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no {name} of {kind} in {spans:?}")).clone()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

/// The attempts' spans.
fn attempts(spans: Vec<Span>) -> Vec<Span> {
    spans.into_iter().filter(|span| span.name.starts_with("process ")).collect()
}

#[rstest]
#[case::named_in_the_row(false)]
#[case::set_in_the_session(true)]
fn one_trace_and_one_request_lead_from_the_insert_to_every_receiver(#[case] in_session: bool) {
    support::run(async |db| {
        let (collector, notebook) = (Collector::new().await, Notebook::new());
        let receiver = Receiver::answering(|_| answer("200 OK", &[], "")).await;
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(FUNCTION)).await.expect("the function can be made");
        // All that is sampled is because the producer says so.
        let tracing = to(&collector, "sample_ratio = 0\n");
        let (url, hook) = (db.url(), receiver.url("/hook"));
        let mut daemon = Daemon::start(&configuration(&url, &hook, &notebook, &tracing)).await;
        daemon.logged("daemon.started").await;
        enqueue(&pool, in_session).await;
        completed(&pool, 4).await;
        for event in ["job.started", "job.finished"] {
            support::eventually("every attempt is told of", async || daemon.count(event) == 4)
                .await;
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());

        let spans = collector.spans();
        let mut names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        let (attempt_of_each, verdicts) = (["process default"; 4], ["settle default"; 3]);
        let calls = ["POST", "SELECT app.tell", "exec sh"];
        assert_eq!(names, [&calls[..], &attempt_of_each, &verdicts].concat(), "{spans:#?}");
        for span in &spans {
            assert_eq!(hex(&span.trace_id), TRACE);
            assert_eq!(attribute(span, "legwork.request_id"), "r-17");
            assert_eq!(span.trace_state, STATE, "{span:?}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        }
        let user = (!in_session).then_some("u-3");
        for (id, kind) in ["hook", "call", "tell"].into_iter().enumerate() {
            let span = attempt(&spans, kind);
            assert_eq!(value(&span.attributes, "legwork.user_id"), user.map(text), "{span:?}");
            assert_eq!(
                (hex(&span.parent_span_id).as_str(), span.kind()),
                (PRODUCER, SpanKind::Consumer)
            );
            for (key, expected) in [
                ("messaging.system", "legwork"),
                ("messaging.operation.name", "process"),
                ("messaging.operation.type", "process"),
                ("messaging.destination.name", "default"),
                ("messaging.message.id", &(id + 1).to_string()),
                ("legwork.job.outcome", "completed"),
            ] {
                assert_eq!(attribute(&span, key), expected, "{key}");
            }
            assert_eq!(value(&span.attributes, "legwork.job.attempt"), Some(Value::IntValue(1)));
            assert!(value(&span.attributes, "legwork.job.queue_wait_ms").is_some());
            let own = hex(&span.span_id);
            let lines = daemon.events();
            let of_job = lines.iter().filter(|line| line["job.kind"] == kind);
            let of_attempt: Vec<_> = of_job.filter(|line| line["job.attempt"] == 1).collect();
            assert!(of_attempt.len() >= 2, "{of_attempt:?}");
            for line in of_attempt {
                assert_eq!(
                    (&line["trace_id"], &line["span_id"]),
                    (&TRACE.into(), &own.clone().into())
                );
                assert_eq!(line["request_id"], "r-17", "{line}");
                assert_eq!(line.get("user_id").and_then(|id| id.as_str()), user, "{line}");
            }
        }

        let request = call(&spans, "POST", "hook");
        assert_eq!(request.kind(), SpanKind::Client);
        let status = value(&request.attributes, "http.response.status_code");
        assert_eq!(status, Some(Value::IntValue(200)));
        let program = call(&spans, "exec sh", "tell");
        assert_eq!(program.kind(), SpanKind::Internal);
        assert_eq!(attribute(&program, "process.executable.name"), "sh");
        let code = value(&program.attributes, "process.exit.code");
        assert_eq!(code, Some(Value::IntValue(0)));
        let function = call(&spans, "SELECT app.tell", "call");
        assert_eq!(function.kind(), SpanKind::Client);
        assert_eq!(attribute(&function, "db.system.name"), "postgresql");
        assert_eq!(attribute(&function, "db.stored_procedure.name"), "app.tell");
        assert_eq!(attribute(&function, "db.query.summary"), "SELECT app.tell");
        assert!(attribute(&function, "db.namespace").ends_with("|legwork"));
        for (id, kind) in [("1", "hook"), ("3", "tell")] {
            let verdict = call(&spans, "settle default", kind);
            assert_eq!(verdict.kind(), SpanKind::Client);
            assert_eq!(attribute(&verdict, "messaging.operation.type"), "settle");
            assert_eq!(attribute(&verdict, "messaging.message.id"), id);
            assert_eq!(attribute(&verdict, "legwork.flush.op"), "finish");
            let ended = attempt(&spans, kind).end_time_unix_nano;
            assert!(verdict.start_time_unix_nano >= ended - 1_000_000, "{verdict:?}");
        }
        let received = &receiver.requests()[0];
        let below = |span: &Span| format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(received.header("traceparent"), below(&request));
        assert_eq!(received.header("x-request-id"), "r-17");
        assert_eq!(received.all("Legwork-User-Id"), Vec::from_iter(user));
        let told = notebook.says(&below(&program)).await;
        assert_eq!(told, ["r-17"].into_iter().chain(user).collect::<Vec<_>>().join(" "));
        let told = pool
            .fetch_one("SELECT traceparent, request, caller FROM app.told")
            .await
            .expect("a row");
        assert_eq!(told.get::<String, _>(0), below(&function));
        assert_eq!(told.get::<String, _>(1), "r-17");
        let caller = told.get::<Option<String>, _>(2).filter(|caller| !caller.is_empty());
        assert_eq!(caller.as_deref(), user);
        // The function's own job stands below it.
        let child = attempt(&spans, "noop");
        assert_eq!(child.parent_span_id, function.span_id);
        assert_eq!(attribute(&child, "legwork.request_id"), "r-17");

        let heads = collector.heads();
        assert!(heads[0].starts_with("post /v1/traces "), "{heads:?}");
        assert!(heads[0].contains("content-type: application/x-protobuf"), "{heads:?}");
        let version = Value::StringValue(env!("CARGO_PKG_VERSION").into());
        assert_eq!(collector.resource("service.version"), Some(version));
        pool.close().await;
    });
}

#[test]
fn a_retry_begins_a_trace_that_links_to_the_producers_and_fails_as_the_first_did() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::new().await, Notebook::new());
        let pool = db.pool().await;
        let kinds = [notebook.kind("fails", "exit 1", "max_attempts = 2\nbackoff.base = '10ms'")];
        let url = db.url();
        let text = Configuration::of(&url, &kinds).text();
        let mut daemon =
            Daemon::start(&format!("{}{text}", to(&collector, "sample_ratio = 1.0\n"))).await;
        let metadata = format!("{{\"traceparent\": \"00-{TRACE}-{PRODUCER}-01\"}}");
        let insert =
            "INSERT INTO legwork.job (kind, metadata) VALUES ('fails', $1::jsonb) RETURNING id";
        let id =
            sqlx::query_scalar(insert).bind(metadata).fetch_one(&pool).await.expect("inserted");
        becomes(&pool, id, "discarded").await;
        let all = 2 * ["receive", "process", "exec", "settle"].len();
        support::eventually("all spans have come", async || collector.spans().len() == all).await;
        for (op, count) in [("back", 1), ("finish", 1)] {
            let of_op = |span: &&Span| {
                span.name == "settle default" && attribute(span, "legwork.flush.op") == op
            };
            assert_eq!(collector.spans().iter().filter(of_op).count(), count, "{op}");
        }
        let programs = collector.spans().into_iter().filter(|span| span.name == "exec sh");
        for program in programs {
            assert_eq!(attribute(&program, "error.type"), "other");
            let code = value(&program.attributes, "process.exit.code");
            assert_eq!(code, Some(Value::IntValue(1)));
        }
        let spans = attempts(collector.spans());
        let (first, second) = (&spans[0], &spans[1]);
        let claims = collector.spans().into_iter().filter(|span| span.name == "receive default");
        let claims: Vec<_> = claims.collect();
        for (claim, attempt) in claims.iter().zip(&spans) {
            assert_eq!((claim.kind(), claim.parent_span_id.len()), (SpanKind::Client, 0));
            assert_ne!(hex(&claim.trace_id), TRACE);
            let links: Vec<_> = claim.links.iter().map(|link| hex(&link.span_id)).collect();
            assert_eq!(links, [PRODUCER]);
            let count = value(&claim.attributes, "messaging.batch.message_count");
            assert_eq!(count, Some(Value::IntValue(1)));
            let back = attempt.links.last().expect("an attempt links to its claim");
            assert_eq!((&back.trace_id, &back.span_id), (&claim.trace_id, &claim.span_id));
            assert!(claim.end_time_unix_nano <= attempt.end_time_unix_nano);
        }
        assert_eq!((hex(&first.trace_id).as_str(), first.links.len()), (TRACE, 1));
        assert_ne!(second.trace_id, first.trace_id);
        assert!(second.parent_span_id.is_empty(), "{second:?}");
        assert_eq!(
            (&second.links[0].trace_id, hex(&second.links[0].span_id)),
            (&first.trace_id, PRODUCER.into())
        );
        assert_eq!(attribute(first, "legwork.job.outcome"), "retried");
        assert_eq!(attribute(second, "legwork.job.outcome"), "discarded");
        for span in &spans {
            assert_eq!(attribute(span, "error.type"), "failed");
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// How a key of `[tracing]` shows: whether the attempt of a producer's job is its child, and of how many
/// jobs without a trace there are spans.
#[test]
fn parent_max_delay_and_sample_ratio_decide_whose_child_a_span_is_and_whether_it_is_there() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::new().await, Notebook::new());
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(FUNCTION)).await.expect("the function can be made");
        let tracing = to(&collector, "sample_ratio = 0\nparent_max_delay = '0s'\n");
        let text = configuration(&db.url(), "http://127.0.0.1:9/", &notebook, &tracing);
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        sqlx::query("INSERT INTO legwork.job (kind) VALUES ('noop')")
            .execute(&pool)
            .await
            .expect("inserted");
        enqueue_one(&pool, "tell").await;
        completed(&pool, 2).await;
        let told = notebook.says("00-").await;
        assert!(!told.contains(TRACE) && told.ends_with("-00"), "{told}");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        assert_eq!(collector.spans(), []);
        pool.close().await;
    });
}

#[test]
fn a_schedules_job_stands_below_the_span_in_which_it_was_enqueued() {
    support::run(async |db| {
        let (collector, pool) = (Collector::new().await, db.pool().await);
        let kinds = [
            "[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned(),
            "[[schedule]]\nname = 'often'\ncron = '* * * * * *'\nkind = 'noop'\n".to_owned(),
        ];
        let tracing = to(&collector, "sample_ratio = 1.0\n");
        let text = tracing + &Configuration::of(&db.url(), &kinds).text();
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("schedule.fired").await;
        let attempted = async || !attempts(collector.spans()).is_empty();
        support::eventually("its job has run", attempted).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        let spans = collector.spans();
        let attempt = &attempts(spans.clone())[0];
        let is_parent = |span: &&Span| span.span_id == attempt.parent_span_id;
        let sending = spans.iter().find(is_parent).expect("the attempt's parent came too");
        assert_eq!((sending.name.as_str(), sending.kind()), ("send default", SpanKind::Producer));
        assert!(sending.parent_span_id.is_empty() && sending.trace_id == attempt.trace_id);
        assert_eq!(attribute(sending, "messaging.operation.type"), "send");
        let id = attribute(sending, "messaging.message.id");
        assert_eq!(id, attribute(attempt, "messaging.message.id"));
        let named = "SELECT metadata->>'traceparent' FROM legwork.jobs WHERE id = $1::bigint";
        let named: String =
            sqlx::query_scalar(named).bind(&id).fetch_one(&pool).await.expect("its row");
        assert_eq!(named, format!("00-{}-{}-01", hex(&sending.trace_id), hex(&sending.span_id)));
        let told = "SELECT metadata->>'schedule' FROM legwork.jobs WHERE id = $1::bigint";
        let told: String =
            sqlx::query_scalar(told).bind(&id).fetch_one(&pool).await.expect("its row");
        assert_eq!(told, "often");
        pool.close().await;
    });
}

async fn enqueue_one(pool: &PgPool, kind: &str) {
    let metadata = format!("{{\"traceparent\": \"00-{TRACE}-{PRODUCER}-01\"}}");
    let insert = "INSERT INTO legwork.job (kind, metadata) VALUES ($1, $2::jsonb)";
    let insert = sqlx::query(insert).bind(kind).bind(metadata);
    insert.execute(pool).await.expect("inserted");
}

#[test]
fn without_an_endpoint_there_is_no_span_and_the_producers_trace_is_handed_on() {
    support::run(async |db| {
        let notebook = Notebook::new();
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(FUNCTION)).await.expect("the function can be made");
        let text = configuration(&db.url(), "http://127.0.0.1:9/", &notebook, "");
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        enqueue_one(&pool, "tell").await;
        completed(&pool, 1).await;
        notebook.says(&format!("00-{TRACE}-{PRODUCER}-01")).await;
        let (_, page) = daemon.get("/metrics").await;
        assert!(!page.contains("legwork_spans_total{"), "{page}");
        daemon.signal(Signal::SIGUSR1);
        daemon.logged("task.listed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        let exports =
            |line: &serde_json::Value| line["task"] == "exporter" || line["phase"] == "send spans";
        assert!(!daemon.events().iter().any(exports), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_collector_that_hangs_costs_its_spans_and_neither_jobs_nor_the_shutdown() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::hanging().await, Notebook::new());
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(FUNCTION)).await.expect("the function can be made");
        let tracing = to(&collector, "sample_ratio = 1\n");
        let text = configuration(&db.url(), "http://127.0.0.1:9/", &notebook, &tracing);
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        let insert = "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, 6000)";
        sqlx::query(insert).execute(&pool).await.expect("inserted");
        completed(&pool, 6000).await;
        let lost = daemon.logged("spans.lost").await;
        assert_eq!(lost["collector"], collector.endpoint());
        // More than fit into the queue while the first batch waits.
        assert!(daemon.metric("legwork_spans_total", &["queue_full"]).await >= 1.0);
        support::eventually("two batches have failed", async || {
            daemon.metric("legwork_spans_total", &["failed"]).await > 512.0
        })
        .await;
        let stopped = Instant::now();
        daemon.signal(Signal::SIGTERM);
        assert_eq!(
            daemon.exit(Duration::from_secs(10)).await.code(),
            Some(0),
            "{}",
            daemon.printed()
        );
        let bound = Duration::from_secs(3);
        assert!(stopped.elapsed() < bound + SLACK, "{:?}", stopped.elapsed());
        assert_eq!(daemon.phase("send spans").await["done"], false);
        assert_eq!(daemon.count("spans.lost"), 1);
        pool.close().await;
    });
}

#[test]
fn a_collector_that_comes_back_is_said() {
    support::run(async |db| {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = port.local_addr().expect("an address");
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let url = db.url();
        let text = Configuration::of(&url, &kinds).text();
        let endpoint =
            format!("[tracing]\notlp_endpoint = 'http://{address}'\nsample_ratio = 1.0\n");
        drop(port);
        let mut daemon = Daemon::start(&format!("{endpoint}{text}")).await;
        let enqueue = async || {
            let insert = sqlx::query("INSERT INTO legwork.job (kind) VALUES ('noop')");
            insert.execute(&pool).await.expect("inserted");
        };
        enqueue().await;
        let lost = daemon.logged("spans.lost").await;
        assert!(
            lost["error.message"].as_str().is_some_and(|why| why.contains("refused")),
            "{lost}"
        );
        let collector = Collector::at(address).await;
        enqueue().await;
        daemon.logged("spans.taken").await;
        support::eventually("its span has come", async || attempts(collector.spans()).len() == 1)
            .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_session_with_a_request_of_any_length_enqueues_and_its_job_runs() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let endless = "SELECT set_config('legwork.request_id', repeat('r', 20000), false),
            set_config('legwork.traceparent', repeat('t', 20000), false),
            set_config('legwork.tracestate', repeat('t', 20000), false)";
        statements::execute(&mut session, endless).await;
        statements::execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('noop')").await;
        statements::execute(&mut session, "SELECT legwork.enqueue('noop')").await;
        let lengths =
            "SELECT string_agg(length(metadata->>'request_id')::text, ' ') FROM legwork.jobs";
        assert_eq!(statements::value(&mut session, lengths).await, "257 257");
        let kind = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned();
        let text = Configuration::of(&db.url(), &[kind]).text();
        let mut daemon = Daemon::start_with(&text, &["run", "--once"]).await;
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        let states = "SELECT string_agg(state, ' ') FROM legwork.jobs";
        assert_eq!(statements::value(&mut session, states).await, "completed completed");
        statements::end(session).await;
    });
}
