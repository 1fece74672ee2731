//! HTTP/2: one connection that all jobs of a kind share. What is wrong with it ends with it, and a request
//! that never left costs no attempt.

use super::{tls::https, *};
use crate::support::{authority::Authority, receiver::Receiver};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rstest::rstest;
use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp},
    sync::{Notify, mpsc},
};

/// Waits until a request is there whole; not every one that begins is.
async fn is_whole(request: hyper::Request<Incoming>) -> bool {
    let mut body = request.into_body();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

/// An HTTP/2 receiver that answers a whole request when `serve` says so, which is told on which connection it
/// came, from 0. What `cut` says ends the first connection.
async fn receiver<F>(
    authority: &Authority,
    streams: Option<u32>,
    cut: Arc<Notify>,
    serve: impl Fn(usize) -> F + Clone + Send + Sync + 'static,
) -> Receiver
where
    F: Future<Output = ()> + Send + 'static,
{
    let (acceptor, count) = (authority.acceptor("localhost", false, &[b"h2"]), AtomicUsize::new(0));
    Receiver::doing(move |stream: TcpStream| {
        let connection = count.fetch_add(1, Ordering::SeqCst);
        let (acceptor, serve, cut) = (acceptor.clone(), serve.clone(), cut.clone());
        async move {
            let stream = acceptor.accept(stream).await.expect("a session");
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let serve = serve.clone();
                async move {
                    if is_whole(request).await {
                        serve(connection).await;
                    }
                    Ok::<_, Infallible>(hyper::Response::new(String::new()))
                }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(streams);
            let serving = server.serve_connection(TokioIo::new(stream), service);
            let end = async {
                if connection > 0 {
                    pending::<()>().await;
                }
                cut.notified().await;
            };
            tokio::select! {
                ended = serving => drop(ended),
                () = end => {}
            }
        }
    })
    .await
}

/// Carries bytes until `is_mute` says that they are to be lost.
async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, is_mute: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let is_lost = is_mute.load(Ordering::SeqCst);
        if !is_lost && to.write_all(&bytes[..length]).await.is_err() {
            break;
        }
    }
}

/// A way to a receiver whose first connection is dead once `is_mute` is set, and doesn't say so.
async fn way(to: &Receiver, is_mute: Arc<AtomicBool>) -> Receiver {
    let (address, count) = (to.address, AtomicUsize::new(0));
    Receiver::doing(move |near: TcpStream| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let is_mute = if is_first { is_mute.clone() } else { Arc::default() };
        async move {
            let far = TcpStream::connect(address).await.expect("connected");
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::join!(carry(near_in, far_out, &is_mute), carry(far_in, near_out, &is_mute));
        }
    })
    .await
}

async fn ending(handler: &Http, timeout: Duration) -> Ending {
    let context = context("{}", timeout, CancellationToken::new());
    execute(handler, &context, &StopOrder::default()).await
}

#[tokio::test]
async fn a_connection_that_has_died_silently_is_not_taken_again() {
    let (authority, is_mute) = (Authority::new(), Arc::<AtomicBool>::default());
    let receiver = receiver(&authority, None, Arc::default(), async |_| {}).await;
    let way = way(&receiver, is_mute.clone()).await;
    let settings = HttpSettings { response_timeout: SHORT, ..https(&way, &[&authority]) };
    let handler = Http::new(settings);
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
    is_mute.store(true, Ordering::SeqCst);
    let unanswered = attempt(&handler, "{}").await;
    assert!(error(&unanswered).ends_with("no answer within 200ms"), "{unanswered:?}");
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
    assert_eq!(way.requests().len(), 2, "connections");
}

#[rstest]
#[case::by_the_answers_limit(SHORT, LONG)]
#[case::by_the_attempts_time(LONG, SHORT)]
#[tokio::test]
async fn a_connection_with_nobody_behind_it_is_not_taken_again(
    #[case] response_timeout: Duration,
    #[case] timeout: Duration,
) {
    let (authority, hangs) = (Authority::new(), Arc::<AtomicBool>::default());
    let first_hangs = hangs.clone();
    let receiver = receiver(&authority, None, Arc::default(), move |connection| {
        let is_hung = connection == 0 && first_hangs.load(Ordering::SeqCst);
        async move {
            if is_hung {
                pending::<()>().await;
            }
        }
    })
    .await;
    let settings = HttpSettings { response_timeout, ..https(&receiver, &[&authority]) };
    let handler = Http::new(settings);
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
    hangs.store(true, Ordering::SeqCst);
    let ending = ending(&handler, timeout).await;
    let is_given_up = matches!(
        ending,
        Ending::Decided(Outcome::Retry { .. }) | Ending::TimedOut { told: None, .. }
    );
    assert!(is_given_up, "{ending:?}");
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
    assert_eq!(receiver.requests().len(), 2, "connections");
}

#[tokio::test]
async fn a_connection_that_gives_no_sign_of_life_is_given_up_before_the_answers_time() {
    let (authority, is_mute) = (Authority::new(), Arc::<AtomicBool>::default());
    let receiver = receiver(&authority, None, Arc::default(), async |_| {}).await;
    let way = way(&receiver, is_mute.clone()).await;
    let handler = Http::new(https(&way, &[&authority]));
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
    is_mute.store(true, Ordering::SeqCst);
    let unanswered = attempt(&handler, "{}").await;
    assert!(error(&unanswered).contains("keep-alive timed out"), "{unanswered:?}");
    assert_eq!(word(&attempt(&handler, "{}").await), "complete");
}

/// A receiver that takes one request at once, says when it has one, and answers when it is told to.
struct Narrow {
    receiver: Receiver,
    asked: mpsc::Receiver<usize>,
    answer: Arc<Notify>,
    cut: Arc<Notify>,
    settings: HttpSettings,
    handler: Http,
}

impl Narrow {
    /// The first request has been answered: that it speaks HTTP/2 is known.
    async fn new() -> Self {
        let (authority, answer, cut) = (Authority::new(), Arc::new(Notify::new()), Arc::default());
        let (tell, asked) = mpsc::channel(8);
        let told = answer.clone();
        let receiver = receiver(&authority, Some(1), Arc::clone(&cut), move |connection| {
            let (tell, told) = (tell.clone(), told.clone());
            async move {
                tell.send(connection).await.expect("heard");
                told.notified().await;
            }
        })
        .await;
        let settings = https(&receiver, &[&authority]);
        let handler = Http::new(settings.clone());
        let mut narrow = Self { receiver, asked, answer, cut, settings, handler };
        narrow.answer.notify_one();
        assert_eq!(word(&attempt(&narrow.handler, "{}").await), "complete");
        assert_eq!(narrow.asked.recv().await, Some(0));
        narrow
    }
}

#[tokio::test]
async fn a_request_that_finds_no_free_stream_is_parked_uncharged_and_never_sent() {
    let mut narrow = Narrow::new().await;
    let (first, ()) = tokio::join!(attempt(&narrow.handler, "{}"), async {
        assert_eq!(narrow.asked.recv().await, Some(0));
        let crowded = ending(&narrow.handler, SHORT * 2).await;
        assert!(matches!(crowded, Ending::Decided(Outcome::Park { .. })), "{crowded:?}");
        narrow.answer.notify_one();
    });
    assert_eq!(word(&first), "complete");
    narrow.answer.notify_one();
    assert_eq!(word(&attempt(&narrow.handler, "{}").await), "complete");
    assert_eq!(narrow.asked.recv().await, Some(1), "over a connection of its own");
    assert!(narrow.asked.is_empty(), "the one that was parked wasn't sent");
}

#[tokio::test]
async fn the_answers_time_runs_from_when_the_request_has_left() {
    // Three of which each takes more than half of it, one after another.
    let limit = Duration::from_secs(1);
    let mut narrow = Narrow::new().await;
    let mut settings = narrow.settings.clone();
    settings.response_timeout = limit;
    let handler = Http::new(settings);
    let all = futures::future::join_all((0..3).map(|_| attempt(&handler, "{}")));
    let (all, ()) = tokio::join!(all, async {
        for _ in 0..3 {
            narrow.asked.recv().await.expect("asked");
            // How long a receiver takes is the case itself.
            tokio::time::sleep(limit.mul_f64(0.6)).await;
            narrow.answer.notify_one();
        }
    });
    assert!(all.iter().all(|outcome| word(outcome) == "complete"), "{all:?}");
}

#[tokio::test]
async fn a_request_that_had_not_left_when_its_connection_broke_is_sent_again() {
    let mut narrow = Narrow::new().await;
    let (first, second) = tokio::join!(attempt(&narrow.handler, "{}"), async {
        assert_eq!(narrow.asked.recv().await, Some(0));
        let mut second = pin!(attempt(&narrow.handler, "{}"));
        tokio::select! {
            biased;
            outcome = &mut second => return outcome,
            () = async {
                narrow.cut.notify_one();
                assert_eq!(narrow.asked.recv().await, Some(1));
                // Also the one whose connection is gone may still wait for it.
                narrow.answer.notify_waiters();
                narrow.answer.notify_one();
            } => {}
        }
        second.await
    });
    assert!(error(&first).contains("the exchange broke off"), "{first:?}");
    assert_eq!(word(&second), "complete");
    assert_eq!(narrow.receiver.requests().len(), 2, "connections");
}
