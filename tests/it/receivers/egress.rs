//! Where requests may go: not inside, unless the kind says so, whatever names and proxies pretend.

use super::*;
use crate::support::{
    self, Daemon, TestDb,
    receiver::{Receiver, answer},
};
use sqlx::{Executor, Row};

#[tokio::test]
async fn a_name_that_leads_inside_is_discarded_before_anybody_connects() {
    let receiver = Receiver::answering(|_| answer("200 OK", &[], "")).await;
    let url = format!("http://localhost:{}/", receiver.address.port());
    // The last two are `localhost` once they are written as names are.
    for name in ["localhost", "LOCALHOST", "\u{24db}ocalhost", "\u{ff4c}ocalhost"] {
        let url = url.replace("localhost", name);
        let outcome = sent(HttpSettings::new(url.parse().expect("a URL"))).await;
        assert_eq!(word(&outcome), "egress_denied", "{name}");
        let error = error(&outcome);
        assert!(error.contains("is loopback: name \"localhost\" in allow_hosts"), "{error}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn an_address_in_the_url_of_settings_from_code_is_judged_as_a_name_is() {
    let receiver = Receiver::answering(|_| answer("200 OK", &[], "")).await;
    let port = receiver.address.port();
    for host in ["127.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let outcome = sent(HttpSettings::new(url.parse().expect("a URL"))).await;
        assert_eq!(word(&outcome), "egress_denied", "{host}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_is_listed_may_lead_inside() {
    let receiver = Receiver::answering(|_| answer("200 OK", &[], "")).await;
    let url = format!("http://localhost:{}/", receiver.address.port());
    let egress = Egress::allowing(["localhost"]).expect("a host");
    let settings = HttpSettings { egress, ..HttpSettings::new(url.parse().expect("a URL")) };
    assert_eq!(word(&sent(settings).await), "complete");
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    support::run(async |db: TestDb| {
        let proxy = Receiver::answering(|_| answer("502 Bad Gateway", &[], "a proxy")).await;
        let receiver = Receiver::answering(|_| answer("200 OK", &[], "1")).await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("legwork.toml");
        let text = super::journey::configuration(&db.url(), &receiver.url("/"));
        std::fs::write(&file, text).expect("written");
        let mut command = tokio::process::Command::new("/usr/bin/env");
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.arg(format!("{name}={}", proxy.url("/")));
        }
        command.arg(env!("CARGO_BIN_EXE_legwork")).arg("--config").arg(&file).arg("run");
        let daemon = Daemon::start_command(command, directory).await;
        daemon.logged("daemon.started").await;
        let pool = db.pool().await;
        pool.execute("INSERT INTO legwork.job (kind) VALUES ('hook')").await.expect("inserted");
        support::eventually("the job is done", async || {
            let state = "SELECT state FROM legwork.jobs";
            let row = pool.fetch_one(state).await.expect("a row");
            row.get::<String, _>(0) == "completed"
        })
        .await;
        assert!(proxy.requests().is_empty());
        pool.close().await;
        drop((daemon, proxy, receiver));
    });
}

#[tokio::test]
async fn a_name_that_nobody_has_is_a_failed_attempt() {
    // Reserved for names that don't exist (RFC 2606).
    let url = "http://nobody.invalid/".parse().expect("a URL");
    let outcome = sent(HttpSettings::new(url)).await;
    assert_eq!(word(&outcome), "retry");
    assert!(error(&outcome).contains("no connection"), "{outcome:?}");
}
