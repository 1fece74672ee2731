//! Which attributes each sort of span has, as a collector gets them: a name that changes breaks dashboards.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::support::http;

/// Every handler that calls something, each with a way to fail, and a schedule.
fn kinds(receiver: &Receiver, notebook: &Notebook) -> Vec<String> {
    let http = |name: &str| {
        let url = receiver.url(&format!("/{name}?key=s3cret"));
        format!(
            "[[kind]]\nname = '{name}'\nhandler = 'http'\nurl = '{url}'\nmax_attempts = 1\n\
             allow_hosts = ['127.0.0.1']\n"
        )
    };
    let sql = |name: &str| {
        format!(
            "[[kind]]\nname = '{name}'\nhandler = 'sql'\nfunction = 'app.{name}'\nmax_attempts = 1\n"
        )
    };
    vec![
        http("hook"),
        http("broken"),
        sql("works"),
        sql("fails"),
        notebook.kind("runs", "exit 0", "max_attempts = 1"),
        notebook.kind("exits", "exit 1", "max_attempts = 1"),
    ]
}

const FUNCTIONS: &str = "CREATE SCHEMA app;
    CREATE FUNCTION app.works(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
    CREATE FUNCTION app.fails(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no'; END $$;
    GRANT USAGE ON SCHEMA app TO PUBLIC";

/// Enqueues a job of each kind in a request of its own.
async fn enqueue_over_http(daemon: &Daemon) {
    for kind in ["hook", "broken", "works", "fails", "runs", "exits"] {
        let body = format!(
            r#"{{"kind": "{kind}", "metadata": {{"request_id": "r-17", "user_id": "u-3"}}}}"#
        );
        let head = "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json";
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = http::ask(daemon.admin().await, &request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// The names of attributes of each sort of span, in their order.
fn listed(spans: &[Span]) -> String {
    let mut names = BTreeMap::<(String, String), BTreeSet<&str>>::new();
    for span in spans {
        let sort = (span.name.clone(), format!("{:?}", span.kind()).to_uppercase());
        let keys = span.attributes.iter().map(|attribute| attribute.key.as_str());
        names.entry(sort).or_default().extend(keys);
    }
    let lines = names.iter().map(|((name, kind), keys)| {
        let keys: Vec<_> = keys.iter().map(|key| format!("  {key}")).collect();
        format!("{name} {kind}\n{}\n", keys.join("\n"))
    });
    lines.collect()
}

#[test]
fn each_sort_of_span_has_the_attributes_that_are_written_down() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::new().await, Notebook::new());
        let receiver = Receiver::answering(|request| {
            let well = request.head.starts_with("POST /hook");
            answer(if well { "200 OK" } else { "500 Internal Server Error" }, &[], "")
        })
        .await;
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(FUNCTIONS)).await.expect("the functions can be made");
        let text = Configuration::of(&db.url(), &kinds(&receiver, &notebook)).text();
        let mut daemon =
            Daemon::start(&format!("{}{text}", to(&collector, "sample_ratio = 1.0\n"))).await;
        daemon.logged("daemon.started").await;
        enqueue_over_http(&daemon).await;
        completed(&pool, 3).await;
        support::eventually("all others are discarded", async || {
            let count = "SELECT count(*) FROM legwork.jobs WHERE state = 'discarded'";
            sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.expect("counted") == 3
        })
        .await;
        assert_eq!(daemon.get("/api/v1/jobs").await.0, 200);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        let spans = collector.spans();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("spans", listed(&spans));
        });
        holds_to_http(&call(&spans, "POST", "hook"), &receiver, 200, None);
        holds_to_http(&call(&spans, "POST", "broken"), &receiver, 500, Some("500"));
        assert!(!format!("{spans:?}").contains("s3cret"));
        pool.close().await;
    });
}

/// What the conventions ask of a client's span, by its values.
fn holds_to_http(span: &Span, receiver: &Receiver, status: i64, error: Option<&str>) {
    let at = receiver.address;
    let full = format!("http://{at}/REDACTED?REDACTED");
    for (key, expected) in [
        ("http.request.method", "POST"),
        ("url.full", &full),
        ("url.scheme", "http"),
        ("server.address", &at.ip().to_string()),
    ] {
        assert_eq!(attribute(span, key), expected, "{key}");
    }
    let number = |key: &str| value(&span.attributes, key);
    assert_eq!(number("server.port"), Some(Value::IntValue(at.port().into())));
    assert_eq!(number("http.response.status_code"), Some(Value::IntValue(status)));
    assert_eq!(value(&span.attributes, "error.type"), error.map(text));
    assert_eq!((&*span.name, span.kind()), ("POST", SpanKind::Client));
}
