//! How long a client may take for a batch, on paused time: by the line, for all of it, and where it was refused.

use super::*;
use axum::{http::StatusCode, response::IntoResponse};
use futures::{StreamExt, stream};
use std::convert::Infallible;
use tokio::time::sleep;

const LINE: &[u8] = b"{\"kind\": \"waits\"}\n";

/// The jobs of a body of these pieces, each so long after the one before, that has no end.
fn coming(pieces: &[&[u8]], each: Duration) -> Jobs {
    let pieces: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    let pieces = stream::iter(pieces.into_iter().cycle()).then(move |piece| async move {
        sleep(each).await;
        Ok::<_, Infallible>(piece)
    });
    Jobs::of(Body::from_stream(pieces))
}

/// How many jobs came, and what was said when that was over.
async fn taken(jobs: &mut Jobs) -> (u32, StatusCode) {
    let mut came = 0;
    loop {
        match jobs.next().await {
            Ok(next) => came += u32::from(next.is_some()),
            Err(refusal) => return (came, refusal.into_response().status()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_has_five_seconds_for_a_line_and_a_minute_for_all_of_them() {
    const CASES: [(&[&[u8]], u64, u32, u64); 5] = [
        // As slow as may be, line by line.
        (&[LINE], 4500, 13, 60),
        (&[LINE], 5500, 0, 5),
        // Something comes each second, and no line of it.
        (&[b" "], 1000, 0, 5),
        (&[LINE, LINE, b"{", b" ", b" ", b" ", b" ", b" "], 1000, 2, 7),
        // Empty lines are lines, and none that anybody needs.
        (&[b"\n"], 4500, 0, 60),
    ];
    for (pieces, each_ms, jobs, after_seconds) in CASES {
        let began = Instant::now();
        let mut coming = coming(pieces, Duration::from_millis(each_ms));
        let ended = taken(&mut coming).await;
        assert_eq!(ended, (jobs, StatusCode::REQUEST_TIMEOUT), "{each_ms} {pieces:?}");
        assert_eq!(began.elapsed().as_secs(), after_seconds, "{each_ms} {pieces:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_client_sends_is_passed_over_for_a_second_a_line_and_no_longer_than_the_rest()
 {
    for (each_ms, after_seconds) in [(2000, 1), (700, 60)] {
        let began = Instant::now();
        coming(&[LINE], Duration::from_millis(each_ms)).pass_over().await;
        assert_eq!(began.elapsed().as_secs(), after_seconds, "{each_ms}");
    }
}

#[tokio::test]
async fn bytes_are_bounded_also_where_they_are_no_jobs() {
    let mut empty = vec![b' '; 1 << 20];
    empty.push(b'\n');
    let mut coming = coming(&[&empty], Duration::ZERO);
    assert_eq!(taken(&mut coming).await, (0, StatusCode::PAYLOAD_TOO_LARGE));
    let read = coming.lines.bytes();
    assert!(read > BODY_MAX_BYTES && read <= BODY_MAX_BYTES + empty.len() as u64, "{read}");
    // Nor are they read on.
    coming.pass_over().await;
    assert_eq!(coming.lines.bytes(), read);
}
