//! What goes over a network to Postgres: TLS or nothing, for every command by the one rule.

use super::{command, finished};
use crate::support::PATIENCE;
use legwork::postgres::migrate::{self, MigrateError};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// What a client says that would like TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A server that has no TLS, at an address that leads here and is no loopback address.
struct Server {
    listener: TcpListener,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        Self { listener, url: format!("postgres://app:hunter2@0.0.0.0:{port}/app") }
    }

    /// What the first client said before it gave up, or at first after it heard that there is no TLS.
    async fn heard(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut stream, _) = self.listener.accept().await.expect("somebody connects");
        let mut asked = vec![0; SSL_REQUEST.len()];
        stream.read_exact(&mut asked).await.expect("it says something");
        stream.write_all(b"N").await.expect("it listens");
        (asked, Self::rest(stream).await)
    }

    async fn rest(mut stream: TcpStream) -> Vec<u8> {
        let mut rest = vec![0; 1024];
        let length = stream.read(&mut rest).await.unwrap_or(0);
        rest.truncate(length);
        rest
    }
}

#[rstest]
#[case::migrate_up(&["migrate", "up"])]
#[case::migrate_down(&["migrate", "down", "--to", "0"])]
#[case::migrate_status(&["migrate", "status"])]
#[case::enqueue(&["enqueue", "k"])]
#[case::enqueue_file(&["enqueue", "--file", "/dev/null"])]
#[case::job(&["job", "list"])]
#[case::queue(&["queue", "list"])]
#[case::bench(&["bench", "enqueue"])]
#[case::run(&["run"])]
#[tokio::test]
async fn no_command_talks_plaintext_to_another_machine_unless_that_is_allowed(
    #[case] arguments: &[&str],
) {
    for allowed in ["false", "true"] {
        let server = Server::start().await;
        let mut command = command(&server.url, arguments);
        command.env("LEGWORK_DATABASE__ALLOW_PLAINTEXT", allowed);
        command.env("LEGWORK_ADMIN__LISTEN", "127.0.0.1:0");
        let child = command.spawn().expect("the binary runs");
        let (asked, rest) = timeout(PATIENCE, server.heard()).await.expect("it connects");
        assert_eq!(asked, SSL_REQUEST, "allowed: {allowed}");
        let told = rest.windows(4).any(|word| word == b"user");
        assert_eq!((told, rest.is_empty()), (allowed == "true", allowed == "false"), "{rest:?}");
        drop(child);
    }
}

#[tokio::test]
async fn the_librarys_migrator_talks_no_plaintext_to_another_machine_either() {
    let server = Server::start().await;
    let (refused, (asked, rest)) = tokio::join!(migrate::up(&server.url), server.heard());
    assert!(matches!(refused, Err(MigrateError::Connect(_))), "{refused:?}");
    assert_eq!((asked.as_slice(), rest.as_slice()), (&SSL_REQUEST[..], &[][..]));
    for mode in ["disable", "allow"] {
        let url = format!("{}?sslmode={mode}", server.url);
        let refused = migrate::up(&url).await.expect_err("nothing is connected to").to_string();
        assert!(refused.contains("couldn't connect"), "{refused}");
    }
}

/// Ended rather than tried again: somebody has to change a file, and is told which.
#[rstest]
#[case::migrate(&["migrate", "up"])]
#[case::enqueue(&["enqueue", "k"])]
#[case::queue(&["queue", "list"])]
#[case::bench(&["bench", "enqueue"])]
#[case::run(&["run"])]
#[tokio::test]
async fn a_server_elsewhere_without_tls_is_exit_code_78_and_the_way_out_is_named(
    #[case] arguments: &[&str],
) {
    let server = Server::start().await;
    let mut command = command(&server.url, arguments);
    command.env("LEGWORK_ADMIN__LISTEN", "127.0.0.1:0");
    let (ran, _) = tokio::join!(finished(command, None), server.heard());
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("offers no TLS") && said.contains("allow_plaintext = true"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains("is the server running"), "{said}");
}

/// The driver reads this variable, whatever a URL says.
#[tokio::test]
async fn a_mode_from_the_environment_is_held_to_the_same_rule() {
    for arguments in [&["migrate", "up"][..], &["job", "list"], &["run"]] {
        let mut command = command("postgres://app:hunter2@0.0.0.0:1/app", arguments);
        command.env("PGSSLMODE", "disable").env("LEGWORK_ADMIN__LISTEN", "127.0.0.1:0");
        let ran = finished(command, None).await;
        assert_eq!(ran.code, 78, "{arguments:?}: {}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("allow_plaintext = true") && !said.contains("hunter2"), "{said}");
    }
}
