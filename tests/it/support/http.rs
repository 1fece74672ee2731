//! One request to an admin port: status and body, nothing more.
//!
//! Spelled out on a socket, so that the tests ask the port as a probe does and not through the
//! library that serves it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest that an answer from memory may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest that an answer may take for which something has to be done first.
const WORK_LIMIT: Duration = Duration::from_mins(2);

/// What came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whose name is in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a whole request of HTTP/1.0, and takes the answer however long it has to be worked for.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer =
        timeout(WORK_LIMIT, exchange).await.expect("an answer in time").expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), head, body: answer[end + 4..].to_vec() }
}

/// Asks for a path and gives the status and the body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (head, body) = get_as(address, path, "*/*").await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("an answer has a status"), body)
}

/// Asks for a path in a format and gives the head and the body.
pub(crate) async fn get_as(address: SocketAddr, path: &str, accept: &str) -> (String, String) {
    let asked = timeout(LIMIT, exchange(address, path, accept)).await;
    let answer = asked.unwrap_or_else(|_| panic!("{path} wasn't answered within {LIMIT:?}"));
    let answer = answer.unwrap_or_else(|error| panic!("{path} can't be asked for: {error}"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn exchange(address: SocketAddr, path: &str, accept: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the body comes in one piece and the connection ends with it.
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
