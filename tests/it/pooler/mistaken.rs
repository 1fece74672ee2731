//! The wrong setting is found out and said, whatever the pooler hides.

use nix::sys::signal::Signal;

use crate::support::{self, Bouncer, Daemon, Mode, PATIENCE, TestDb};

/// What a daemon with this `[database]` dies of: its exit code and its last words.
async fn dies(database: &str) -> (i32, String) {
    let text = format!("{database}[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n");
    let mut daemon = Daemon::start(&text).await;
    let code = daemon.exit(PATIENCE).await.code();
    (code.expect("it ends by itself"), daemon.printed())
}

/// Starts it, sees it work and stops it.
async fn lives(database: &str) {
    let text = format!("{database}[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n");
    let mut daemon = Daemon::start(&text).await;
    daemon.logged("daemon.started").await;
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.exit(PATIENCE).await.success());
}

fn with(mode: Mode, test: impl AsyncFnOnce(&TestDb, &Bouncer)) {
    support::run(async |db| {
        if let Some(bouncer) = Bouncer::start(&db, mode).await {
            test(&db, &bouncer).await;
        }
    });
}

#[rstest::rstest]
#[case::which_refuses_what_a_driver_asks_for(false)]
#[case::which_lets_everything_through(true)]
fn a_daemon_that_is_told_of_no_pooler_finds_it_and_says_what_to_set(#[case] ignores: bool) {
    with(Mode { ignores, session: false }, async |_, bouncer| {
        let (code, said) = dies(&format!("[database]\nurl = '{}'\n", bouncer.url())).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("pooler = \\\"transaction\\\""), "{said}");
        assert!(said.contains("direct_url"), "{said}");
    });
}

#[test]
fn a_direct_url_that_leads_to_a_pooler_is_refused() {
    with(Mode { ignores: true, session: false }, async |_, bouncer| {
        let url = bouncer.url();
        let database =
            format!("[database]\nurl = '{url}'\npooler = 'transaction'\ndirect_url = '{url}'\n");
        let (code, said) = dies(&database).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("database.direct_url has to lead to the server"), "{said}");
    });
}

#[test]
fn a_pooler_in_session_mode_is_as_good_as_a_server() {
    with(Mode { ignores: true, session: true }, async |_, bouncer| {
        lives(&format!("[database]\nurl = '{}'\n", bouncer.url())).await;
    });
}

#[test]
fn a_server_is_as_good_as_a_pooler() {
    support::run(async |db| {
        lives(&format!("[database]\nurl = '{}'\npooler = 'transaction'\n", db.url())).await;
    });
}
