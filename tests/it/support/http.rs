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
