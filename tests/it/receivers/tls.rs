//! TLS: who is trusted, what fails closed, and HTTP/2 over it.

use super::*;
use crate::support::{
    authority::Authority,
    receiver::{Receiver, Request, answer},
};
use hyper::{body::Incoming, service::service_fn};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Answers one request over TLS.
pub(super) async fn secured(acceptor: TlsAcceptor) -> Receiver {
    Receiver::doing(move |stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if Request::read(&mut stream).await.is_some() {
                let text = answer("200 OK", &[], "1");
                stream.write_all(text.as_bytes()).await.expect("written");
            }
        }
    })
    .await
}

pub(super) fn https(receiver: &Receiver, authorities: &[&Authority]) -> HttpSettings {
    HttpSettings {
        authorities: authorities.iter().map(|authority| authority.certificate()).collect(),
        ..settings(&format!("https://localhost:{}/", receiver.address.port()))
    }
}

#[tokio::test]
async fn a_receiver_that_the_kinds_own_authority_vouches_for_is_trusted() {
    let authority = Authority::new();
    let receiver = secured(authority.acceptor("localhost", false, &[])).await;
    assert_eq!(word(&sent(https(&receiver, &[&authority])).await), "complete 1");
}

#[tokio::test]
async fn a_receiver_that_nobody_vouches_for_is_told_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let right = || authority.acceptor("localhost", false, &[]);
    for (what, acceptor, trusted) in [
        ("UnknownIssuer", right(), None),
        ("UnknownIssuer", Authority::own("localhost"), None),
        // Of the same name: only its key tells it apart.
        ("BadSignature", right(), Some(&other)),
        ("Expired", authority.acceptor("localhost", true, &[]), Some(&authority)),
        ("not valid for name", authority.acceptor("example.org", false, &[]), Some(&authority)),
    ] {
        let receiver = secured(acceptor).await;
        let outcome = sent(https(&receiver, &trusted.into_iter().collect::<Vec<_>>())).await;
        assert_eq!(word(&outcome), "retry");
        let error = error(&outcome);
        let says = error.contains(what) || error.to_lowercase().contains(&what.to_lowercase());
        assert!(error.contains("no TLS session") && says, "{what}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_no_session() {
    // Servers that end the session by an alert: one that speaks only versions that nobody should
    // (`protocol_version`), and one that knows no such name (`unrecognized_name`).
    let alerting = async |alert: u8| {
        Receiver::doing(move |mut stream: TcpStream| async move {
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.expect("a hello");
            stream.write_all(&[21, 3, 1, 0, 2, 2, alert]).await.expect("written");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        })
        .await
    };
    let (old, nameless) = (alerting(70).await, alerting(112).await);
    let plain = Receiver::doing(async |mut stream: TcpStream| {
        let text = answer("400 Bad Request", &[], "plain HTTP");
        stream.write_all(text.as_bytes()).await.expect("written");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
    })
    .await;
    for receiver in [old, nameless, plain] {
        let outcome = sent(https(&receiver, &[])).await;
        assert!(error(&outcome).contains("no TLS session"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let receiver = Receiver::doing(async |mut stream: TcpStream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.ok();
    })
    .await;
    let outcome = sent(HttpSettings { connect_timeout: SHORT, ..https(&receiver, &[]) }).await;
    assert!(error(&outcome).ends_with("no connection in time"), "{outcome:?}");
}

type Answered = Result<hyper::Response<String>, Infallible>;

/// An HTTP/2 server; `served` counts its connections.
async fn http2(acceptor: TlsAcceptor, served: Arc<AtomicUsize>) -> Receiver {
    Receiver::doing(move |stream: TcpStream| {
        let (acceptor, served) = (acceptor.clone(), served.clone());
        async move {
            let stream = acceptor.accept(stream).await.expect("a session");
            served.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(async |request: hyper::Request<Incoming>| -> Answered {
                let version = format!("{:?}", request.version());
                Ok(hyper::Response::new(format!("{version:?}")))
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            let served = hyper::server::conn::http2::Builder::new(executor);
            served.serve_connection(io, service).await.ok();
        }
    })
    .await
}

#[tokio::test]
async fn http_2_is_spoken_where_the_receiver_does_and_one_connection_carries_all() {
    let (authority, served) = (Authority::new(), Arc::default());
    let acceptor = authority.acceptor("localhost", false, &[b"h2"]);
    let receiver = http2(acceptor, Arc::clone(&served)).await;
    let handler = Http::new(https(&receiver, &[&authority]));
    assert_eq!(word(&attempt(&handler, "{}").await), "complete \"HTTP/2.0\"");
    let all = futures::future::join_all((0..20).map(|_| attempt(&handler, "{}"))).await;
    assert!(all.iter().all(|outcome| word(outcome) == "complete \"HTTP/2.0\""), "{all:?}");
    assert_eq!(served.load(Ordering::SeqCst), 1, "connections");
}

/// An HTTP/2 server that greets, reads what a client begins with, and does this.
async fn greeting<F>(
    authority: &Authority,
    deed: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> Receiver
where
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = authority.acceptor("localhost", false, &[b"h2"]);
    Receiver::doing(move |stream: TcpStream| {
        let (acceptor, deed) = (acceptor.clone(), deed.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.expect("a session");
            // SETTINGS.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("written");
            stream.read_exact(&mut [0; 24]).await.expect("a preface");
            deed(stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_http_2_receiver_that_breaks_off_is_a_failed_attempt() {
    let authority = Authority::new();
    let receiver = greeting(&authority, async |mut stream: TlsStream<TcpStream>| {
        // GOAWAY with an error.
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        stream.write_all(&goaway).await.expect("written");
    })
    .await;
    let outcome = sent(https(&receiver, &[&authority])).await;
    assert_eq!(word(&outcome), "retry");
    assert!(error(&outcome).contains("the exchange broke off"), "{outcome:?}");
}

#[tokio::test]
async fn an_http_2_stream_that_is_reset_is_a_failed_attempt_and_its_connection_goes_on() {
    let authority = Authority::new();
    let receiver = greeting(&authority, async |mut stream: TlsStream<TcpStream>| {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            stream.read_exact(&mut vec![0; length]).await.expect("a frame");
            if head[3] == 1 {
                // HEADERS: its stream is reset, INTERNAL_ERROR.
                let [a, b, c, d] = [head[5], head[6], head[7], head[8]];
                let reset = [0, 0, 4, 3, 0, a, b, c, d, 0, 0, 0, 2];
                stream.write_all(&reset).await.expect("written");
            }
        }
    })
    .await;
    let handler = Http::new(https(&receiver, &[&authority]));
    for _ in 0..3 {
        let outcome = attempt(&handler, "{}").await;
        assert!(error(&outcome).contains("the exchange broke off"), "{outcome:?}");
    }
    assert_eq!(receiver.requests().len(), 1, "connections");
}
