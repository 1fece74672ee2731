//! Keys of the file that are of http kinds, from the file to what a user sees.

use super::tls::secured;
use crate::cli::{command, finished};
use crate::support::{
    self, Daemon, TestDb,
    authority::Authority,
    receiver::{Receiver, Request, answer},
};
use nix::sys::signal::Signal;
use sqlx::{PgPool, Row};
use std::{os::unix::fs::PermissionsExt, path::Path};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream};

fn private(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    path.to_str().expect("UTF-8").to_owned()
}

/// What has become of the job of a kind: its state, and its result, reason or last error.
async fn ending(pool: &PgPool, kind: &str) -> String {
    let query = "SELECT j.state || coalesce(' ' || j.result::text, ' ' || j.reason, '')
                 || coalesce(' ' || a.error, '')
                 FROM legwork.jobs j LEFT JOIN legwork.failed_attempt a ON a.job_id = j.id
                 WHERE j.kind = $1";
    let row = sqlx::query(query).bind(kind).fetch_one(pool).await.expect("a job");
    row.get(0)
}

/// Receivers of four sorts, and a file with a kind for each key.
struct Setting {
    tls: Receiver,
    plain: Receiver,
    mute: Receiver,
    stalled: Receiver,
    /// With secrets and authorities.
    directory: TempDir,
}

impl Setting {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        private(directory.path(), "ca.pem", &authority.pem());
        private(directory.path(), "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
        let plain = Receiver::answering(|request| match request.header("authorization") {
            "Bearer abc" => answer("200 OK", &[], "[1]"),
            _ => answer("401 Unauthorized", &[], ""),
        });
        let mute = Receiver::doing(async |mut stream: TcpStream| {
            Request::read(&mut stream).await;
            stream.read_u8().await.ok();
        });
        let stalled = Receiver::doing(async |mut stream: TcpStream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.ok();
        });
        Self {
            tls: secured(authority.acceptor("localhost", false, &[])).await,
            plain: plain.await,
            mute: mute.await,
            stalled: stalled.await,
            directory,
        }
    }

    /// Each kind with its keys.
    fn kinds(&self) -> String {
        let tls = format!("https://localhost:{}/", self.tls.address.port());
        let plain = self.plain.url("/");
        let stalled = self.stalled.url("/").replace("http:", "https:");
        let key = "headers = { Authorization = 'Bearer abc' }\n";
        let kinds = [
            ("whole", &plain, format!("{key}max_result = '3B'")),
            ("cut", &plain, format!("{key}max_result = '2B'")),
            ("signed", &plain, format!("{key}secret_file = 'DIRECTORY/secret'")),
            ("trusted", &tls, "ca_file = 'DIRECTORY/ca.pem'".into()),
            ("untrusted", &tls, String::new()),
            ("mute", &self.mute.url("/"), "response_timeout = '100ms'".into()),
            ("stalled", &stalled, "connect_timeout = '100ms'".into()),
        ];
        let kinds = kinds.map(|(name, url, keys)| {
            let keys = keys.replace("DIRECTORY", self.directory.path().to_str().expect("UTF-8"));
            format!(
                "[[kind]]\nname = '{name}'\nhandler = 'http'\nmax_attempts = 1\nurl = '{url}'\n\
                 allow_hosts = ['localhost', '127.0.0.1']\n{keys}\n"
            )
        });
        let port = self.plain.address.port();
        let outside = "[[kind]]\nname = 'outside'\nhandler = 'http'\nurl = 'http://localhost:";
        format!("{}{outside}{port}/'\n", kinds.concat())
    }
}

#[test]
fn a_request_is_sent_as_its_keys_say() {
    // Keys: url, headers, max_result, secret_file, ca_file, allow_hosts, response_timeout, connect_timeout.
    const ENDINGS: [(&str, &str); 8] = [
        ("whole", "completed [1]"),
        ("cut", "completed"),
        ("signed", "completed [1]"),
        ("trusted", "completed 1"),
        ("untrusted", "no TLS session: invalid peer certificate: UnknownIssuer"),
        ("mute", "no answer within 100ms"),
        ("stalled", "no connection in time"),
        ("outside", "discarded egress_denied"),
    ];
    support::run(async |db: TestDb| {
        let setting = Setting::new().await;
        let mut daemon = Daemon::start(&format!(
            "[database]\nurl = '{}'\n[admin]\nlisten = 'off'\n[log]\nformat = 'json'\n{}",
            db.url(),
            setting.kinds()
        ))
        .await;
        daemon.logged("daemon.started").await;
        let pool = db.pool().await;
        let insert = "INSERT INTO legwork.job (kind) SELECT unnest($1::text[])";
        let names = ENDINGS.map(|(kind, _)| kind);
        sqlx::query(insert).bind(&names[..]).execute(&pool).await.expect("inserted");
        support::eventually("all have ended", async || {
            let left = sqlx::query("SELECT FROM legwork.job").fetch_all(&pool).await;
            left.expect("rows").is_empty()
        })
        .await;

        for (kind, expected) in ENDINGS {
            let ending = ending(&pool, kind).await;
            let is_whole = expected.starts_with("completed");
            let is_right = if is_whole { ending == expected } else { ending.contains(expected) };
            assert!(is_right, "{kind}: {ending}");
        }
        assert_eq!(daemon.logged("job.result_left_out").await["job.kind"], "cut");
        let requests = setting.plain.requests();
        let signed = requests.iter().filter(|it| !it.all("webhook-signature").is_empty());
        assert_eq!((requests.len(), signed.count()), (3, 1), "the denied one isn't among them");

        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(support::PATIENCE).await.success());
        pool.close().await;
        drop(setting);
    });
}

#[tokio::test]
async fn an_asynchronous_kind_needs_the_port_and_its_url_and_is_told_where() {
    let kind =
        "[[kind]]\nname = 'k'\nhandler = 'http'\nurl = 'https://example.org/'\nasync = true\n";
    let base = "callback_url = 'http://legwork.example.org:9464'\n";
    for (text, line, expected) in [
        (kind.to_owned(), 5, "[[kind]] \"k\".async: receivers need to know where to call back"),
        (
            format!("[admin]\nlisten = 'off'\n{base}{kind}"),
            8,
            "[[kind]] \"k\".async: receivers call back at the admin port, and admin.listen is off",
        ),
        (
            format!("[admin]\ncallback_url = 'http://u:p@example.org/'\n{kind}"),
            2,
            "admin.callback_url: a user or password can't stand in it",
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = private(directory.path(), "legwork.toml", &text);
        let ran = finished(command("", &["--config", &file, "config", "check"]), None).await;
        let said = ran.stderr;
        assert_eq!(ran.code, 78, "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(&format!("legwork.toml:{line}\n")), "{said}");
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    }
}
