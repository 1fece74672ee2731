//! Whose child a span is, whether it is sampled, and what an attempt tells.

mod requests;

use super::*;
use crate::job::{JobId, KindName, Lease, QueueName};
use opentelemetry::trace::Status;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn tracer(ratio: f64) -> (Tracer, mpsc::Receiver<SpanData>) {
    let (sender, inbox) = mpsc::channel(4);
    let outbox = Outbox::new(sender, Counter::noop(), Some("app"));
    let sampler = Sampler::TraceIdRatioBased(ratio);
    (Tracer { sampler, parent_max_delay: Duration::from_mins(1), outbox }, inbox)
}

fn job() -> ClaimedJob {
    let lease = Lease { job: JobId(7), token: 1, holder: 1 };
    let (queue, kind) = (QueueName::new("mail"), KindName::new("welcome"));
    ClaimedJob::new(lease, queue.expect("a name"), kind.expect("a name"), "{}")
}

/// As after a retry of what had ended, or where it was given back: nothing else tells it from the first time.
fn claimed_again() -> ClaimedJob {
    let lease = Lease { token: 2, ..job().lease };
    ClaimedJob { lease, ..job() }
}

fn origin(flags: &str) -> Origin {
    let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
    let json = serde_json::json!({
        "traceparent": traceparent, "tracestate": "vendor=1", "request_id": "r-1", "user_id": "u",
    });
    Origin::of(Some(&json.to_string()))
}

#[rstest]
#[case::a_first_attempt(job(), true)]
#[case::a_second(ClaimedJob { charged: 1, ..claimed_again() }, false)]
#[case::one_that_was_snoozed(ClaimedJob { snoozes: 1, ..claimed_again() }, false)]
#[case::one_that_was_rescued(ClaimedJob { rescues: 1, ..claimed_again() }, false)]
#[case::one_that_was_claimed_before(claimed_again(), false)]
#[case::one_of_an_old_job(ClaimedJob { enqueued_for: Duration::from_mins(1), ..job() }, false)]
#[case::one_of_a_young_job(ClaimedJob { enqueued_for: Duration::from_secs(59), ..job() }, true)]
fn a_prompt_first_attempt_stands_in_its_producers_trace_and_others_link_to_it(
    #[case] job: ClaimedJob,
    #[case] is_child: bool,
) {
    let (tracer, mut inbox) = tracer(1.0);
    let span = tracer.attempt(&job, Some(&origin("01")));
    let told = span.origin();
    assert_eq!((told.request_id.as_deref(), told.user_id.as_deref()), (Some("r-1"), Some("u")));
    assert_eq!(told.tracestate.as_deref(), is_child.then_some("vendor=1"));
    span.ended("completed", None);
    let sent = inbox.try_recv().expect("it is sampled");
    let trace = sent.span_context.trace_id().to_string();
    assert_eq!(trace == TRACE, is_child);
    let own = sent.span_context.span_id();
    assert_eq!(told.traceparent, Some(format!("00-{trace}-{own}-01")));
    let links: Vec<_> =
        sent.links.iter().map(|link| link.span_context.span_id().to_string()).collect();
    if is_child {
        assert_eq!((sent.parent_span_id.to_string().as_str(), links.len()), (PARENT, 0));
        assert!(sent.parent_span_is_remote);
    } else {
        assert_eq!((sent.parent_span_id, links), (SpanId::INVALID, vec![PARENT.to_owned()]));
    }
}

#[rstest]
#[case::as_the_producer_says(Some("00"), 1.0, false)]
#[case::as_the_producer_says_even_at_none(Some("01"), 0.0, true)]
#[case::a_trace_of_our_own(None, 1.0, true)]
#[case::none_of_our_own(None, 0.0, false)]
fn a_trace_is_sampled_where_its_producer_or_the_ratio_says_so(
    #[case] flags: Option<&str>,
    #[case] ratio: f64,
    #[case] sampled: bool,
) {
    let (tracer, mut inbox) = tracer(ratio);
    let producer = flags.map(origin);
    let span = tracer.attempt(&job(), producer.as_ref());
    let request = span.request(&url());
    let told = [span.origin().traceparent.clone().expect("told"), request.traceparent()];
    request.answered(Some(200), None);
    span.ended("completed", None);
    for traceparent in told {
        assert_eq!(traceparent.ends_with("-01"), sampled, "{traceparent}");
    }
    assert_eq!(inbox.try_recv().is_ok(), sampled);
}

/// With secrets wherever people put them.
fn url() -> url::Url {
    "https://me:s3cret@app.example.org/hooks/s3cret?key=s3cret#s3cret".parse().expect("a URL")
}

#[rstest]
#[case::all_of_it(url(), "https://app.example.org/REDACTED?REDACTED")]
#[case::a_port("http://10.1.2.3:8080/a".parse().expect("a URL"), "http://10.1.2.3:8080/REDACTED")]
#[case::no_path("http://[::1]:9/".parse().expect("a URL"), "http://[::1]:9/")]
fn of_a_requests_url_only_its_receiver_is_told(#[case] url: url::Url, #[case] told: &str) {
    let (tracer, mut inbox) = tracer(1.0);
    drop(tracer.attempt(&job(), None).request(&url));
    let request = inbox.try_recv().expect("sent");
    let full = request.attributes.iter().find(|it| it.key.as_str() == "url.full");
    assert_eq!(full.map(|it| it.value.as_str().into_owned()).as_deref(), Some(told));
    assert!(!format!("{request:?}").contains("s3cret"), "{request:?}");
}

#[test]
fn a_request_hangs_below_its_attempt_and_what_is_dropped_has_ended() {
    let (tracer, mut inbox) = tracer(1.0);
    let span = tracer.attempt(&job(), None);
    let request = span.request(&url());
    request.answered(None, Some("timeout"));
    request.answered(Some(200), None);
    drop(span);
    let (request, attempt) = (inbox.try_recv().expect("sent"), inbox.try_recv().expect("sent"));
    assert_eq!(request.parent_span_id, attempt.span_context.span_id());
    assert_eq!(request.span_context.trace_id(), attempt.span_context.trace_id());
    let has = |span: &SpanData, key: &str, value: &str| {
        span.attributes.iter().any(|it| it.key.as_str() == key && it.value.as_str() == value)
    };
    assert!(
        has(&request, "error.type", "timeout")
            && has(&request, "server.address", "app.example.org")
    );
    assert!(has(&attempt, "error.type", "broken_off"), "{attempt:?}");
    assert!(inbox.try_recv().is_err(), "each ends once");
}

#[rstest]
#[case::well(Some(200), None, None)]
#[case::refused(Some(404), Some("4xx"), Some("404"))]
#[case::failed(Some(500), Some("5xx"), Some("500"))]
#[case::no_answer_to_use(Some(199), Some("broken"), Some("broken"))]
#[case::none(None, Some("connect"), Some("connect"))]
fn the_error_of_a_request_is_its_status_where_it_was_answered(
    #[case] status: Option<u16>,
    #[case] error: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let (tracer, mut inbox) = tracer(1.0);
    let span = tracer.attempt(&job(), None);
    span.request(&url()).answered(status, error);
    let request = inbox.try_recv().expect("sent");
    let told = request.attributes.iter().find(|it| it.key.as_str() == "error.type");
    assert_eq!(told.map(|it| it.value.as_str().into_owned()).as_deref(), expected);
    assert_eq!(request.status != Status::Unset, expected.is_some());
}

#[test]
fn a_full_queue_costs_spans_and_no_time() {
    let metrics = Metrics::default();
    let (sender, _inbox) = mpsc::channel(1);
    let outbox = Outbox::new(sender, metrics.spans("queue_full"), None);
    let tracer = Tracer { outbox, ..tracer(1.0).0 };
    for _ in 0..3 {
        tracer.attempt(&job(), None).ended("completed", None);
    }
    let page = metrics.render();
    assert!(page.contains("legwork_spans_total{result=\"queue_full\"} 2\n"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn spans_that_are_gathered_while_who_sends_them_is_ended_are_counted_as_lost() {
    let url = url::Url::parse("http://127.0.0.1:1/v1/traces").expect("a URL");
    let collector = Otlp { traces: url, headers: Vec::new(), authorities: Vec::new() };
    let metrics = Metrics::default();
    let settings = Tracing { sample_ratio: 1.0, ..Tracing::default() };
    let start = Arc::new(|_work| unreachable!("nothing is sent"));
    let (making, exporter) = to(&collector, &settings, ("here", None), &metrics, start);
    for lost in [1, 2] {
        making.attempt(&job(), None).ended("completed", None);
        let stop = CancellationToken::new();
        let gathering = exporter.gathered(&stop);
        // Less than they wait for company.
        let ended = tokio::time::timeout(Duration::from_millis(500), gathering).await;
        assert!(ended.is_err(), "it waits for more");
        assert_eq!(exporter.lost(), lost);
    }
    assert!(metrics.render().contains("legwork_spans_total{result=\"failed\"} 2\n"));
}

#[test]
fn a_verdict_has_a_span_where_its_attempt_is_sampled_and_it_ends_once() {
    let job = job();
    for ratio in [0.0, 1.0] {
        let (tracer, mut inbox) = tracer(ratio);
        let span = tracer.attempt(&job, None);
        span.ended("completed", None);
        let verdict = span.settling(&job.queue, job.lease.job);
        assert_eq!(verdict.is_some(), inbox.try_recv().is_ok());
        let Some(verdict) = verdict else { continue };
        verdict.settled("finish", Some("late"));
        verdict.settled("finish", None);
        drop(verdict);
        let sent = inbox.try_recv().expect("sent");
        assert_eq!((&*sent.name, sent.status), ("settle mail", Status::error("")));
        assert!(inbox.try_recv().is_err(), "it ends once");
    }
}

#[rstest]
#[case::a_path("/usr/bin/convert", "exec convert")]
#[case::a_name("convert", "exec convert")]
fn a_program_is_told_of_by_its_name(#[case] path: &str, #[case] name: &str) {
    let (tracer, mut inbox) = tracer(1.0);
    let span = tracer.attempt(&job(), None);
    // Dropped where it stands, as with its attempt.
    drop(span.program(path));
    let sent = inbox.try_recv().expect("sent");
    assert_eq!(sent.name, name);
    assert!(sent.attributes.contains(&KeyValue::new("error.type", "broken_off")), "{sent:?}");
}
