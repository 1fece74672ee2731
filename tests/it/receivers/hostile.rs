//! Receivers that answer slowly, without end, with nonsense or not at all: each attempt ends, with an
//! error that says how.

use super::*;
use crate::support::receiver::{Receiver, Request, flood};
use legwork::executor::Stop;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

/// Reads a request, writes this, and then this for ever.
async fn ends(first: &'static str, then: &'static str) -> Outcome {
    let receiver = Receiver::doing(async move |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        if stream.write_all(first.as_bytes()).await.is_ok() {
            flood(&mut stream, then.as_bytes()).await;
        }
    })
    .await;
    sent(settings(&receiver.url("/"))).await
}

/// Reads a request, writes this, and closes.
async fn breaks(text: &'static str) -> Outcome {
    let receiver = Receiver::doing(async move |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        stream.write_all(text.as_bytes()).await.expect("written");
    })
    .await;
    sent(settings(&receiver.url("/"))).await
}

#[tokio::test]
async fn a_body_without_end_is_read_up_to_the_limit() {
    let outcome = ends("HTTP/1.1 200 OK\r\n\r\n", "1111111111").await;
    assert_eq!(word(&outcome), "complete");
    let outcome = ends("HTTP/1.1 500 Oh\r\n\r\n", "why ").await;
    assert!(error(&outcome).starts_with("HTTP 500 Internal Server Error\nwhy why why"));
}

#[rstest]
#[case::endless_header("HTTP/1.1 200 OK\r\nX: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
#[case::endless_headers("HTTP/1.1 200 OK\r\n", "X: xxxxxxxxxxxxxxxxxxxxxxx\r\n")]
#[tokio::test]
async fn a_head_without_end_breaks_the_exchange_off(
    #[case] first: &'static str,
    #[case] then: &'static str,
) {
    let outcome = ends(first, then).await;
    assert!(error(&outcome).contains("the exchange broke off"), "{outcome:?}");
}

#[rstest]
#[case::nothing("")]
#[case::half_a_head("HTTP/1.1 200 OK\r\nContent-")]
#[case::another_protocol("SSH-2.0-OpenSSH_9.2\r\n")]
#[case::no_status("HTTP/1.1 OK\r\n\r\n")]
#[case::two_lengths("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12")]
#[case::a_body_that_is_too_short("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":")]
#[case::a_chunk_of_nonsense("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")]
#[tokio::test]
async fn what_is_no_answer_is_a_failed_attempt(#[case] text: &'static str) {
    let outcome = breaks(text).await;
    assert_eq!(word(&outcome), "retry");
    assert!(error(&outcome).contains("the exchange broke off"), "{outcome:?}");
}

#[tokio::test]
async fn a_connection_that_is_reset_is_a_failed_attempt() {
    let before = Receiver::doing(async |stream: TcpStream| {
        stream.set_zero_linger().expect("an option");
    })
    .await;
    let after = Receiver::doing(async |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        stream.set_zero_linger().expect("an option");
    })
    .await;
    for receiver in [before, after] {
        let outcome = sent(settings(&receiver.url("/"))).await;
        assert_eq!(word(&outcome), "retry");
        assert!(error(&outcome).starts_with(&receiver.url("")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_said_to_be_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/secret-path", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = sent(settings(&url)).await;
    let error = error(&outcome);
    assert!(error.contains("no connection: ") && error.contains("refused"), "{error}");
    assert!(!error.contains("secret-path"), "{error}");
}

/// With a short limit for the answer to begin.
async fn silent(receiver: &Receiver) -> Outcome {
    let settings = HttpSettings { response_timeout: SHORT, ..settings(&receiver.url("/")) };
    sent(settings).await
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_given_up() {
    let mute = Receiver::doing(async |mut stream: TcpStream| {
        let mut all = Vec::new();
        // Until the other side has given up.
        stream.read_to_end(&mut all).await.ok();
    })
    .await;
    let dribbling = Receiver::doing(async |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nX: ".bytes().chain(std::iter::repeat(b'x'));
        for byte in head {
            if stream.write_u8(byte).await.is_err() {
                break;
            }
            // A byte now and then: never silent for long, and never done.
            tokio::time::sleep(SHORT / 20).await;
        }
    })
    .await;
    for receiver in [mute, dribbling] {
        let outcome = silent(&receiver).await;
        assert!(error(&outcome).ends_with("no answer within 200ms"), "{outcome:?}");
    }
}

#[tokio::test]
async fn provisional_answers_without_end_are_a_failed_attempt() {
    let receiver = Receiver::doing(async |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        flood(&mut stream, b"HTTP/1.1 100 Continue\r\n\r\n").await;
    })
    .await;
    assert_eq!(word(&silent(&receiver).await), "retry");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let receiver = Receiver::doing(async |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.ok();
    })
    .await;
    let outcome = sent(settings(&receiver.url("/"))).await;
    assert!(error(&outcome).ends_with("the answer's body wasn't there within 10s"), "{outcome:?}");
}

#[rstest]
#[case::gone("410 Gone\r\n", "permanent_error")]
#[case::busy("503 Busy\r\nRetry-After: 9\r\n", "snooze 9s")]
#[case::action("500 Oh\r\nLegwork-Action: cancel\r\n", "cancel")]
#[tokio::test]
async fn a_head_that_has_decided_holds_though_the_attempts_time_ends_under_the_body(
    #[case] head: &'static str,
    #[case] expected: &str,
) {
    let text = format!("HTTP/1.1 {head}Content-Length: 9\r\n\r\nno");
    let receiver = Receiver::answering(move |_| text.clone()).await;
    let handler = Http::new(settings(&receiver.url("/")));
    let context = context("{}", SHORT * 5, CancellationToken::new());
    match execute(&handler, &context, &StopOrder::default()).await {
        Ending::Decided(outcome) => assert_eq!(word(&outcome), expected),
        other => panic!("not decided: {other:?}"),
    }
}

/// A receiver that never answers, and what says that its connection has ended.
async fn hanging() -> (Receiver, mpsc::Receiver<&'static str>) {
    let (tell, told) = mpsc::channel(4);
    let receiver = Receiver::doing(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            Request::read(&mut stream).await;
            tell.send("asked").await.expect("heard");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
            tell.send("ended").await.expect("heard");
        }
    })
    .await;
    (receiver, told)
}

#[tokio::test]
async fn a_cancelled_attempt_ends_its_connection() {
    let (receiver, mut told) = hanging().await;
    let (token, order) = (CancellationToken::new(), StopOrder::default());
    let handler = Http::new(settings(&receiver.url("/")));
    let context = context("{}", LONG, token.clone());
    let (ending, ()) = tokio::join!(execute(&handler, &context, &order), async {
        assert_eq!(told.recv().await, Some("asked"));
        order.give(Stop::Cancelled);
        token.cancel();
        assert_eq!(told.recv().await, Some("ended"));
    });
    assert_eq!(ending, Ending::Cancelled);
}

#[tokio::test]
async fn an_attempt_whose_time_is_up_ends_its_connection() {
    let (receiver, mut told) = hanging().await;
    let handler = Http::new(settings(&receiver.url("/")));
    let context = context("{}", SHORT, CancellationToken::new());
    let ending = execute(&handler, &context, &StopOrder::default()).await;
    assert_eq!(ending, Ending::TimedOut { limit: SHORT, told: None });
    assert_eq!(told.recv().await, Some("asked"));
    assert_eq!(told.recv().await, Some("ended"));
}
