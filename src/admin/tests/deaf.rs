//! Clients that ask and don't read what they are told.

use super::*;
use nix::sys::socket::{setsockopt, sockopt};

/// What the kernel holds of a connection on either side: far less than the long answer.
const BUFFER: usize = 4096;

#[rstest]
#[case::a_short_one("/metrics")]
// Half a megabyte, which nobody takes off the port.
#[case::a_long_one("/openapi.json")]
#[tokio::test]
async fn clients_that_never_read_their_answer_leave_the_port_answering(#[case] path: &str) {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    // Accepted connections have what the listener has.
    setsockopt(&bound.listener, sockopt::SndBuf, &BUFFER).unwrap();
    served_at(bound, state(), async |at| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut deaf = Vec::new();
        for _ in 0..2 * PLACES_MAX {
            let mut stream = TcpStream::connect(at).await.unwrap();
            setsockopt(&stream, sockopt::RcvBuf, &BUFFER).unwrap();
            stream.write_all(request.as_bytes()).await.ok();
            deaf.push(stream);
        }
        assert_eq!(status(&get(at, "/health/live", "").await), 200);
        // It waits for a turn, and until one of the deaf has to leave it is told to come again.
        while status(&get(at, "/version", "").await) != 200 {}
        drop(deaf);
    })
    .await;
}
