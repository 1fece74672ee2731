//! The port on real sockets, as probes, scrapers and hostile clients meet it.

mod asked;
mod cut;
mod deaf;
mod described;
mod examples;
mod golden;
mod headers;
mod heap;
mod parameters;
mod reloaded;
mod schema;
mod state;
mod tasks;
mod walked;

use self::state::{knowing, of_a_file, state};
use super::{
    connection::{DRAIN_TIMEOUT, HEAD_MAX_BYTES, HEAD_TIMEOUT},
    places::PLACES_MAX,
    *,
};
use crate::{
    config::{self, AdminTokens},
    telemetry::{
        health::{Health, Phase},
        metrics::Metrics,
    },
};
use rstest::rstest;
use std::{cell::Cell, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longer than any limit of the port, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves while `client` talks, then shuts down and waits for the end.
async fn served<F: Future>(state: AdminState, client: impl FnOnce(SocketAddr) -> F) -> F::Output {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    served_at(bound, state, client).await
}

async fn served_at<F: Future>(
    bound: Bound,
    state: AdminState,
    client: impl FnOnce(SocketAddr) -> F,
) -> F::Output {
    let address = bound.local_addr();
    let shutdown = CancellationToken::new();
    let talk = async {
        let output = timeout(PATIENCE, client(address)).await.unwrap();
        shutdown.cancel();
        output
    };
    tokio::join!(serve(bound, state, shutdown.clone()), talk).1
}

/// Sends bytes and reads until the port closes.
async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A port that refuses a long head may close before all of it is sent.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    send(address, head.as_bytes()).await
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[rstest]
#[case::traversal("/../../etc/passwd")]
#[case::encoded("/%2e%2e/%2e%2e/etc/passwd")]
#[case::under_health("/health/../metrics")]
#[case::nul("/health/live%00")]
#[case::double_slash("//health/live")]
#[case::encoded_slash("/..%2f..%2fetc/passwd")]
#[case::no_utf8("/%ff%fe")]
#[case::slash_at_the_end("/metrics/")]
#[case::run_now("/api/v1/jobs/1/run-now")]
#[case::dashboard("/")]
#[case::unknown("/api/v1/nothing")]
#[tokio::test]
async fn a_path_without_a_route_is_not_found(#[case] path: &str) {
    let answer = served(state(), async |at| get(at, path, "").await).await;
    assert_eq!(status(&answer), 404);
    assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!((&problem["status"], &problem["title"]), (&404.into(), &"Not Found".into()));
}

#[rstest]
#[case::wrong_method(
    "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    405
)]
#[case::large_body(
    "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 65537\r\n\r\n",
    413
)]
#[case::garbage("\u{1}\u{2}\u{3} garbage\r\n\r\n", 400)]
#[case::tls_hello("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n", 400)]
// Closed without a word.
#[case::http_2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0)]
#[case::bytes_that_no_path_has("GET /\u{ff}\u{fe} HTTP/1.1\r\nHost: localhost\r\n\r\n", 404)]
#[case::two_lengths("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400)]
#[tokio::test]
async fn what_is_wrong_is_refused_by_its_status(#[case] request: &str, #[case] code: u16) {
    let answer = served(state(), async |at| send(at, request.as_bytes()).await).await;
    assert_eq!(status(&answer), code, "{answer}");
}

#[rstest]
#[case::one_long_header(format!("X-Long: {}\r\n", "x".repeat(HEAD_MAX_BYTES)))]
#[case::many_headers("X-Many: 1\r\n".repeat(10_000))]
#[tokio::test]
async fn a_head_beyond_the_limit_is_refused(#[case] headers: String) {
    let answer = served(state(), async |at| get(at, "/health/live", &headers).await).await;
    assert!(matches!(status(&answer), 431 | 0), "{answer}");
    let path = format!("/health/live?{headers}", headers = headers.replace(['\r', '\n', ' '], ""));
    let answer = served(state(), async |at| get(at, &path, "").await).await;
    assert!(matches!(status(&answer), 414 | 431 | 0), "{answer}");
}

/// What a proxy in front might take for one request and the port for two, or the other way round.
#[tokio::test]
async fn a_request_that_is_smuggled_in_anothers_body_is_not_answered() {
    const SMUGGLED: &str = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = format!(
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
    );
    let short = format!(
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n{SMUGGLED}"
    );
    for request in [chunked, short] {
        let answers = served(state(), async |at| send(at, request.as_bytes()).await).await;
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{answers}");
        assert!(!answers.contains("legwork"), "{answers}");
    }
}

/// A page from elsewhere in a browser on this machine: by a name of its own that it has bound to 127.0.0.1,
/// or across origins.
#[tokio::test]
async fn a_page_of_somebody_else_reads_and_changes_nothing() {
    served(state(), async |at| {
        for path in ["/metrics", "/version", "/health/live", "/nothing"] {
            let rebound =
                format!("GET {path} HTTP/1.1\r\nHost: evil.example.com:9464\r\n\r\n");
            let answer = send(at, rebound.as_bytes()).await;
            assert_eq!(status(&answer), 421, "{answer}");
            assert!(body(&answer).contains("admin.allow_hosts") && !answer.contains("version"));
            for method in ["OPTIONS", "POST", "GET"] {
                let across = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example.com\r\n\
                     Access-Control-Request-Method: POST\r\nContent-Length: 0\r\n\r\n"
                );
                let answer = send(at, across.as_bytes()).await.to_ascii_lowercase();
                assert!(!answer.contains("access-control-allow"), "{answer}");
                assert!(matches!(status(&answer), 403..=405) || method == "GET" && status(&answer) == 200);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn clients_that_dribble_their_head_or_say_nothing_are_cut() {
    served(state(), async |at| {
        let started = Instant::now();
        let mut silent = TcpStream::connect(at).await.unwrap();
        let mut slow = TcpStream::connect(at).await.unwrap();
        let dribble = async {
            for byte in b"GET / HTTP/1.1\r\n".iter().chain(std::iter::repeat(&b'x')) {
                let mut answer = [0];
                // A byte each 100 ms until the port answers or closes.
                let sent = slow.write_all(&[*byte]).await;
                let cut = timeout(Duration::from_millis(100), slow.read(&mut answer)).await;
                if sent.is_err() || cut.is_ok() {
                    return;
                }
            }
        };
        let mut said = Vec::new();
        let (silence, ()) = tokio::join!(silent.read_to_end(&mut said), dribble);
        let took = started.elapsed();
        assert!(silence.is_err() || !said.starts_with(b"HTTP/1.1 200"));
        assert!((HEAD_TIMEOUT..2 * HEAD_TIMEOUT).contains(&took), "{took:?}");
    })
    .await;
}

/// Half a head.
const HALF: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n";

async fn half_sent(at: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // It may have had to leave already.
    stream.write_all(HALF).await.ok();
    stream
}

/// Waits until the port closes this connection.
async fn is_left(mut stream: TcpStream) {
    stream.read_to_end(&mut Vec::new()).await.ok();
}

/// Whether the port has closed this connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    timeout(Duration::ZERO, stream.read(&mut [0])).await.is_ok()
}

#[tokio::test]
async fn a_probe_gets_the_place_of_the_longest_of_many_half_sent_heads() {
    served(state(), async |at| {
        let mut slow = Vec::new();
        for _ in 0..PLACES_MAX {
            slow.push(half_sent(at).await);
        }
        assert_eq!(status(&get(at, "/health/live", "").await), 200);
        let mut closed = Vec::new();
        for stream in &mut slow {
            closed.push(is_closed(stream).await);
        }
        assert!(closed[0], "the first that came gave its place up");
        // Were all closed, the probe would have waited until their time was over.
        assert_eq!(closed.iter().filter(|closed| **closed).count(), 1, "{closed:?}");
    })
    .await;
}

#[tokio::test]
async fn probes_are_answered_beside_200_slow_clients_that_come_again_and_again() {
    const PROBES: usize = 10;
    served(state(), async |at| {
        // How many had to leave before their time was up, which nobody would without a probe that wants in.
        let gave_way = Cell::new(0);
        let again = async || {
            loop {
                let came = Instant::now();
                // Closed by the port, it comes back.
                is_left(half_sent(at).await).await;
                gave_way.set(gave_way.get() + usize::from(came.elapsed() < HEAD_TIMEOUT));
            }
        };
        let probe = async {
            // Before all places are taken nobody has to leave, and nothing tells of the first who does.
            while gave_way.get() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..PROBES {
                assert_eq!(status(&get(at, "/health/live", "").await), 200);
            }
        };
        let slow = futures::future::join_all((0..200).map(|_| again()));
        tokio::select! { () = probe => {}, _ = slow => unreachable!() };
        assert!(gave_way.get() >= PROBES, "{gave_way:?}");
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_a_thousand_connections_leaves_the_port_answering() {
    let answer = served(state(), async |at| {
        // Beyond the places and the kernel's backlog a connect isn't even answered.
        let connect = || timeout(Duration::from_secs(1), TcpStream::connect(at));
        let flood = futures::future::join_all((0..1000).map(|_| connect())).await;
        let open: Vec<_> = flood.into_iter().flatten().flatten().collect();
        assert!(open.len() > PLACES_MAX, "{}", open.len());
        // All of them are still there.
        let answer = get(at, "/health/live", "").await;
        drop(open);
        answer
    })
    .await;
    assert_eq!(status(&answer), 200);
}

/// A hundred such clients kept a probe waiting for five seconds.
#[tokio::test]
async fn of_requests_that_are_sent_ahead_the_first_is_answered_and_no_other() {
    served(state(), async |at| {
        let ahead = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        let answers = send(at, ahead.as_bytes()).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1);
        assert_eq!(header(&answers, "connection"), Some("close"));
    })
    .await;
}

#[tokio::test]
async fn metrics_come_as_prometheus_reads_them_and_count_by_route() {
    let answers = served(state(), async |at| {
        get(at, "/health/live?verbose", "").await;
        get(at, "/no/such/path", "").await;
        get(at, "/metrics", "").await
    })
    .await;
    assert_eq!(status(&answers), 200);
    let kind = Some("text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(header(&answers, "content-type"), kind);
    let count = |path: &str, status: u16| {
        let labels = format!("{{method=\"GET\",path=\"{path}\",status=\"{status}\"}} 1\n");
        answers.contains(&format!("legwork_http_requests_total{labels}"))
    };
    assert!(count("/health/live", 200) && count("other", 404), "{answers}");
    assert!(
        answers.contains("legwork_http_requests_in_flight{method=\"GET\",path=\"/metrics\"} 1\n")
    );
    assert!(!answers.contains("no/such"));
}

#[tokio::test]
async fn metrics_come_as_open_metrics_to_whom_asks_for_them() {
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let answer = served(state(), async |at| get(at, "/metrics", accept).await).await;
    let kind = Some("application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!((status(&answer), header(&answer, "content-type")), (200, kind));
    assert_eq!(header(&answer, "vary"), Some("Accept"), "a cache keeps them apart");
    assert!(answer.ends_with("\n# EOF\n"), "{answer}");
}

#[rstest]
#[case::harmless("req-1_A.b", true)]
#[case::space("a b", false)]
#[case::quote("a\"b", false)]
#[case::escape("a\u{1b}[31m", false)]
#[case::empty("", false)]
#[tokio::test]
async fn only_a_harmless_request_id_comes_back(#[case] id: &str, #[case] taken: bool) {
    let line = format!("X-Request-ID: {id}\r\n");
    let answer = served(state(), async |at| get(at, "/health/live", &line).await).await;
    let Some(back) = header(&answer, "x-request-id") else {
        assert!(status(&answer) == 400 && !taken, "hyper itself refuses control characters");
        return;
    };
    assert_eq!(back == id, taken, "{back}");
    assert!(taken || back.len() == 32);
}

#[tokio::test]
async fn a_request_id_that_is_too_long_is_replaced() {
    let line = format!("X-Request-ID: {}\r\n", "a".repeat(129));
    let answer = served(state(), async |at| get(at, "/health/live", &line).await).await;
    assert_eq!(header(&answer, "x-request-id").map(str::len), Some(32));
}

#[tokio::test]
async fn readiness_names_its_reasons_and_liveness_stands_while_the_database_is_down() {
    let state = state();
    let pool = state.health.check("pool");
    let health = Arc::clone(&state.health);
    served(state, async |at| {
        let starting = get(at, "/health/startup", "").await;
        assert_eq!(
            (status(&starting), body(&starting)),
            (503, "[-]phase failed: the daemon is starting\nstarting\n")
        );
        health.enter(Phase::Ready);
        pool.failing("connection refused");
        let ready = get(at, "/readyz", "").await;
        assert_eq!(
            (status(&ready), body(&ready)),
            (503, "[-]pool failed: connection refused\nnot ready\n")
        );
        let json = get(at, "/health/ready", "Accept: application/json\r\n").await;
        let json: serde_json::Value = serde_json::from_str(body(&json)).unwrap();
        assert_eq!(json["checks"]["pool"]["reason"], "connection refused");
        assert_eq!(json["status"], "not ready");
        assert_eq!(status(&get(at, "/health/live", "").await), 200);
        pool.ok();
        let verbose = get(at, "/health/ready?verbose", "").await;
        assert_eq!((status(&verbose), body(&verbose)), (200, "[+]phase ok\n[+]pool ok\nready\n"));
        health.enter(Phase::Draining);
        assert_eq!(
            body(&get(at, "/health/ready", "").await),
            "[-]phase failed: the daemon is draining\nnot ready\n"
        );
        assert_eq!(body(&get(at, "/livez", "").await), "live\n");
        assert_eq!(body(&get(at, "/health/startup", "").await), "started\n");
    })
    .await;
}

#[tokio::test]
async fn what_people_should_look_at_is_said_and_makes_nothing_unready() {
    let state = state();
    let health = Arc::clone(&state.health);
    health.enter(Phase::Ready);
    health.warn("listener", Some("it polls".into()));
    health.warn("configuration", Some("it wasn't reloaded".into()));
    served(state, async |at| {
        let text = get(at, "/health/ready", "").await;
        let said = "[!]configuration: it wasn't reloaded\n[!]listener: it polls\nready\n";
        assert_eq!((status(&text), body(&text)), (200, said));
        let json = get(at, "/health/ready", "Accept: application/json\r\n").await;
        let json: serde_json::Value = serde_json::from_str(body(&json)).unwrap();
        assert_eq!(json["warnings"]["listener"], "it polls");
        health.warn("configuration", None);
        let text = get(at, "/health/ready", "").await;
        assert_eq!(body(&text), "[!]listener: it polls\nready\n");
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_that_hangs_fails_liveness() {
    let metrics = Arc::new(Metrics::new(&config::Metrics { max_kinds: 1 }));
    let state = AdminState { health: Health::new(Duration::ZERO), metrics, ..state() };
    let answer = served(state, async |at| get(at, "/health/live", "").await).await;
    assert_eq!(status(&answer), 503);
    assert!(body(&answer).starts_with("[-]supervisor failed: "), "{answer}");
}

#[tokio::test]
async fn the_version_is_told_on_the_machine_itself() {
    let answer = served(state(), async |at| get(at, "/version", "").await).await;
    let told: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["commit"], env!("LEGWORK_COMMIT"));
}

#[tokio::test]
async fn shutdown_ends_idle_and_silent_connections_in_bounded_time() {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let at = bound.local_addr();
    let shutdown = CancellationToken::new();
    let serving = serve(bound, state(), shutdown.clone());
    let client = async {
        let idle = TcpStream::connect(at).await.unwrap();
        let mut halfway = TcpStream::connect(at).await.unwrap();
        halfway.write_all(b"GET /health/live HTT").await.unwrap();
        shutdown.cancel();
        (Instant::now(), idle, halfway)
    };
    let ((), (cancelled, mut idle, _halfway)) =
        timeout(PATIENCE, async { tokio::join!(serving, client) }).await.unwrap();
    assert!(cancelled.elapsed() < DRAIN_TIMEOUT + Duration::from_secs(1));
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(at).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_port_in_use_names_the_key_to_change() {
    let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let error = bind(bound.local_addr()).await.unwrap_err();
    assert!(matches!(error, AdminError::InUse { .. }));
    assert!(error.to_string().starts_with("admin.listen: 127.0.0.1:"), "{error}");
}

#[rstest]
#[case::of_no_machine([192, 0, 2, 1].into())]
#[case::v6_of_no_machine(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())]
#[tokio::test]
async fn an_address_that_cannot_be_had_names_the_key_to_change(#[case] address: std::net::IpAddr) {
    let error = bind(SocketAddr::from((address, 0))).await.unwrap_err();
    assert!(matches!(error, AdminError::Bind { .. }));
    assert!(error.to_string().starts_with("admin.listen: can't listen on "), "{error}");
}
