//! What an answer on the wire comes to. The table itself is tested where it stands; here are its edges.

use super::*;
use crate::support::receiver::{Receiver, answer};
use rstest::rstest;

async fn answered(text: String) -> Outcome {
    let receiver = Receiver::answering(move |_| text.clone()).await;
    let outcome = sent(settings(&receiver.url("/"))).await;
    assert_eq!(receiver.requests().len(), 1, "asked once");
    outcome
}

#[rstest]
#[case::result(&answer("200 OK", &[], "{\"a\": 1.0}"), "complete {\"a\": 1.0}")]
#[case::nothing(&answer("204 No Content", &[], ""), "complete")]
#[case::accepted(&answer("202 Accepted", &[], "\"later\""), "complete \"later\"")]
#[case::no_json(&answer("200 OK", &["Content-Type: text/html"], "<html>"), "complete")]
#[case::chunked(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n",
    "complete [1]"
)]
#[case::early_hints(
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7",
    "complete 7"
)]
#[case::go_on(
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7",
    "complete 7"
)]
#[case::gone(&answer("410 Gone", &[], ""), "permanent_error")]
#[case::busy(&answer("429 Too Many Requests", &["Retry-After: 30"], ""), "snooze 30s")]
#[case::down(&answer("503 Service Unavailable", &["retry-after: 30"], ""), "snooze 30s")]
#[case::broken(&answer("500 Internal Server Error", &["Retry-After: 30"], ""), "retry")]
#[case::action(&answer("500 Oh", &["Legwork-Action: complete"], "7"), "complete 7")]
#[case::cancel(&answer("200 OK", &["legwork-action: cancel"], ""), "cancel")]
#[tokio::test]
async fn an_answer_decides(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(word(&answered(text.to_owned()).await), expected);
}

#[tokio::test]
async fn a_failure_keeps_what_the_receiver_said() {
    let body = format!("no such table{}", "!".repeat(10_000));
    let headers = ["Legwork-Reason: see below"];
    let outcome = answered(answer("500 Internal Server Error", &headers, &body)).await;
    let error = error(&outcome);
    let expected = "HTTP 500 Internal Server Error: see below\nno such table!!!";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.len() < 5000, "{} bytes", error.len());
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_follows_it() {
    let elsewhere = Receiver::answering(|_| answer("200 OK", &[], "")).await;
    for (status, to) in [
        ("301 Moved Permanently", elsewhere.url("/")),
        ("302 Found", "file:///etc/passwd".into()),
        ("307 Temporary Redirect", elsewhere.url("/")),
        ("308 Permanent Redirect", "http://169.254.169.254/latest/meta-data".into()),
    ] {
        let outcome = answered(answer(status, &[&format!("Location: {to}")], "")).await;
        assert_eq!(error(&outcome), format!("HTTP {status}"));
    }
    assert!(elsewhere.requests().is_empty());
}

#[rstest]
#[case::as_long_as_allowed(3, "complete 123")]
#[case::longer(2, "complete")]
#[case::none_wanted(0, "complete")]
#[tokio::test]
async fn a_result_is_read_up_to_its_limit(#[case] max_result: usize, #[case] expected: &str) {
    let receiver = Receiver::answering(|_| answer("200 OK", &[], "123")).await;
    let settings = HttpSettings { max_result, ..settings(&receiver.url("/")) };
    assert_eq!(word(&sent(settings).await), expected);
}

#[tokio::test]
async fn a_packed_answer_is_not_unpacked() {
    // A few bytes that could be ten gigabytes are what they are.
    for packing in ["gzip", "br", "deflate", "zstd", "gzip, gzip, gzip"] {
        let receiver = Receiver::answering(move |_| {
            answer("200 OK", &[&format!("Content-Encoding: {packing}")], "[\"packed\"]")
        })
        .await;
        let outcome = sent(settings(&receiver.url("/"))).await;
        assert_eq!(word(&outcome), "complete [\"packed\"]", "{packing}");
        // And nobody has asked for it.
        assert!(receiver.requests()[0].all("accept-encoding").is_empty());
    }
}
