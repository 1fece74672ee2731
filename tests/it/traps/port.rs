//! Trap 9: clients that are slow on purpose, at the port of a daemon that works meanwhile.
//!
//! `axum::serve` sets no header timer: each client that sends its head byte by byte would hold a
//! connection for ever, and a few hundred of them the port.

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{command, finished};
use crate::process::{Configuration, SLACK, becomes, enqueue};
use crate::support::{self, Daemon, PATIENCE};

/// The port's documented limit on a head.
const HEAD: Duration = Duration::from_secs(5);
/// Its limit on connections.
const CONNECTIONS: usize = 128;

/// A daemon whose port is tried, and which goes on with its jobs.
fn tried(attack: impl AsyncFnOnce(SocketAddr, &Daemon)) {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let text = Configuration::of(&db.url(), &kinds).text();
        let heard = "[log]\nfilter = 'info,legwork::admin=debug'\n";
        let mut daemon = Daemon::start(&text.replace("[log]\n", heard)).await;
        let address = daemon.admin().await;
        daemon.logged("daemon.started").await;
        attack(address, &daemon).await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the port takes connections")
}

/// Waits until the port has closed this connection; what it had said by then.
async fn closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A port that closes on bytes that it hasn't read resets the connection.
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is closed in time").ok();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn trap_9_a_head_that_comes_byte_by_byte_is_cut_when_its_time_is_over() {
    tried(async |address, _| {
        let began = Instant::now();
        let (mut reading, mut writing) = connect(address).await.into_split();
        let dribble = async {
            for byte in b"GET /health/live HTTP/1.1\r\nX-Slow: ".iter().chain(&[b'x'; 500]) {
                // The attack itself: a byte now and then, for much longer than a head may take.
                sleep(Duration::from_millis(50)).await;
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let mut said = Vec::new();
        let cut = async { timeout(PATIENCE, reading.read_to_end(&mut said)).await.is_ok() };
        let cut = tokio::select! {
            cut = cut => cut,
            () = dribble => unreachable!("it has no end"),
        };
        assert!(cut, "the port still waits for the rest of the head");
        let took = began.elapsed();
        assert!((HEAD..2 * HEAD).contains(&took), "{took:?}");
        assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
    });
}

#[test]
fn trap_9_a_body_is_refused_by_what_it_announces_and_not_read_by_what_it_sends() {
    tried(async |address, daemon| {
        let mut announced = connect(address).await;
        let head =
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n";
        announced.write_all(head.as_bytes()).await.unwrap();
        let answer = closed(&mut announced).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

        let before = resident_mib(daemon);
        let (mut reading, mut writing) = connect(address).await.into_split();
        let head =
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        writing.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
        let flood = async {
            let mut sent = 0_u64;
            while writing.write_all(&chunk).await.is_ok() {
                sent += 1;
            }
            sent
        };
        let mut answer = Vec::new();
        let read = async { reading.read_to_end(&mut answer).await.ok() };
        let both = async { tokio::join!(flood, read) };
        let (chunks, _) = timeout(PATIENCE, both).await.expect("an endless body is cut");
        let grown = resident_mib(daemon).saturating_sub(before);
        // Sockets' buffers take some megabytes before the port closes.
        assert!(chunks < 1000, "{chunks} chunks of 64 KiB were taken");
        assert!(grown < 32, "the daemon grew by {grown} MiB");
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    });
}

#[test]
fn trap_9_a_thousand_half_sent_heads_take_little_memory_and_leave_the_port_answering() {
    tried(async |address, daemon| {
        let before = resident_mib(daemon);
        // Beyond the places and the kernel's backlog a connect isn't even answered.
        let half_sent = async || {
            let connected = timeout(Duration::from_secs(1), TcpStream::connect(address)).await;
            let mut stream = connected.ok()?.ok()?;
            // It may have had to leave already.
            stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: ").await.ok();
            Some(stream)
        };
        let flood = futures::future::join_all((0..1000).map(|_| half_sent())).await;
        let open: Vec<_> = flood.into_iter().flatten().collect();
        assert!(open.len() > CONNECTIONS, "{}", open.len());
        let (status, _) = daemon.get("/health/live").await;
        let grown = resident_mib(daemon).saturating_sub(before);
        drop(open);
        assert_eq!(status, 200);
        assert!(grown < 32, "the daemon grew by {grown} MiB");
    });
}

/// What the process has in memory.
fn resident_mib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid()));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the kernel tells its size") / 1024
}

#[test]
fn trap_9_beyond_many_half_sent_heads_a_probe_gets_the_place_of_the_first() {
    tried(async |address, daemon| {
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = connect(address).await;
            stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: ").await.unwrap();
            slow.push(stream);
        }
        let began = Instant::now();
        let url = format!("http://{address}");
        let probe = command("", &["healthcheck", "--url", &url]);
        let asked = finished(probe, None).await;
        assert_eq!(asked.code, 0, "{}", asked.stderr);
        assert_eq!(closed(&mut slow[0]).await, "");
        let took = began.elapsed();
        assert!(took < HEAD, "it waited until the time of the silent was over: {took:?}");
        let cut = daemon.logged("admin.cut").await;
        assert_eq!(
            (&cut["reason"], &cut["client.address"]),
            (&"displaced".into(), &"127.0.0.1".into())
        );
        for stream in &mut slow[1..] {
            assert!(!closed(stream).await.contains("200 OK"));
        }
        let (_, page) = daemon.get("/metrics").await;
        for (reason, count) in [("displaced", 1), ("head_slow", CONNECTIONS - 1)] {
            let labels = format!("{{reason=\"{reason}\"}} {count}\n");
            let line = format!("legwork_admin_connections_cut_total{labels}");
            assert!(page.contains(&line), "{line}\n{page}");
        }
        assert_eq!(daemon.get("/health/live").await.0, 200);
    });
}

/// Of a daemon as it is started, with `allow_hosts` in its file.
#[test]
fn the_port_answers_by_addresses_by_localhost_and_by_the_names_of_its_file() {
    support::run(async |db| {
        let (url, none) = (db.url(), []);
        let text = Configuration::of(&url, &none).text();
        let listed = "[admin]\nallow_hosts = ['Metrics.example.org']\n";
        let mut daemon = Daemon::start(&text.replace("[admin]\n", listed)).await;
        let address = daemon.admin().await;
        for (host, status) in [
            (address.to_string().as_str(), "200"),
            ("10.1.2.3:9464", "200"),
            ("localhost", "200"),
            ("metrics.example.org:443", "200"),
            ("example.org", "421"),
            ("evil.example.com:9464", "421"),
        ] {
            let mut stream = connect(address).await;
            let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = closed(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
            assert_eq!(answer.contains("legwork_build_info"), status == "200", "{host}");
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}
