//! Who may ask the admin port of a running daemon what: from this machine and by an address that isn't
//! loopback, with and without a token, while tokens are replaced and while somebody guesses.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cli::{command, finished};
use crate::process::{Configuration, SLACK, reload::reload};
use crate::support::{self, Daemon, PATIENCE};

const ADMIN: &str = "tell_tale-admin-0123456789abcdef0123456789";
const OPERATOR: &str = "tell_tale-operator-0123456789abcdef0123456";
const VIEWER: &str = "tell_tale-viewer-0123456789abcdef012345678";
const NEXT: &str = "tell_tale-next-0123456789abcdef0123456789ab";

/// Tokens in files that only their owner may read.
struct Tokens(TempDir);

impl Tokens {
    fn new() -> Self {
        let tokens = Self(tempfile::tempdir().expect("a directory can be made"));
        for (name, token) in
            [("admin", ADMIN), ("operator", OPERATOR), ("viewer", VIEWER), ("next", NEXT)]
        {
            tokens.write(name, token);
        }
        tokens
    }

    fn write(&self, name: &str, token: &str) {
        fs::write(self.0.path().join(name), format!("{token}\n")).expect("it can be written");
        let own = Permissions::from_mode(0o600);
        fs::set_permissions(self.0.path().join(name), own).expect("the file is ours");
    }

    /// `key = ["file", …]`
    fn key(&self, key: &str, names: &[&str]) -> String {
        let paths: Vec<_> =
            names.iter().map(|name| self.0.path().join(name).display().to_string()).collect();
        format!("{key} = {paths:?}\n")
    }
}

/// A file whose port is on every address, with these keys of `[admin]`.
fn file(url: &str, keys: &str) -> String {
    let configuration = Configuration { listen: "0.0.0.0:0", ..Configuration::of(url, &[]) };
    configuration.text().replace("[admin]\n", &format!("[admin]\n{keys}"))
}

/// The daemon's port by loopback and by an address of this machine that isn't.
async fn doors(daemon: &Daemon) -> [SocketAddr; 2] {
    let port = daemon.admin().await.port();
    daemon.logged("daemon.started").await;
    // Nothing is sent: the kernel says by which address it would be.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect("198.51.100.1:9").expect("this machine has an address besides loopback");
    let outside = socket.local_addr().expect("an address").ip();
    assert!(!outside.is_loopback(), "{outside}");
    [IpAddr::V4(Ipv4Addr::LOCALHOST), outside].map(|ip| SocketAddr::new(ip, port))
}

/// Status, and all that came.
async fn ask(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = exchanged(at, path, headers).await.expect("the port answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), answer)
}

/// What comes back, unless the place was needed for another before the request was sent.
async fn exchanged(
    at: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<String> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").expect("a String grows");
    }
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(format!("{request}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// The status for this token in each of its forms, which have to be one.
async fn with(at: SocketAddr, path: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let basic = format!("Basic {}", STANDARD.encode(format!("x:{token}")));
    let [bearer, basic] = [
        ask(at, path, &[("Authorization", &bearer)]).await.0,
        ask(at, path, &[("Authorization", &basic)]).await.0,
    ];
    assert_eq!(bearer, basic, "{path}");
    bearer
}

async fn ended(mut daemon: Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
}

#[test]
fn without_a_token_this_machine_asks_everything_and_others_see_health_and_metrics() {
    support::run(async |db| {
        let daemon = Daemon::start(&file(&db.url(), "")).await;
        let [here, outside] = doors(&daemon).await;
        for path in ["/version", "/openapi.json"] {
            assert_eq!(ask(here, path, &[]).await.0, 200, "{path}");
            assert_eq!(ask(outside, path, &[]).await.0, 404, "{path}");
            assert_eq!(with(outside, path, ADMIN).await, 404, "there is no such token");
            // A proxy on this machine hands on what others ask.
            let others = [("X-Forwarded-For", "203.0.113.7")];
            assert_eq!(ask(here, path, &others).await.0, 404, "{path}");
        }
        for path in ["/health/live", "/livez", "/metrics"] {
            for at in [here, outside] {
                assert_eq!(ask(at, path, &[]).await.0, 200, "{path} at {at}");
            }
        }
        let said = daemon.logged("admin.without_token").await;
        assert!(said["message"].as_str().expect("words").contains("admin.token_file"), "{said}");
        let refused = daemon.metric("legwork_admin_refused_total", &["reason=\"elsewhere\""]).await;
        assert!((refused - 8.0).abs() < f64::EPSILON, "{refused}");
        ended(daemon).await;
    });
}

#[test]
fn with_tokens_everybody_needs_one_and_nothing_shows_them() {
    support::run(async |db| {
        let tokens = Tokens::new();
        let keys = tokens.key("token_file", &["admin"])
            + &tokens.key("operator_token_file", &["operator"])
            + &tokens.key("viewer_token_file", &["viewer"]);
        let daemon = Daemon::start(&file(&db.url(), &keys)).await;
        for at in doors(&daemon).await {
            for path in ["/version", "/openapi.json"] {
                let (status, answer) = ask(at, path, &[]).await;
                assert_eq!(status, 401, "{path} at {at}");
                assert!(answer.contains("www-authenticate: Bearer realm=\"legwork\""), "{answer}");
                assert!(answer.contains("www-authenticate: Basic realm=\"legwork\""), "{answer}");
                for token in [ADMIN, OPERATOR, VIEWER] {
                    assert_eq!(with(at, path, token).await, 200, "{path} at {at}");
                }
                assert_eq!(with(at, path, NEXT).await, 401, "{path} at {at}");
            }
            assert_eq!(with(at, "/nothing", VIEWER).await, 404);
            assert_eq!(ask(at, "/nothing", &[]).await.0, 401, "what there is isn't told");
            for path in ["/health/live", "/livez", "/metrics"] {
                assert_eq!(ask(at, path, &[]).await.0, 200, "{path} at {at}");
                assert_eq!(with(at, path, NEXT).await, 200, "no token is looked at");
            }
        }
        assert_eq!(daemon.count("admin.without_token"), 0);
        let refused = daemon.logged("admin.refused").await;
        assert_eq!(refused["client.address"], "127.0.0.1");
        let said = (refused["reason"].as_str(), refused["http.route"].as_str());
        assert_eq!(said, (Some("no_token"), Some("/version")));
        let roles: Vec<_> = daemon.events().into_iter().map(|line| line["role"].clone()).collect();
        for role in ["admin", "operator", "viewer"] {
            assert!(roles.iter().any(|named| named == role), "{roles:?}");
        }

        let file = daemon.directory().join("legwork.toml").display().to_string();
        let shown =
            finished(command("", &["--config", &file, "config", "show"]), None).await.done();
        assert!(shown.stdout.contains("admin.viewer_token_file"), "{}", shown.stdout);
        let (_, metrics) = daemon.get("/metrics").await;
        let printed = daemon.printed() + &shown.stdout + &shown.stderr + &metrics;
        assert!(!printed.contains("tell_tale"), "{printed}");
        ended(daemon).await;
    });
}

#[test]
fn a_token_is_replaced_without_a_restart_and_a_bad_one_changes_nothing() {
    support::run(async |db| {
        let tokens = Tokens::new();
        let of = |names: &[&str]| file(&db.url(), &tokens.key("token_file", names));
        let daemon = Daemon::start(&of(&["admin"])).await;
        let [here, outside] = doors(&daemon).await;
        let open = async |token| {
            let [one, other] =
                [with(here, "/version", token).await, with(outside, "/version", token).await];
            assert_eq!(one, other);
            one
        };
        assert_eq!((open(ADMIN).await, open(NEXT).await), (200, 401));

        let line = reload(&daemon, &of(&["next", "admin"]), "config.reloaded").await;
        assert_eq!(line["config.changed"], "admin.token_file");
        assert_eq!((open(ADMIN).await, open(NEXT).await), (200, 200));

        reload(&daemon, &of(&["next"]), "config.reloaded").await;
        assert_eq!((open(ADMIN).await, open(NEXT).await), (401, 200));

        // The same file with another token in it, as a secret that is mounted has.
        tokens.write("next", VIEWER);
        let line = reload(&daemon, &of(&["next"]), "config.reloaded").await;
        assert_eq!(line["config.changed"], "admin.token_file");
        assert_eq!((open(NEXT).await, open(VIEWER).await), (401, 200));

        tokens.write("next", "short");
        let line = reload(&daemon, &of(&["next"]), "config.reload_failed").await;
        let why = line["error.message"].as_str().expect("words");
        assert!(why.contains("32 to 512") && !why.contains("short"), "{why}");
        assert_eq!((open(ADMIN).await, open(VIEWER).await), (401, 200));

        reload(&daemon, &file(&db.url(), ""), "config.reloaded").await;
        assert_eq!(ask(here, "/version", &[]).await.0, 200);
        assert_eq!(ask(outside, "/version", &[]).await.0, 404);
        ended(daemon).await;
    });
}

#[test]
fn a_token_that_is_taken_away_while_the_daemon_drains_is_good_for_nothing() {
    support::run(async |db| {
        let (tokens, pool) = (Tokens::new(), db.pool().await);
        let nap = ["[[kind]]\nname = 'nap'\nhandler = 'sleep'\n".to_owned()];
        let of = |names: &[&str], concurrency: u8| {
            let url = db.url();
            let configuration = Configuration::of(&url, &nap);
            let text = configuration.text()
                + &format!("[[queue]]\nname = 'default'\nconcurrency = {concurrency}\n");
            text.replace("[admin]\n", &format!("[admin]\n{}", tokens.key("token_file", names)))
                .replace("grace = '20s'", "grace = '10m'")
        };
        let mut daemon = Daemon::start(&of(&["admin"], 2)).await;
        let here = daemon.admin().await;
        let nap = "INSERT INTO legwork.job (kind, payload) VALUES ('nap', '600')";
        sqlx::query(nap).execute(&pool).await.expect("a job");
        support::eventually("it runs", async || {
            let running = "SELECT EXISTS (SELECT FROM legwork.jobs WHERE state = 'running')";
            sqlx::query_scalar::<_, bool>(running).fetch_one(&pool).await.expect("an answer")
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        daemon.logged("shutdown.phase").await;

        let line = reload(&daemon, &of(&["next"], 3), "config.reloaded").await;
        assert_eq!(line["config.changed"], "admin.token_file");
        let waits = line["config.needs_restart"].as_str().expect("keys");
        assert!(waits.contains("concurrency"), "{waits}");
        let open = async |token| with(here, "/version", token).await;
        assert_eq!((open(ADMIN).await, open(NEXT).await), (401, 200));
        tokens.write("next", "short");
        reload(&daemon, &of(&["next"], 3), "config.reload_failed").await;
        assert_eq!((open(ADMIN).await, open(NEXT).await), (401, 200));

        daemon.signal(Signal::SIGTERM);
        daemon.exit(SLACK).await;
        pool.close().await;
    });
}

#[test]
fn a_thousand_guesses_from_one_address_keep_it_waiting_and_nobody_else() {
    support::run(async |db| {
        let tokens = Tokens::new();
        let daemon = Daemon::start(&file(&db.url(), &tokens.key("token_file", &["admin"]))).await;
        let [here, outside] = doors(&daemon).await;
        let guess = async |number: usize| {
            let token = format!("Bearer guess-{number}-0123456789abcdef0123456789");
            exchanged(outside, "/version", &[("Authorization", &token)]).await.unwrap_or_default()
        };
        for number in 0..6 {
            assert!(guess(number).await.starts_with("HTTP/1.1 401 "));
        }
        let answer = guess(6).await;
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("retry-after: "), "{answer}");
        // More at once than the port has places. None of them stays, and everybody else is answered.
        let flood = async {
            let mut refused = 0;
            for round in 0..10 {
                let guesses = (0..100).map(|number| guess(100 * round + number));
                let answers = futures::future::join_all(guesses).await;
                let is_refused = |answer: &&String| answer.starts_with("HTTP/1.1 429 ");
                refused += answers.iter().filter(is_refused).count();
            }
            refused
        };
        let others = async {
            for _ in 0..20 {
                assert_eq!(with(here, "/version", ADMIN).await, 200);
                assert_eq!(ask(here, "/health/live", &[]).await.0, 200);
            }
        };
        let (refused, ()) = tokio::join!(flood, others);
        assert!(refused > 900, "{refused} of 1,000 weren't looked at");
        let guessed =
            daemon.metric("legwork_admin_refused_total", &["reason=\"wrong_token\""]).await;
        assert!(guessed < 20.0, "{guessed} guesses were looked at");
        // Ten lines each ten seconds, however many guess.
        let told = daemon.count("admin.refused");
        assert!(told < 100, "{told} lines tell of them");
        let of_refused = |line: &serde_json::Value| line["http.response.status_code"] == 429;
        let told =
            daemon.events().into_iter().filter(of_refused).filter(|line| line["level"] != "WARN");
        assert_eq!(told.count(), 0, "no line but those");
        ended(daemon).await;
    });
}
