//! How requests leave this daemon, whoever sends them: TLS with built-in authorities, HTTP/2 where the other side
//! offers it, and nothing followed, no redirect and no proxy of the environment.
//!
//! A library speaks HTTP and keeps connections. Whoever sends says which addresses may be reached, how long
//! anything may take, and who starts the tasks that the library asks for.

mod connector;
mod resolver;

pub(crate) use connector::is_late;
pub(crate) use resolver::Resolver;

use connector::Connector;
use hyper::{
    Request,
    body::Body,
    header::{HeaderValue, USER_AGENT},
};
use hyper_util::{client::legacy, rt::TokioTimer};
use rustls::pki_types::CertificateDer;
use std::{error::Error, fmt, pin::Pin, sync::Arc, time::Duration};

pub(crate) use hyper::body::Incoming;
pub(crate) use legacy::ResponseFuture;

/// An HTTP/2 connection under way from which nothing comes for the first time is asked for a sign of life,
/// and given up where none comes within the second: requests share it, and nothing else would end it.
const PING_AFTER: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("legwork/", env!("CARGO_PKG_VERSION")));

/// What the library wants to be run: a connection for as long as it is there, and what a request leaves to it.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Starts it.
pub(crate) type Start = Arc<dyn Fn(Work) + Send + Sync>;

/// What one who sends asks of connections.
#[derive(Clone)]
pub(crate) struct Terms<'a> {
    /// Who is trusted besides the public authorities.
    pub(crate) authorities: &'a [CertificateDer<'static>],
    /// Who says what a name stands for, and whether that may be reached.
    pub(crate) resolver: Resolver,
    /// Longest for look-up, TCP and TLS together.
    pub(crate) connect_timeout: Duration,
    /// How long a connection is kept that nobody uses.
    pub(crate) idle: Duration,
    /// Most of those that are kept.
    pub(crate) idle_max: usize,
    /// Most that the headers of an HTTP/2 answer may take, in bytes.
    pub(crate) headers_max_bytes: u32,
}

/// Sends requests with such bodies.
#[derive(Clone)]
pub(crate) struct Client<Sent>(legacy::Client<Connector, Sent>);

impl<Sent> Client<Sent>
where
    Sent: Body + Send + Unpin + 'static,
    Sent::Data: Send,
    Sent::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(crate) fn new(terms: &Terms<'_>, start: Start) -> Self {
        let connector = connector::of(terms);
        let client = legacy::Client::builder(Starting(start))
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(terms.idle)
            .pool_max_idle_per_host(terms.idle_max)
            .http2_max_header_list_size(terms.headers_max_bytes)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(connector);
        Self(client)
    }

    /// Sends it; what comes is the head of the answer. Dropped, it takes its HTTP/1.1 connection along.
    pub(crate) fn send(&self, mut request: Request<Sent>) -> ResponseFuture {
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        self.0.request(request)
    }
}

impl<Sent> fmt::Debug for Client<Sent> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The library's way to ask for a task.
#[derive(Clone)]
struct Starting(Start);

impl hyper::rt::Executor<Work> for Starting {
    fn execute(&self, work: Work) {
        (self.0)(work);
    }
}
