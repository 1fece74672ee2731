//! Whose connection is cut, that it is counted, and whom clients keep out that send their body slowly: nobody.

use super::{
    super::{
        connection::cut_if_old,
        cuts::Cuts,
        places::{PLACES_MAX, Place, Places, Watched},
        routes,
    },
    get, send, served,
    state::state,
    status,
};
use crate::admin::{AdminState, connection::HEAD_MAX_BYTES};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{Request, Response, StatusCode},
    routing,
};
use futures::stream;
use rstest::rstest;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const CANCEL: &str = "/api/v1/jobs/{id}/cancel";
const ENQUEUE: &str = "/api/v1/jobs";
/// As many as routes have at once.
const TURNS: usize = 64;

/// So many clients whose head is there and whose body doesn't come.
async fn bodiless(at: SocketAddr, path: &str, body: &str, count: usize) -> Vec<TcpStream> {
    let path = path.replace("{id}", "1");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{body}\r\n\r\n"
    );
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = TcpStream::connect(at).await.unwrap();
        // It may have had to leave already.
        client.write_all(head.as_bytes()).await.ok();
        clients.push(client);
    }
    clients
}

/// Waits until so many requests have come there.
async fn have_come(at: SocketAddr, path: &str, count: usize) {
    let labels = format!("{{method=\"POST\",path=\"{path}\"}} {count}\n");
    let line = format!("legwork_http_requests_in_flight{labels}");
    while !get(at, "/metrics", "").await.contains(&line) {}
}

fn cut(reason: &str, count: u64) -> String {
    format!("legwork_admin_connections_cut_total{{reason=\"{reason}\"}} {count}\n")
}

#[rstest]
#[case::small(CANCEL, "Content-Length: 10")]
#[case::small_at_most(CANCEL, "Transfer-Encoding: chunked")]
#[case::of_a_small_job(ENQUEUE, "Content-Length: 10")]
#[case::of_a_large_job(ENQUEUE, "Content-Length: 100000")]
#[case::of_any_job(ENQUEUE, "Transfer-Encoding: chunked")]
#[tokio::test]
async fn as_many_clients_as_there_are_turns_that_send_no_body_keep_nobody_out(
    #[case] path: &str,
    #[case] body: &str,
) {
    served(state(), async |at| {
        let slow = bodiless(at, path, body, TURNS).await;
        have_come(at, path, TURNS).await;
        let answer = get(at, "/version", "").await;
        assert_eq!(status(&answer), 200, "{answer}");
        drop(slow);
    })
    .await;
}

#[tokio::test]
async fn who_is_waited_for_gives_its_place_up_for_another() {
    let answers = served(state(), async |at| {
        let slow = bodiless(at, CANCEL, "Content-Length: 10", 2 * PLACES_MAX).await;
        let answers = [get(at, "/version", "").await, get(at, "/metrics", "").await];
        drop(slow);
        answers
    })
    .await;
    assert_eq!(answers.each_ref().map(|answer| status(answer)), [200; 2]);
    assert!(!answers[1].contains(&cut("displaced", 0)), "{}", answers[1]);
}

#[tokio::test]
async fn a_head_that_nobody_can_read_is_counted_by_what_is_wrong() {
    let page = served(state(), async |at| {
        send(at, b"\x01\x02 garbage\r\n\r\n").await;
        let long = format!("X-Long: {}\r\n", "x".repeat(HEAD_MAX_BYTES));
        get(at, "/version", &long).await;
        // It goes away by itself.
        drop(TcpStream::connect(at).await.unwrap());
        get(at, "/metrics", "").await
    })
    .await;
    for (reason, count) in [
        ("head_invalid", 1),
        ("head_too_large", 1),
        ("head_slow", 0),
        ("body_slow", 0),
        ("overloaded", 0),
        ("displaced", 0),
        ("too_old", 0),
    ] {
        assert!(page.contains(&cut(reason, count)), "{reason} {count}\n{page}");
    }
}

async fn asked(state: &AdminState, place: Arc<Place>, path: &str, body: Body) -> Response<Body> {
    let request = Request::post(path.replace("{id}", "1"));
    let request = request.header("content-type", "application/json").header("host", "localhost");
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000))));
    request.extensions_mut().insert(place);
    routes::router(state.clone()).oneshot(request).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_counted_whether_it_comes_before_the_turn_or_meanwhile() {
    let state = state();
    for (number, path) in [(1, CANCEL), (2, ENQUEUE)] {
        let never = stream::pending::<Result<Bytes, Infallible>>();
        let place = Places::default().take([127, 0, 0, 1].into());
        let answer = asked(&state, place, path, Body::from_stream(never)).await;
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT, "{path}");
        let page = state.metrics.render();
        assert!(page.contains(&cut("body_slow", number)), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_turn_does_not_come_is_counted() {
    let state = state();
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{}"))]);
    let place = Places::without_turns().take([127, 0, 0, 1].into());
    let answer = asked(&state, place, CANCEL, Body::from_stream(body)).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = state.metrics.render();
    assert!(page.contains(&cut("overloaded", 1)), "{page}");
}

/// A download of so many pieces, of which one comes each second.
fn slow(pieces: u64) -> Router {
    let piece = async |_| {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(Bytes::from_static(b"piece"))
    };
    let body = move || Body::from_stream(stream::StreamExt::then(stream::iter(0..pieces), piece));
    Router::new().route("/slow", routing::get(async move || body()))
}

/// A profile of a minute and four minutes of its way to a slow client are there to the end; what isn't by then is cut,
/// however well it goes on.
#[rstest]
#[case::within_its_age(295, true)]
#[case::beyond_it(305, false)]
#[tokio::test(start_paused = true)]
async fn a_download_that_goes_on_is_cut_by_the_age_of_its_connection_alone(
    #[case] pieces: u64,
    #[case] whole: bool,
) {
    let state = state();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let client = async {
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.ok();
        String::from_utf8(answer).unwrap()
    };
    let server = async {
        let (stream, peer) = listener.accept().await.unwrap();
        let stream = Watched { stream, place: Places::default().take(peer.ip()) };
        let cuts = Cuts(state.metrics.admin_cuts());
        let router = slow(pieces);
        cut_if_old(stream, peer, &router, (&cuts, &CancellationToken::new())).await;
    };
    let (answer, ()) = tokio::join!(client, server);
    let came = u64::try_from(answer.matches("piece").count()).unwrap();
    assert_eq!((came == pieces, answer.ends_with("\r\n0\r\n\r\n")), (whole, whole), "{came}");
    assert!((290..=300).contains(&came), "{came}");
    let page = state.metrics.render();
    assert!(page.contains(&cut("too_old", u64::from(!whole))), "{page}");
}
