//! What crosses the wire: the payload as it is, who asks, and a signature that published libraries take.

use super::*;
use crate::support::receiver::{Receiver, Request, answer};
use legwork::config::SigningSecret;
use standardwebhooks::Webhook;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// A payload that no parser would write back as it was.
const PAYLOAD: &str =
    r#"{"b": 1.10, "a": 123456789012345678901234567890, "ä": "\u00e4 \"x\"", "c": []}"#;

#[tokio::test]
async fn a_request_carries_the_payload_as_it_is_and_says_who_asks() {
    let receiver = Receiver::answering(|_| answer("204 No Content", &[], "")).await;
    let mut settings = settings(&receiver.url("/jobs?x=1"));
    settings.headers = vec![("Authorization".into(), "Bearer abc".into())];
    assert_eq!(word(&attempt(&Http::new(settings), PAYLOAD).await), "complete");

    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert_eq!(request.body, PAYLOAD);
    assert!(request.head.starts_with("POST /jobs?x=1 HTTP/1.1\r\n"), "{}", request.head);
    let deadline = request.header("Legwork-Deadline");
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(deadline, format).expect("RFC 3339");
    for (name, value) in [
        ("host", &*receiver.address.to_string()),
        ("authorization", "Bearer abc"),
        ("content-type", "application/json"),
        ("content-length", &*PAYLOAD.len().to_string()),
        ("user-agent", concat!("legwork/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "job_42"),
        ("Legwork-Job-Id", "42"),
        ("Legwork-Kind", "send"),
        ("Legwork-Queue", "mail"),
        ("Legwork-Attempt", "3"),
        ("Legwork-Max-Attempts", "3"),
        ("Legwork-Final-Attempt", "true"),
        ("Legwork-Lease-Token", "7"),
        ("traceparent", TRACE),
        ("tracestate", "v=1"),
        ("x-request-id", "r-1"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    for absent in ["webhook-signature", "cookie", "referer", "accept-encoding"] {
        assert!(request.all(absent).is_empty(), "{absent} in {}", request.head);
    }
}

#[tokio::test]
async fn a_published_library_takes_the_signature_of_each_secret_and_no_other() {
    let receiver = Receiver::answering(|_| answer("204 No Content", &[], "")).await;
    let mut settings = settings(&receiver.url("/"));
    settings.secrets = [NEW, OLD].map(|text| SigningSecret::parse(text).expect("a secret")).into();
    attempt(&Http::new(settings), PAYLOAD).await;

    let [request] = &receiver.requests()[..] else { panic!("one request") };
    let mut headers = axum::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).parse().expect("a value"));
    }
    let verified = |secret: &str, body: &str| {
        Webhook::new(secret).expect("a secret").verify(body.as_bytes(), &headers)
    };
    verified(NEW, &request.body).expect("by who knows the new one");
    verified(OLD, &request.body).expect("by who knows the old one");
    verified("whsec_BBECAwQFBgcICQoLDA0ODxAREhMUFRYX", &request.body).expect_err("another");
    verified(NEW, &request.body.replace("1.10", "1.11")).expect_err("another payload");
    headers.insert("webhook-id", "job_43".parse().expect("a value"));
    Webhook::new(NEW).expect("a secret").verify(request.body.as_bytes(), &headers).expect_err("id");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_said_and_nothing_is_sent_without_it() {
    let receiver = Receiver::answering(|_| answer("204 No Content", &[], "")).await;
    for (name, value) in [("Authorization", "Bearer hunter2\n"), ("A B", "hunter2")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let outcome = sent(HttpSettings { headers, ..settings(&receiver.url("/")) }).await;
        let error = error(&outcome);
        assert!(error.contains(&format!("{name:?} can't be a header")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_job() {
    let receiver = Receiver::answering(|_| answer("200 OK", &[], "1")).await;
    let handler = Http::new(settings(&receiver.url("/")));
    for _ in 0..3 {
        assert_eq!(word(&attempt(&handler, "{}").await), "complete 1");
    }
    let connections: Vec<_> = receiver.requests().iter().map(|it| it.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_connection_that_died_between_two_jobs_costs_no_attempt() {
    // It closes behind each answer and doesn't say so; that the other side has noticed it sees by its end.
    let (tell, mut noticed) = mpsc::channel(1);
    let receiver = Receiver::doing(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            if Request::read(&mut stream).await.is_some() {
                stream.write_all(answer("200 OK", &[], "1").as_bytes()).await.expect("written");
                stream.shutdown().await.expect("closed");
                stream.read_to_end(&mut Vec::new()).await.ok();
                tell.send(()).await.expect("heard");
            }
        }
    })
    .await;
    let handler = Http::new(settings(&receiver.url("/")));
    for _ in 0..5 {
        assert_eq!(word(&attempt(&handler, "{}").await), "complete 1");
        noticed.recv().await.expect("the connection ends");
    }
    assert_eq!(receiver.requests().len(), 5, "connections");
}

#[tokio::test]
async fn what_a_producer_writes_adds_no_header_and_changes_none() {
    let receiver = Receiver::answering(|_| answer("204 No Content", &[], "")).await;
    let handler = Http::new(HttpSettings {
        headers: vec![("Authorization".into(), "Bearer ours".into())],
        ..settings(&receiver.url("/"))
    });
    let evil = "x\r\nAuthorization: Bearer theirs\r\nHost: evil.example.com";
    let payload = serde_json::json!({ "headers": { "Host": "evil" }, "text": evil }).to_string();
    for id in [evil, "nul\0", "x\nHost: evil.example.com", &"x".repeat(100_000)] {
        let metadata = serde_json::json!({
            "request_id": id, "traceparent": format!("{TRACE}\r\nHost: evil"), "tracestate": id,
            "Authorization": "Bearer theirs", "headers": { "Host": "evil.example.com" },
        });
        let context = context_from(metadata.to_string(), &payload, LONG, CancellationToken::new());
        let ending = execute(&handler, &context, &StopOrder::default()).await;
        assert_eq!(ending, Ending::Decided(Outcome::Complete { result: None }));
    }
    for request in receiver.requests() {
        assert_eq!(request.header("host"), receiver.address.to_string());
        assert_eq!(request.header("authorization"), "Bearer ours");
        assert!(!request.head.contains("evil") && request.head.len() < 2000, "{}", request.head);
        assert_eq!(request.body, payload);
    }
}

/// It isn't known what became of it, and a repetition of the job says so by its attempt; one that the client
/// made by itself would be nobody's.
#[tokio::test]
async fn a_request_that_was_sent_on_a_kept_connection_is_not_sent_again_unasked() {
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let receiver = Receiver::doing(move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            // The first of a connection is answered, the second is read whole and then left.
            for text in [Some(answer("200 OK", &[], "1")), None] {
                if Request::read(&mut stream).await.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                if let Some(text) = text {
                    stream.write_all(text.as_bytes()).await.expect("written");
                }
            }
        }
    })
    .await;
    let handler = Http::new(settings(&receiver.url("/")));
    assert_eq!(word(&attempt(&handler, "{}").await), "complete 1");
    let outcome = attempt(&handler, "{}").await;
    assert!(error(&outcome).contains("the exchange broke off"), "{outcome:?}");
    assert_eq!((read.load(Ordering::SeqCst), receiver.requests().len()), (2, 1));
}
