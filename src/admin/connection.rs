//! The accept loop and the life of one connection.
//!
//! All connections are polled in the future of [`serve`]: whoever owns that task owns them all, and
//! dropping it closes them. When all places are taken, the next client gets that of the one which
//! is longest without a complete head; none is taken from a request that is being answered. A connection is for one request:
//! of requests that are sent ahead, hyper would answer several at one go, and a hundred such clients held up everybody else.

use super::{
    cuts::Cuts,
    debug::Ends,
    listener::Bound,
    places::{Places, Watched},
    routes::{AdminState, router},
};
use crate::{
    supervise,
    telemetry::{events, metrics::Cut},
};
use axum::{Router, extract::ConnectInfo, http::header, response::Response};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may take for a request's head, counted from the accept; so it also ends connections
/// that say nothing.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
pub(super) const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// How long a connection may live, whatever it does: a client that stops reading is cut by it.
pub const CONNECTION_MAX_AGE: Duration = Duration::from_mins(5);
/// What has no end of its own.
const EVENTS: &str = "text/event-stream";
/// How long open requests may take to end at a shutdown.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the loop rests after the system refused a connection (descriptors are used up).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the loop goes round though nobody asks, for its watchdog.
const ROUND: Duration = Duration::from_secs(1);

/// Serves the port until `shutdown`, then ends the open requests within two seconds.
pub async fn serve(bound: Bound, state: AdminState, shutdown: CancellationToken) {
    tracing::info!(
        event = events::ADMIN_LISTENING,
        listen = %bound.local_addr(),
        "The admin port is open"
    );
    if !bound.local_addr().ip().is_loopback() && !state.access.needs_token() {
        tracing::info!(
            event = events::ADMIN_WITHOUT_TOKEN,
            "Other machines see health and metrics alone: admin.token_file isn't set"
        );
    }
    let sessions = Arc::clone(&state.sessions);
    let feed = Arc::clone(&state.metrics.feed);
    let cuts = Cuts(state.metrics.admin_cuts());
    let mut tending = pin!(sessions.tend());
    let router = router(state);
    let (mut open, places) = (FuturesUnordered::new(), Places::default());
    let mut newcomer: Option<(TcpStream, SocketAddr)> = None;
    loop {
        supervise::step();
        let mut again = ROUND;
        if let Some((stream, peer)) = newcomer.take() {
            match places.admit(Instant::now()) {
                Ok(()) => {
                    let stream = Watched { stream, place: places.take(peer.ip()) };
                    open.push(cut_if_old(stream, peer, &router, (&cuts, &shutdown)));
                }
                Err(wait) => (newcomer, again) = (Some((stream, peer)), wait),
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(again) => {}
            () = places.asked(), if newcomer.is_some() => {}
            accepted = bound.listener.accept(), if newcomer.is_none() => match accepted {
                Ok(came) => newcomer = Some(came),
                Err(error) => refused(&error).await,
            },
            Some(()) = open.next() => {}
            () = &mut tending => {}
        }
    }
    // What would go on for as long as somebody listens.
    feed.close();
    drop(bound);
    // Whoever isn't done by then is cut off.
    timeout(DRAIN_TIMEOUT, open.for_each(|()| async {})).await.ok();
    sessions.close().await;
}

async fn refused(error: &io::Error) {
    tracing::warn!(
        event = events::ADMIN_ACCEPT_FAILED,
        error.message = %error,
        "A connection to the admin port was not taken"
    );
    sleep(ACCEPT_PAUSE).await;
}

/// One connection, for as long as one may last. A panic in a route ends it too, and is logged by the panic hook.
pub(super) async fn cut_if_old(
    stream: Watched,
    peer: SocketAddr,
    router: &Router,
    (cuts, shutdown): (&Cuts, &CancellationToken),
) {
    let lived = connection(stream, peer, router, (cuts, shutdown));
    let lived = AssertUnwindSafe(timeout(CONNECTION_MAX_AGE, lived)).catch_unwind();
    if let Ok(Err(_)) = lived.await {
        cuts.cut(Cut::TooOld, peer.ip());
    }
}

/// One connection to its end. What a client does wrong ends its own connection.
async fn connection(
    stream: Watched,
    peer: SocketAddr,
    router: &Router,
    (cuts, shutdown): (&Cuts, &CancellationToken),
) {
    let [place, asked, answered] = [(); 3].map(|()| Arc::clone(&stream.place));
    let ends = Ends(shutdown.clone());
    let with_peer = move |mut request: hyper::Request<hyper::body::Incoming>| {
        asked.asked();
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        extensions.insert(Arc::clone(&asked));
        extensions.insert(ends.clone());
        request
    };
    let noted = move |response: Response| {
        let kind = response.headers().get(header::CONTENT_TYPE);
        answered.answered(kind.is_some_and(|kind| kind == EVENTS));
        response
    };
    let service = router.clone().map_request(with_peer).map_response(noted);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = pin!(served);
    loop {
        let told = place.leave().cancelled_owned();
        tokio::select! {
            // What has come is read before that is looked at.
            biased;
            ended = served.as_mut() => return cuts.ended(ended, peer.ip()),
            () = told => if place.leaves() { return cuts.cut(Cut::Displaced, peer.ip()) },
            () = shutdown.cancelled() => {
                served.as_mut().graceful_shutdown();
                return cuts.ended(served.await, peer.ip());
            }
        }
    }
}
