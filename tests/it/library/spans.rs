//! Spans of a daemon that a program builds go where the program says.

use std::time::Duration;

use legwork::{Context, Daemon, HandlerError, Job, TracingOptions, config::Settings};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;

use super::builder::{beside, ends, enqueued};
use crate::statements::{end, value};
use crate::support::{
    self, TestDb,
    collector::{Collector, attribute, hex},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0ba902b7";

/// A daemon that hands out what its attempts are told of their trace.
fn telling(db: &TestDb, options: TracingOptions) -> (Daemon, mpsc::Receiver<Told>) {
    let (tell, told) = mpsc::channel(1);
    let handler = move |(): (), context: Context| {
        let tell = tell.clone();
        async move {
            let origin = context.origin().expect("it has an origin");
            let traceparent = origin.traceparent.clone().expect("it has a trace");
            let request = origin.request_id.clone();
            tell.send(Told { traceparent, request }).await.expect("heard");
            Ok::<_, HandlerError>(())
        }
    };
    let daemon = support::pooled::builder(&db.url())
        .name("library")
        .handler("tell", handler)
        .tracing(options)
        .build();
    (daemon.expect("nothing is wrong"), told)
}

struct Told {
    traceparent: String,
    request: Option<String>,
}

fn job() -> Job {
    let traceparent = format!("00-{TRACE}-{PRODUCER}-01");
    Job::new("tell")
        .payload(&())
        .metadata(&json!({ "traceparent": traceparent, "request_id": "r-17" }))
}

#[test]
fn a_built_daemon_sends_its_spans_to_the_collector_that_the_program_names() {
    support::run(async |db| {
        let (collector, mut session) = (Collector::new().await, db.connect().await);
        // What is sampled is because the producer says so.
        let options = TracingOptions::to(collector.endpoint()).sample_ratio(0.0);
        let options = options.header("X-Tenant", "a key");
        assert!(!format!("{options:?}").contains("a key"));
        let (daemon, mut told) = telling(&db, options);
        let ended = beside(daemon, async {
            let id = enqueued(&mut session, job()).await;
            ends(&mut session, id, "completed").await;
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");

        // It was sent at the latest when the daemon ended.
        let spans = collector.spans();
        let [span, verdict] = spans.as_slice() else {
            panic!("one attempt, one verdict: {spans:?}")
        };
        assert_eq!(
            (verdict.name.as_str(), &verdict.parent_span_id),
            ("settle default", &span.span_id)
        );
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (TRACE.into(), PRODUCER.into())
        );
        assert_eq!(span.name, "process default");
        assert_eq!(attribute(span, "legwork.job.outcome"), "completed");
        let name = Value::StringValue("library".into());
        assert_eq!(collector.resource("service.instance.id"), Some(name));
        let heads = collector.heads();
        assert!(heads[0].contains("x-tenant: a key\r\n"), "{heads:?}");
        let told = told.recv().await.expect("it ran");
        assert_eq!(told.traceparent, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
        assert_eq!(told.request.as_deref(), Some("r-17"));
        end(session).await;
    });
}

#[test]
fn a_built_daemon_samples_and_follows_producers_as_the_program_says() {
    support::run(async |db| {
        let (collector, mut session) = (Collector::new().await, db.connect().await);
        let options = TracingOptions::to(collector.endpoint());
        let options = options.sample_ratio(0.0).parent_max_delay(Duration::ZERO);
        let (daemon, mut told) = telling(&db, options);
        let ended = beside(daemon, async {
            let id = enqueued(&mut session, job()).await;
            ends(&mut session, id, "completed").await;
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");
        let told = told.recv().await.expect("it ran").traceparent;
        assert!(!told.contains(TRACE) && told.ends_with("-00"), "{told}");
        assert_eq!(collector.spans(), []);
        end(session).await;
    });
}

#[test]
fn what_is_wrong_with_a_programs_tracing_is_said_with_everything_else() {
    let wrong = |options: TracingOptions| {
        let built = Daemon::builder()
            .settings(Settings::default())
            .database_url("postgres:///app?user=app")
            .tracing(options)
            .build();
        let mistakes = built.err().expect("it is refused");
        assert!(mistakes.to_string().contains("--> Daemon::builder().tracing"), "{mistakes}");
        mistakes.iter().map(|mistake| mistake.message.clone()).collect::<Vec<_>>()
    };
    let far = Duration::from_hours(31 * 24);
    assert_eq!(
        wrong(TracingOptions::to("localhost:4318").sample_ratio(1.5).parent_max_delay(far)),
        [
            "the collector's endpoint can't be used: \"localhost\" isn't http or https",
            "sample_ratio: 1.5 isn't 0.0 to 1.0",
            "parent_max_delay: 31d isn't 0s to 30d",
        ]
    );
    let said = wrong(TracingOptions::to("http://c").header("a b", "hidden"));
    assert_eq!(said, ["header \"a b\" can't be sent: name and value are printable ASCII"]);
    let said = wrong(TracingOptions::to("https://c").ca_file("/nowhere/ca.pem"));
    assert!(said[0].contains("/nowhere/ca.pem doesn't exist"), "{said:?}");
}

#[test]
fn a_job_that_a_handler_enqueues_follows_the_job_that_led_to_it() {
    support::run(async |db| {
        let (collector, mut session) = (Collector::new().await, db.connect().await);
        let url = db.url();
        let parent = move |(): (), context: Context| {
            let url = url.clone();
            async move {
                let mut connection = PgConnection::connect(&url).await?;
                let child = || Job::new("child").payload(&()).follows(&context);
                legwork::enqueue(&mut connection, &child()).await?;
                let own = json!({ "request_id": "own", "large": 18_446_744_073_709_551_615_u64 });
                legwork::enqueue(&mut connection, &child().metadata(&own)).await?;
                connection.close().await?;
                Ok::<_, HandlerError>(())
            }
        };
        let daemon = Daemon::builder()
            .database_url(db.url())
            .handler("tell", parent)
            .handler("child", async |(): (), _: Context| Ok::<_, HandlerError>(()))
            .tracing(TracingOptions::to(collector.endpoint()))
            .build()
            .expect("nothing is wrong");
        let ended = beside(daemon, async {
            let id = enqueued(&mut session, job()).await;
            for job in id..id + 3 {
                ends(&mut session, job, "completed").await;
            }
        })
        .await;
        assert!(ended.is_clean(), "{ended:?}");
        let spans = collector.spans();
        let of = |kind: &str| {
            let attempts = spans.iter().filter(|span| span.name == "process default");
            attempts.filter(|span| attribute(span, "legwork.job.kind") == kind).collect::<Vec<_>>()
        };
        let (parent, children) = (of("tell")[0], of("child"));
        let mut requests = Vec::new();
        for child in &children {
            assert_eq!(
                (&child.trace_id, &child.parent_span_id),
                (&parent.trace_id, &parent.span_id)
            );
            requests.push(attribute(child, "legwork.request_id"));
        }
        requests.sort_unstable();
        assert_eq!(requests, ["own", "r-17"], "what it says itself stands");
        let large = "SELECT metadata->>'large' FROM legwork.jobs WHERE metadata ? 'large'";
        assert_eq!(value(&mut session, large).await, "18446744073709551615");
        end(session).await;
    });
}
