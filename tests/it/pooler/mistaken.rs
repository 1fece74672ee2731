//! The wrong setting is found out and said, whatever the pooler hides.

use nix::sys::signal::Signal;

use legwork::config::{FunctionName, HandlerSettings, KindSettings, Settings, SqlSettings};
use legwork::job::KindName;

use crate::process::reload::reload;
use crate::statements::{end, value};
use crate::support::{self, Bouncer, Daemon, Mode, PATIENCE, Proxy, TestDb};

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
#[case::with_a_way_past_it(true)]
#[case::alone(false)]
fn a_pooler_that_knows_no_transaction_is_refused(#[case] has_direct: bool) {
    with(Mode { ignores: true, lends: Some("statement") }, async |db, bouncer| {
        let direct =
            if has_direct { format!("direct_url = '{}'\n", db.url()) } else { String::new() };
        let url = bouncer.url();
        let database = format!("[database]\nurl = '{url}'\npooler = 'transaction'\n{direct}");
        let (code, said) = dies(&database).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("statement pooling mode"), "{said}");
        assert!(said.contains("in statement mode (pool_mode = statement) none can work"), "{said}");
    });
}

#[test]
fn a_pooler_that_leads_to_another_database_is_refused_and_no_job_starts() {
    with(Mode { ignores: true, lends: None }, async |_, bouncer| {
        let another = TestDb::create().await;
        let pool = another.pool().await;
        let insert = "INSERT INTO legwork.job (kind) VALUES ('noop')";
        sqlx::query(insert).execute(&pool).await.expect("inserted");
        let (url, direct) = (bouncer.url(), another.url());
        let database = format!(
            "[database]\nurl = '{url}'\npooler = 'transaction'\ndirect_url = '{direct}'\n[[kind]]\nname = 'noop'\nhandler = 'noop'\n"
        );
        let (code, said) = dies(&database).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("leads to another database than"), "{said}");
        let states = "SELECT string_agg(state, ' ') FROM legwork.jobs";
        let states: String = sqlx::query_scalar(states).fetch_one(&pool).await.expect("asked");
        assert_eq!(states, "available");
        pool.close().await;
    });
}

#[test]
fn the_look_through_a_pooler_costs_it_no_session() {
    with(Mode::default(), async |db, bouncer| {
        let (mut through, mut session) = (bouncer.connect().await, db.connect().await);
        // The one that was used last is the one that the look gets.
        let used = value(&mut through, "SELECT pg_backend_pid()").await;
        let rest = "[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n";
        let mut daemon = Daemon::start(&format!("{}{rest}", bouncer.section(db, true))).await;
        daemon.logged("daemon.started").await;
        // Whoever asks the pooler now is answered after it has seen the look's connection go.
        value(&mut through, "SELECT 1").await;
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {used}");
        assert_eq!(value(&mut session, &there).await, "1");
        end(session).await;
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(PATIENCE).await.success());
    });
}

#[test]
fn a_reload_that_asks_for_functions_where_there_is_only_a_pooler_is_refused() {
    with(Mode { ignores: true, lends: None }, async |db, bouncer| {
        let rest = "[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n[[kind]]\nname = 'noop'\nhandler = 'noop'\n";
        let alone = format!("[database]\nurl = '{}'\npooler = 'transaction'\n", bouncer.url());
        let daemon = Daemon::start(&format!("{alone}{rest}")).await;
        daemon.logged("daemon.started").await;
        let kind = "[[kind]]\nname = 'calls'\nhandler = 'sql'\nfunction = 'app.f'\n";
        let with_server = format!("{alone}direct_url = '{}'\n{rest}{kind}", db.url());
        let line = reload(&daemon, &with_server, "config.reload_failed").await;
        let said = line["error.message"].as_str().expect("a reason");
        assert!(said.contains("calls") && said.contains("next start"), "{said}");
        let pool = db.pool().await;
        let kinds = "SELECT array_to_string(kinds, ' ') FROM legwork.daemon WHERE died_at IS NULL";
        support::eventually("the daemon serves what it served", async || {
            let kinds = sqlx::query_scalar::<_, String>(kinds).fetch_optional(&pool).await;
            kinds.expect("asked").is_some_and(|kinds| kinds == "noop")
        })
        .await;
        pool.close().await;
        daemon.signal(Signal::SIGTERM);
    });
}

#[test]
fn a_url_by_flag_takes_no_direct_url_of_the_file_along() {
    with(Mode { ignores: true, lends: None }, async |db, bouncer| {
        let another = TestDb::create().await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("legwork.toml");
        let text = format!(
            "[database]\nurl = '{}'\npooler = 'transaction'\ndirect_url = '{}'\n",
            bouncer.url(),
            db.url()
        );
        std::fs::write(&file, text).expect("written");
        let file = file.display().to_string();
        let arguments = ["--config", &file, "--database-url", &another.url(), "enqueue", "noop"];
        let ran = crate::cli::command(&another.url(), &arguments).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        for (database, jobs) in [(db, 0_i64), (&another, 1)] {
            let pool = database.pool().await;
            let count = sqlx::query_scalar("SELECT count(*) FROM legwork.jobs").fetch_one(&pool);
            assert_eq!(count.await.ok(), Some(jobs), "{said}");
            pool.close().await;
        }
    });
}

#[rstest::rstest]
#[case::which_refuses_what_a_driver_asks_for(false)]
#[case::which_lets_everything_through(true)]
fn a_daemon_that_is_told_of_no_pooler_finds_it_and_says_what_to_set(#[case] ignores: bool) {
    with(Mode { ignores, lends: None }, async |_, bouncer| {
        let (code, said) = dies(&format!("[database]\nurl = '{}'\n", bouncer.url())).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("pooler = \\\"transaction\\\""), "{said}");
        assert!(said.contains("direct_url"), "{said}");
    });
}

#[test]
fn a_direct_url_that_leads_to_a_pooler_is_refused() {
    with(Mode { ignores: true, lends: None }, async |_, bouncer| {
        let url = bouncer.url();
        let database =
            format!("[database]\nurl = '{url}'\npooler = 'transaction'\ndirect_url = '{url}'\n");
        let (code, said) = dies(&database).await;
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("database.direct_url has to lead to the server"), "{said}");
    });
}

#[rstest::rstest]
#[case::which_refuses_what_a_driver_asks_for(false)]
#[case::which_lets_everything_through(true)]
fn a_pooler_that_comes_into_the_servers_place_is_found_when_sessions_connect_again(
    #[case] ignores: bool,
) {
    with(Mode { ignores, lends: None }, async |db, bouncer| {
        let proxy = Proxy::before(&db.url()).await;
        let text = format!(
            "[database]\nurl = '{}'\n{}",
            proxy.url(),
            "pooler = 'none'\n[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n"
        );
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("listener.connected").await;
        proxy.lead_to(&bouncer.url());
        proxy.reset();
        let found = |line: &serde_json::Value| {
            line["event"] == "listener.lost" && line.to_string().contains("pooler = ")
        };
        support::eventually("the log says what to set", async || daemon.events().iter().any(found))
            .await;
        let (status, said) = daemon.get("/health/ready").await;
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("listener failed: ") && said.contains("direct_url"), "{said}");
        // Once for each time that it shows.
        proxy.lead_to(&db.url());
        daemon.logged_since(daemon.lines(), "listener.connected").await;
        assert_eq!(daemon.events().iter().filter(|line| found(line)).count(), 1);
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(PATIENCE).await.success(), "{}", daemon.printed());
    });
}

#[test]
fn a_program_of_its_own_is_refused_functions_behind_a_pooler_alone() {
    with(Mode::default(), async |db, bouncer| {
        let function = FunctionName::new("public.f").expect("a name");
        let sql = HandlerSettings::Sql(SqlSettings { function, role: None });
        let refused = |direct| {
            let mut settings = Settings::default();
            bouncer.database(db, direct, &mut settings.database);
            settings.kinds =
                vec![KindSettings::new(KindName::new("f").expect("a name"), sql.clone())];
            legwork::Daemon::builder().settings(settings).build().err().map(|why| why.to_string())
        };
        assert_eq!(refused(true), None);
        let why = refused(false).expect("it is a mistake");
        assert!(why.contains("kind \"f\": sql needs database.direct_url"), "{why}");
    });
}

#[test]
fn a_pooler_in_session_mode_is_as_good_as_a_server() {
    with(Mode { ignores: true, lends: Some("session") }, async |_, bouncer| {
        lives(&format!("[database]\nurl = '{}'\n", bouncer.url())).await;
    });
}

#[test]
fn a_server_is_as_good_as_a_pooler() {
    support::run(async |db| {
        lives(&format!("[database]\nurl = '{}'\npooler = 'transaction'\n", db.url())).await;
    });
}
