//! In whose trace the command line enqueues.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

use super::{command, finished};
use crate::support::{
    self, TestDb,
    collector::{Collector, attribute, hex},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Enqueues a job as a program does that has a span; gives what its row says.
async fn enqueued(db: &TestDb, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
    let mut command = command(&db.url(), &[&["enqueue", "mail"], arguments].concat());
    command.envs(variables.iter().copied());
    command.env("TRACEPARENT", format!("00-{TRACE}-{CALLER}-01"));
    finished(command, None).await.done();
    let pool = db.pool().await;
    let metadata = "SELECT metadata::text FROM legwork.job ORDER BY id DESC LIMIT 1";
    let row: String = sqlx::query_scalar(metadata).fetch_one(&pool).await.expect("a row");
    pool.close().await;
    serde_json::from_str(&row).expect("JSON")
}

#[test]
fn a_job_stands_below_the_program_that_enqueues_it_with_and_without_a_collector() {
    support::run(async |db| {
        let given = enqueued(&db, &[], &[]).await;
        assert_eq!(given["traceparent"], format!("00-{TRACE}-{CALLER}-01"));
        let own = ["--metadata", "{\"traceparent\": \"own\", \"tenant\": 7}"];
        let given = enqueued(&db, &own, &[]).await;
        assert_eq!((&given["traceparent"], &given["tenant"]), (&"own".into(), &7.into()));

        let collector = Collector::new().await;
        let endpoint = collector.endpoint();
        let named = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        let given = enqueued(&db, &["--queue", "slow"], &named).await;
        let spans = collector.spans();
        let [span] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((span.name.as_str(), span.kind()), ("send slow", SpanKind::Producer));
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), CALLER.into()));
        assert_eq!(attribute(span, "messaging.message.id"), "3");
        assert_eq!(given["traceparent"], format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    });
}

#[test]
fn a_collector_that_hangs_costs_a_job_of_the_command_line_nothing() {
    support::run(async |db| {
        let collector = Collector::hanging().await;
        let endpoint = collector.endpoint();
        let given = enqueued(&db, &[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]).await;
        assert!(
            given["traceparent"].as_str().is_some_and(|it| it.starts_with(&format!("00-{TRACE}")))
        );
    });
}
