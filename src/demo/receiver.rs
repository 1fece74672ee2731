//! A receiver of webhooks of the demo's own, so that its http jobs have somewhere to go.
//!
//! It answers by the path: `/orders` takes everything, `/busy` asks each job to come back once, and
//! whatever `/gone` was is there no more. It lives in one future, beside the daemon.

use futures::{StreamExt, stream::FuturesUnordered};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpStream};

/// An open port that answers while it is served.
pub(super) struct Receiver {
    listener: std::net::TcpListener,
    /// Where.
    pub(super) address: SocketAddr,
}

impl Receiver {
    /// Opens any free port of this machine's own.
    pub(super) fn open() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Answers for as long as it is polled.
    pub(super) async fn serve(self) -> io::Result<Infallible> {
        let listener = TcpListener::from_std(self.listener)?;
        // Jobs that were asked to come back.
        let asked = RefCell::new(BTreeSet::new());
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => connections.push(connection(accepted?.0, &asked)),
                Some(()) = connections.next() => {}
            }
        }
    }
}

async fn connection(stream: TcpStream, asked: &RefCell<BTreeSet<String>>) {
    let service = service_fn(async |request| Ok::<_, Infallible>(answer(&request, asked)));
    // What becomes of a connection is the daemon's to tell.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

fn answer(request: &Request<Incoming>, asked: &RefCell<BTreeSet<String>>) -> Response<String> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let id = header("webhook-id").unwrap_or_default();
    let answer = Response::builder();
    let answer = match request.uri().path() {
        "/busy" if asked.borrow_mut().insert(id.to_owned()) => answer
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header("Retry-After", "1")
            .body("come back in a second".into()),
        "/gone" => {
            answer.status(StatusCode::GONE).body("there is no such customer any more".into())
        }
        _ => answer.body(format!(r#"{{"received": "{}"}}"#, id.escape_default())),
    };
    answer.unwrap_or_default()
}
