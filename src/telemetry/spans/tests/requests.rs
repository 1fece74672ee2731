//! Requests to the admin port, and what stands below them.

use super::*;

const ASKED: Asked<'static> = Asked {
    method: "GET",
    route: Some("/api/v1/jobs/{id}"),
    path: "/api/v1/jobs/7",
    host: Some(("localhost", Some(9464))),
    client: None,
    version: "1.1",
};

fn caller(flags: &str) -> Origin {
    let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
    Origin::of_request(Some(traceparent), None, Some("r-1".to_owned()))
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key)?;
    Some(found.value.as_str().into_owned())
}

#[rstest]
#[case::as_its_caller_says("01", 0.0, true)]
#[case::as_its_caller_says_even_at_all("00", 1.0, false)]
fn a_request_stands_below_its_caller_and_obeys_its_decision(
    #[case] flags: &str,
    #[case] ratio: f64,
    #[case] sampled: bool,
) {
    let (tracer, mut inbox) = tracer(ratio);
    let span = tracer.request(&ASKED, &caller(flags));
    let told = span.origin().traceparent.clone().expect("told");
    assert!(told.contains(TRACE) && !told.contains(PARENT), "{told}");
    span.answered(200);
    let sent = inbox.try_recv().ok();
    assert_eq!(sent.is_some(), sampled);
    let Some(sent) = sent else { return };
    assert_eq!((&*sent.name, &sent.span_kind), ("GET /api/v1/jobs/{id}", &SpanKind::Server));
    assert_eq!(sent.parent_span_id.to_string(), PARENT);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/jobs/{id}"),
        ("url.path", "/api/v1/jobs/7"),
        ("url.scheme", "http"),
        ("server.address", "localhost"),
        ("server.port", "9464"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("legwork.request_id", "r-1"),
    ] {
        assert_eq!(attribute(&sent, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(&sent, "error.type"), None);
}

#[test]
fn what_a_stranger_writes_is_neither_a_name_nor_a_path() {
    let (tracer, mut inbox) = tracer(1.0);
    let asked = Asked { method: "S3CR3T", route: None, path: "/s3cr3t", ..ASKED };
    tracer.request(&asked, &Origin::default()).answered(404);
    let sent = inbox.try_recv().expect("sent");
    assert_eq!((&*sent.name, sent.status.clone()), ("HTTP", Status::Unset));
    assert_eq!(attribute(&sent, "http.request.method").as_deref(), Some("_OTHER"));
    assert!(!format!("{sent:?}").to_lowercase().contains("s3cr3t"), "{sent:?}");
}

#[test]
fn what_is_refused_leaves_no_span_and_what_fails_an_error() {
    let (tracer, mut inbox) = tracer(1.0);
    let refused = tracer.request(&ASKED, &caller("01"));
    refused.refused();
    drop(refused);
    assert!(inbox.try_recv().is_err());
    tracer.request(&ASKED, &caller("01")).answered(503);
    let failed = inbox.try_recv().expect("sent");
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("503"));
    drop(tracer.request(&ASKED, &caller("01")));
    let gone = inbox.try_recv().expect("sent");
    assert_eq!(attribute(&gone, "error.type").as_deref(), Some("broken_off"));
}

#[tokio::test]
async fn statements_and_jobs_of_a_request_stand_below_it() {
    let (tracer, mut inbox) = tracer(0.0);
    let mail = QueueName::new("mail").expect("a name");
    assert!(statement("SELECT legwork.jobs").is_none(), "nobody asked");
    assert_eq!(sending(&mail).metadata(None), None, "nobody asked");
    let request = Arc::new(tracer.request(&ASKED, &caller("01")));
    let metadata = Arc::clone(&request)
        .over(async {
            statement("SELECT legwork.jobs").expect("sampled").returned(None, None);
            let sending = sending(&mail);
            sending.sent_together(2);
            sending.metadata(Some("{\"large\": 18446744073709551615}"))
        })
        .await;
    let (asked, sent) = (inbox.try_recv().expect("sent"), inbox.try_recv().expect("sent"));
    request.answered(200);
    let request = inbox.try_recv().expect("sent");
    for below in [&asked, &sent] {
        assert_eq!(below.parent_span_id, request.span_context.span_id());
        assert_eq!(attribute(below, "legwork.request_id").as_deref(), Some("r-1"));
    }
    assert_eq!((&*asked.name, &asked.span_kind), ("SELECT legwork.jobs", &SpanKind::Client));
    for (key, value) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "app|legwork"),
        ("db.operation.name", "SELECT"),
        ("db.query.summary", "SELECT legwork.jobs"),
    ] {
        assert_eq!(attribute(&asked, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!((&*sent.name, &sent.span_kind), ("send mail", &SpanKind::Producer));
    assert_eq!(attribute(&sent, "messaging.batch.message_count").as_deref(), Some("2"));
    let metadata = metadata.expect("some");
    assert!(metadata.contains("\"large\":18446744073709551615"), "{metadata}");
    let told = Origin::of(Some(&metadata));
    let own = format!("00-{TRACE}-{}-01", sent.span_context.span_id());
    assert_eq!((told.traceparent, told.request_id.as_deref()), (Some(own), Some("r-1")));
}

/// Without a collector a job that a request enqueues stands below whoever asked, and its own trace wins.
#[tokio::test]
async fn a_job_of_a_request_follows_its_caller_where_no_spans_are_made() {
    let request = Arc::new(RequestSpan::none(caller("01")));
    let (given, own) = request
        .over(async {
            let sending = sending(&QueueName::new("mail").expect("a name"));
            let own = "{\"traceparent\": \"its own\", \"request_id\": \"own\"}";
            (sending.metadata(None), sending.metadata(Some(own)))
        })
        .await;
    let told = Origin::of(given.as_deref());
    assert_eq!(told.traceparent, Some(format!("00-{TRACE}-{PARENT}-01")));
    assert_eq!(own.as_deref(), Some("{\"request_id\":\"own\",\"traceparent\":\"its own\"}"));
}

#[test]
fn a_claim_links_to_the_traces_of_its_jobs_and_their_attempts_to_it() {
    let (sampled, mut inbox) = tracer(1.0);
    let metadata = format!("{{\"traceparent\": \"00-{TRACE}-{PARENT}-01\"}}");
    let with_trace = || ClaimedJob { metadata: Some(metadata.clone()), ..job() };
    let mut jobs: Vec<_> = (0..receive::LINKS_MAX + 9).map(|_| with_trace()).collect();
    jobs.push(job());
    let queue = job().queue;
    sampled.received(&queue, &mut jobs, Duration::from_millis(7));
    let claim = inbox.try_recv().expect("sent");
    assert_eq!((&*claim.name, &claim.span_kind), ("receive mail", &SpanKind::Client));
    assert_eq!(claim.parent_span_id, SpanId::INVALID);
    let count = (receive::LINKS_MAX + 10).to_string();
    assert_eq!(attribute(&claim, "messaging.batch.message_count"), Some(count));
    assert_eq!(claim.links.len(), receive::LINKS_MAX);
    assert!(claim.links.iter().all(|link| link.span_context.span_id().to_string() == PARENT));
    let took = claim.end_time.duration_since(claim.start_time).expect("it ends after it began");
    assert!(took >= Duration::from_millis(7), "{took:?}");

    sampled.attempt(&jobs[0], Origin::shared(jobs[0].metadata.as_deref()).as_deref());
    let attempt = inbox.try_recv().expect("sent");
    assert_eq!(attempt.parent_span_id.to_string(), PARENT);
    let links: Vec<_> = attempt.links.iter().map(|link| &link.span_context).collect();
    assert_eq!(links.len(), 1);
    assert_eq!(
        (links[0].trace_id(), links[0].span_id()),
        (claim.span_context.trace_id(), claim.span_context.span_id())
    );

    let (unsampled, mut inbox) = tracer(0.0);
    let mut jobs = [job()];
    unsampled.received(&queue, &mut jobs, Duration::ZERO);
    sampled.received(&queue, &mut [], Duration::ZERO);
    assert!(inbox.try_recv().is_err() && jobs[0].received.is_none());
}

#[test]
fn what_somebody_asked_for_stands_below_him() {
    let (tracer, mut inbox) = tracer(0.0);
    let sending = tracer.sending(&caller("01"), &job().queue);
    let told = Origin::of(sending.metadata(None).as_deref()).trace.expect("a trace");
    sending.failed("23505");
    let sent = inbox.try_recv().expect("sent");
    assert_eq!(sent.parent_span_id.to_string(), PARENT);
    assert_eq!(attribute(&sent, "error.type").as_deref(), Some("23505"));
    assert_eq!(
        (told.trace_id.to_string().as_str(), told.span_id),
        (TRACE, sent.span_context.span_id())
    );
    let given = Sending::after(caller("00")).metadata(None);
    assert_eq!(Origin::of(given.as_deref()).traceparent, Some(format!("00-{TRACE}-{PARENT}-00")));
}

#[test]
fn what_nobody_asked_for_begins_a_trace_and_what_wasnt_enqueued_leaves_none() {
    let (tracer, mut inbox) = tracer(1.0);
    let queue = job().queue;
    tracer.sending(&Origin::default(), &queue).forget();
    let sending = tracer.sending(&Origin::default(), &queue);
    let metadata = sending.metadata(Some("{\"schedule\":\"nightly\"}")).expect("some");
    sending.sent(JobId(7));
    let sent = inbox.try_recv().expect("sent");
    assert_eq!((sent.parent_span_id, &sent.span_kind), (SpanId::INVALID, &SpanKind::Producer));
    assert_eq!(attribute(&sent, "messaging.message.id").as_deref(), Some("7"));
    assert_eq!(attribute(&sent, "messaging.batch.message_count"), None);
    let told = Origin::of(Some(&metadata)).trace.expect("a trace");
    assert_eq!(
        (told.trace_id, told.span_id),
        (sent.span_context.trace_id(), sent.span_context.span_id())
    );
    assert!(metadata.contains("nightly") && inbox.try_recv().is_err());
}
