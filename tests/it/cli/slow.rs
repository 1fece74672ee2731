//! What a profile's answer may be like: slow, packed, broken off. The server is the test's own, and speaks as a daemon does.

use super::{Ran, command, finished};
use flate2::{Compression, write::GzEncoder};
use std::{collections::BTreeSet, fs, io::Write as _, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

const TRACE: &str =
    r#"{"otherData":{"duration_ms":1000,"lost_events":0},"traceEvents":[{"name":"poll"}]}"#;

/// How a server answers whoever asks it.
#[derive(Clone, Copy)]
struct Answers {
    /// What it adds to the head.
    head: &'static str,
    /// Bytes of the body's end that it keeps to itself.
    kept: usize,
}

const WHOLE: Answers = Answers { head: "", kept: 0 };

async fn request(stream: &mut TcpStream) -> String {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut asked).await.expect("a request");
        assert!(read > 0, "a request has an end");
    }
    String::from_utf8(asked).expect("UTF-8")
}

/// Answers in sixteen pieces, packed where that is asked for.
async fn answer(mut stream: TcpStream, Answers { head, kept }: Answers) {
    let asked = request(&mut stream).await;
    assert!(asked.contains("\r\nAccept-Encoding: gzip\r\n"), "{asked}");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(TRACE.as_bytes()).expect("packed");
    let body = packed.finish().expect("packed");
    let head = format!("HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n{head}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    for piece in body[..body.len() - kept].chunks(body.len().div_ceil(16)) {
        // No wait for a fact: that pieces come one by one is what the line is slow by.
        sleep(Duration::from_millis(20)).await;
        stream.write_all(piece).await.expect("sent");
    }
}

/// Runs `legwork profile` so often at once, beside a server that answers so; the URL stands at its end.
async fn ran(directory: &Path, words: &[&str], answers: Answers, times: usize) -> Vec<Ran> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let serve = async {
        for _ in 0..times {
            let (stream, _) = listener.accept().await.expect("somebody asks");
            answer(stream, answers).await;
        }
    };
    let words = [&["profile"], words, &["--url", &url]].concat();
    let run = || {
        let mut command = command("", &words);
        command.current_dir(directory);
        finished(command, None)
    };
    let runs = futures::future::join_all((0..times).map(|_| run()));
    tokio::join!(runs, serve).0
}

#[tokio::test]
async fn a_trace_that_comes_packed_and_in_pieces_is_written_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = ["trace", "--seconds", "1", "--file", "trace.json"];
    for ran in ran(directory.path(), &words, WHOLE, 1).await {
        assert!(ran.done().stdout.contains(&format!("({} bytes)", TRACE.len())));
    }
    let written = fs::read_to_string(directory.path().join("trace.json")).expect("it is there");
    assert_eq!(written, TRACE);
}

#[tokio::test]
async fn a_trace_that_breaks_off_says_how_much_came_and_writes_nothing() {
    for head in ["", "Content-Length: 1000\r\n"] {
        let directory = tempfile::tempdir().expect("a directory");
        let cut = Answers { head, kept: 4 };
        for ran in ran(directory.path(), &["trace", "--seconds", "1"], cut, 1).await {
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
            assert!(ran.stderr.contains(" stopped sending after "), "{}", ran.stderr);
            assert!(!ran.stderr.contains("answers on"), "it did answer: {}", ran.stderr);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}

#[tokio::test]
async fn profiles_of_one_moment_each_have_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = BTreeSet::new();
    let words = ["trace", "--seconds", "1", "--output", "json"];
    for ran in ran(directory.path(), &words, WHOLE, 4).await {
        let told = ran.done().json();
        files.insert(told["file"].as_str().expect("a file").to_owned());
    }
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let written = fs::read_to_string(directory.path().join(&file)).expect("it is there");
        assert_eq!(written, TRACE, "{file}");
        assert!(file.starts_with("legwork-trace-127.0.0.1-"), "{file}");
    }
}
