//! A receiver of requests on a socket of its own, well-behaved or not.
//!
//! Spelled out on the socket: what is tested is what crosses the wire, and most of what a hostile
//! receiver does no server library would do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// The request line and the headers.
    pub(crate) head: String,
    /// What followed them.
    pub(crate) body: String,
    /// On which connection, from 0.
    pub(crate) connection: usize,
}

impl Request {
    /// The values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.all(name)[..] {
            [value] => value,
            ref values => panic!("{name} is there {} times in {}", values.len(), self.head),
        }
    }

    /// Reads one request; nothing where the connection ended before it.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).expect("a head is ASCII");
        let mut request = Self { head, ..Self::default() };
        let mut body = vec![0; request.header("content-length").parse().expect("a length")];
        stream.read_exact(&mut body).await.ok()?;
        request.body = String::from_utf8(body).expect("JSON is UTF-8");
        Some(request)
    }
}

/// It listens until it is dropped.
pub(crate) struct Receiver {
    /// Where.
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Ended when the receiver is dropped, with all its connections.
    _task: JoinSet<()>,
}

impl Receiver {
    /// Answers each request with this text, and keeps the connection.
    pub(crate) async fn answering(
        answer: impl Fn(&Request) -> String + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::with(move |mut stream, requests, connection| {
            let answer = answer.clone();
            async move {
                while let Some(mut request) = Request::read(&mut stream).await {
                    request.connection = connection;
                    let text = answer(&request);
                    requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await
    }

    /// Does this with each connection.
    pub(crate) async fn doing<F>(deed: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(move |stream, requests, connection| {
            // What counts is that somebody connected.
            let request = Request { connection, ..Request::default() };
            requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            deed(stream)
        })
        .await
    }

    async fn with<F>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<Request>>>, usize) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let seen = requests.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { break };
                connections.spawn(serve(stream, seen.clone(), number));
            }
        });
        Self { address, requests, _task: task }
    }

    /// What came so far; of a receiver that only does something, the connections.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The URL of a path of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// An answer with this status line, these header lines and this body.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let headers = [&[&*format!("HTTP/1.1 {status}")], headers].concat().join("\r\n");
    format!("{headers}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Writes until the other side is gone.
pub(crate) async fn flood(stream: &mut (impl AsyncWrite + Unpin), what: &[u8]) {
    while stream.write_all(what).await.is_ok() {}
}
