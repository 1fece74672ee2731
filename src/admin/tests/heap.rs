//! Heap profiles in a program whose allocator isn't jemalloc, as this one's isn't.

use super::*;
use rstest::rstest;

#[rstest]
#[case::kept("GET", "heap")]
#[case::allocated("GET", "allocs?seconds=1")]
#[case::switched_on("POST", "heap/activate")]
#[case::switched_off("POST", "heap/deactivate")]
#[tokio::test]
async fn without_jemalloc_there_are_none_and_it_says_so(#[case] method: &str, #[case] path: &str) {
    let head = format!(
        "{method} /debug/pprof/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = served(state(), async |at| send(at, head.as_bytes()).await).await;
    assert_eq!((status(&answer), header(&answer, "x-go-pprof")), (501, Some("1")), "{answer}");
    assert!(body(&answer).contains("jemalloc, which isn't this program's allocator"), "{answer}");
}
