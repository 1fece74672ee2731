//! Keys of the file, from the file to what a user sees: the real binary, and rows.

use std::time::Duration;

use nix::sys::signal::Signal;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use crate::cli::{command, finished};
use crate::support::{self, Daemon, PATIENCE, TestDb};

/// A file with this database and without an admin port, and the rest of it.
pub(super) fn file(db: &TestDb, rest: &str) -> String {
    let log = if rest.contains("[log]") { "" } else { "[log]\nformat = 'json'\n" };
    let admin = if rest.contains("[admin]") { "" } else { "[admin]\nlisten = 'off'\n" };
    let database = if rest.contains("[database]") { "" } else { "[database]\n" };
    let text = format!("{log}{admin}{database}{}", rest.replace("URL", &db.url()));
    support::pooled::file(
        &text.replace("[database]\n", &format!("[database]\nurl = '{}'\n", db.url())),
    )
}

/// One value of one statement, whatever its text.
async fn value<T>(pool: &PgPool, statement: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let found = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await;
    found.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

async fn holds(pool: &PgPool, statement: &str) {
    support::eventually(statement, async || {
        value::<Option<bool>>(pool, statement).await == Some(true)
    })
    .await;
}

/// Inserts a job with these columns and gives its id.
async fn insert(pool: &PgPool, columns: &str, values: &str) -> i64 {
    let insert = format!("INSERT INTO legwork.job ({columns}) VALUES ({values}) RETURNING id");
    value(pool, &insert).await
}

/// Lets a job fail until it is over; gives the waits between, in seconds, and the charged attempts.
async fn waits(pool: &PgPool, id: i64) -> (Vec<f64>, i16) {
    let mut waits = Vec::new();
    loop {
        let attempt = waits.len() + 1;
        let over = format!("EXISTS (SELECT FROM legwork.finished WHERE id = {id})");
        let put_back = format!(
            "EXISTS (SELECT FROM legwork.job WHERE id = {id} AND attempt = {attempt} AND holder IS NULL)"
        );
        holds(pool, &format!("SELECT {over} OR {put_back}")).await;
        if value::<bool>(pool, &format!("SELECT {over}")).await {
            let attempt = format!("SELECT attempt FROM legwork.finished WHERE id = {id}");
            return (waits, value(pool, &attempt).await);
        }
        // Both are of the statement that put it back.
        let wait = "SELECT extract(epoch FROM run_at - ready_at)::float8 FROM legwork.job";
        waits.push(value(pool, &format!("{wait} WHERE id = {id}")).await);
        value::<String>(pool, &format!("SELECT legwork.retry({id})::text")).await;
    }
}

#[test]
fn retries_follow_max_attempts_and_backoff_of_the_kind_or_of_all() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = "
            [retry]\nmax_attempts = 4\n
            backoff = { base = '1000s', factor = 1.5, max = '2000s', jitter = 0.0 }\n
            [[kind]]\nname = 'all'\nhandler = 'command'\ncommand = ['/bin/false']\n
            [[kind]]\nname = 'own'\nhandler = 'command'\ncommand = ['/bin/false']\nmax_attempts = 5\n
            backoff = { base = '100s', factor = 2.0, max = '300s', jitter = 0.0 }\n
            [[kind]]\nname = 'spread'\nhandler = 'command'\ncommand = ['/bin/false']\n
            max_attempts = 9\n
            backoff = { base = '100s', factor = 1.0, max = '1000s', jitter = 0.5 }\n";
        let daemon = Daemon::start(&file(&db, rest)).await;
        let all = insert(&pool, "kind", "'all'").await;
        assert_eq!(waits(&pool, all).await, (vec![1000.0, 1500.0, 2000.0], 4));
        let own = insert(&pool, "kind", "'own'").await;
        assert_eq!(waits(&pool, own).await, (vec![100.0, 200.0, 300.0, 300.0], 5));
        let row = insert(&pool, "kind, max_attempts", "'own', 2").await;
        assert_eq!(waits(&pool, row).await, (vec![100.0], 2));
        let spread = insert(&pool, "kind", "'spread'").await;
        let (spread, _) = waits(&pool, spread).await;
        assert!(spread.iter().all(|wait| (50.0..=150.0).contains(wait)), "{spread:?}");
        assert!(spread.iter().any(|wait| (wait - spread[0]).abs() > 0.001), "{spread:?}");
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn timeout_max_snoozes_and_max_rescues_are_the_kinds_or_of_all() {
    support::run(async |db| {
        let pool = db.pool().await;
        let snoozes = "command = ['/bin/sh', '-c', 'echo {\\\"retry_after\\\":0} >&3; exit 75']\n\
                       unsafe_shell = true\nbackoff = { base = '1h', max = '1h' }\n";
        let rest = format!(
            "[retry]\ntimeout = '200ms'\nmax_snoozes = 1\nmax_rescues = 1\nmax_attempts = 1\n
            [[kind]]\nname = 'slow'\nhandler = 'sleep'\n
            [[kind]]\nname = 'slow-own'\nhandler = 'sleep'\ntimeout = '100ms'\n
            [[kind]]\nname = 'snoozes'\nhandler = 'command'\n{snoozes}
            [[kind]]\nname = 'snoozes-own'\nhandler = 'command'\n{snoozes}max_snoozes = 2\n
            [[kind]]\nname = 'noop'\nhandler = 'noop'\n
            [[kind]]\nname = 'noop-own'\nhandler = 'noop'\nmax_rescues = 5\n"
        );
        for kind in ["noop", "noop-own"] {
            let id = insert(&pool, "kind", &format!("'{kind}'")).await;
            let rescued = format!("UPDATE legwork.job SET rescues = 2 WHERE id = {id}");
            sqlx::query(AssertSqlSafe(rescued)).execute(&pool).await.unwrap();
        }
        let long = "'{\"seconds\": 600}'";
        insert(&pool, "kind, payload", &format!("'slow', {long}")).await;
        insert(&pool, "kind, payload", &format!("'slow-own', {long}")).await;
        insert(&pool, "kind, payload, timeout", &format!("'slow', {long}, '50 ms'")).await;
        insert(&pool, "kind", "'snoozes'").await;
        insert(&pool, "kind", "'snoozes-own'").await;
        let daemon = Daemon::start(&file(&db, &rest)).await;
        holds(&pool, "SELECT count(*) = 7 FROM legwork.finished").await;
        let limits: Vec<String> = value(
            &pool,
            "SELECT array_agg(substring(error FROM 'limit of (.*)') ORDER BY job_id)
             FROM legwork.failed_attempt WHERE cause = 'timed_out'",
        )
        .await;
        assert_eq!(limits, ["200ms", "100ms", "50ms"]);
        let put_off: Vec<i16> = value(
            &pool,
            "SELECT array_agg(snoozes ORDER BY id) FROM legwork.finished WHERE kind LIKE 'snoozes%'",
        )
        .await;
        assert_eq!(put_off, [1, 2]);
        let rescued: Vec<String> = value(
            &pool,
            "SELECT array_agg(concat_ws(' ', outcome, reason) ORDER BY id) FROM legwork.finished
             WHERE kind LIKE 'noop%'",
        )
        .await;
        assert_eq!(rescued, ["discarded rescues_exhausted", "completed"]);
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn history_is_kept_as_retention_says_for_each_outcome_and_queue() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = "
            [retention]\ncompleted = '2d'\ncancelled = '3d'\ndiscarded = '4d'\n
            [[queue]]\nname = 'default'\n[[queue]]\nname = 'own'\nretention = '5d'\n
            [[kind]]\nname = 'noop'\nhandler = 'noop'\n
            [[kind]]\nname = 'fails'\nhandler = 'command'\ncommand = ['/bin/false']\nmax_attempts = 1\n";
        let daemon = Daemon::start(&file(&db, rest)).await;
        for (columns, values) in
            [("kind", "'noop'"), ("kind", "'fails'"), ("kind, queue", "'noop', 'own'")]
        {
            insert(&pool, columns, values).await;
        }
        holds(&pool, "SELECT count(retention_cancelled) = 2 FROM legwork.queue").await;
        let unserved = insert(&pool, "kind", "'unserved'").await;
        value::<String>(&pool, &format!("SELECT legwork.cancel({unserved})")).await;
        holds(&pool, "SELECT count(*) = 4 FROM legwork.finished").await;
        let kept: Vec<i32> = value(
            &pool,
            "SELECT array_agg(drop_after - (finished_at AT TIME ZONE 'UTC')::date ORDER BY id)
             FROM legwork.finished",
        )
        .await;
        assert_eq!(kept, [2, 4, 5, 3]);
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_daemon_has_its_name_its_threads_and_the_lease_of_its_file() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = "
            [daemon]\nname = 'quick'\nlease_ttl = '9s'\nheartbeat_interval = '50ms'\n
            runtime_threads = 3\n[admin]\nlisten = '127.0.0.1:0'\n";
        let quick = Daemon::start(&file(&db, rest)).await;
        let rest = "
            [daemon]\nname = 'slow'\nlease_ttl = '1h'\nheartbeat_interval = '5m'\nruntime_threads = 2\n
            [admin]\nlisten = '127.0.0.1:0'\n";
        let slow = Daemon::start(&file(&db, rest)).await;
        for (name, ttl) in [("quick", 9), ("slow", 3600)] {
            let row = format!("FROM legwork.daemon WHERE name = '{name}'");
            holds(&pool, &format!("SELECT count(*) = 1 {row}")).await;
            let lease = "SELECT round(extract(epoch FROM expires_at - renewed_at))::int";
            assert_eq!(value::<i32>(&pool, &format!("{lease} {row}")).await, ttl);
        }
        let renewals = "SELECT array_agg(renewed_at::text ORDER BY name) FROM legwork.daemon";
        let mut before: Vec<String> = value(&pool, renewals).await;
        for _ in 0..3 {
            support::eventually("the quick one renews", async || {
                let now: Vec<String> = value(&pool, renewals).await;
                let renewed = now[0] != before[0];
                assert_eq!(now[1], before[1], "the slow one doesn't");
                before = now;
                renewed
            })
            .await;
        }
        for (daemon, threads) in [(&quick, 3.0), (&slow, 2.0)] {
            let workers = daemon.metric("tokio_workers", &[]).await;
            assert!((workers - threads).abs() < f64::EPSILON, "runtime_threads: {workers}");
        }
        quick.stop().await;
        slow.stop().await;
        pool.close().await;
    });
}

#[test]
fn log_lines_have_the_format_and_pass_the_filter_and_the_port_listens_or_not() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = "[log]\nformat = 'json'\nfilter = 'info'\n[admin]\nlisten = '127.0.0.1:0'\n";
        let all = Daemon::start(&file(&db, rest)).await;
        all.logged("daemon.started").await;
        assert_eq!(all.get("/health/live").await.0, 200);
        let rest = "[log]\nformat = 'json'\nfilter = 'warn'\n[admin]\nlisten = 'off'\n";
        let mut warnings = Daemon::start(&file(&db, rest)).await;
        let rest = "[log]\nformat = 'pretty'\n[admin]\nlisten = 'off'\n";
        let mut pretty = Daemon::start(&file(&db, rest)).await;
        holds(&pool, "SELECT count(*) = 3 FROM legwork.daemon").await;
        // What wasn't said by the end wasn't said.
        for daemon in [&mut warnings, &mut pretty] {
            daemon.signal(Signal::SIGTERM);
            assert_eq!(daemon.exit(PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        }
        assert_eq!(warnings.printed(), "");
        assert_eq!(pretty.events().len(), 0);
        assert!(pretty.printed().contains("daemon.started"), "{}", pretty.printed());
        assert!(!pretty.printed().contains("admin.listening"), "{}", pretty.printed());
        all.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_queue_has_its_name_its_concurrency_and_its_rate_limit() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = "
            [[queue]]\nname = 'narrow'\nconcurrency = 2\n[[queue]]\nname = 'wide'\nconcurrency = 7\n
            [[queue]]\nname = 'limited'\nrate_limit = '1/h'\n[[queue]]\nname = 'free'\n
            [[kind]]\nname = 'sleep'\nhandler = 'sleep'\n[[kind]]\nname = 'noop'\nhandler = 'noop'\n
            [shutdown]\ngrace = '0s'\n";
        for queue in ["narrow", "wide"] {
            let many = format!(
                "INSERT INTO legwork.job (queue, kind, payload)
                 SELECT '{queue}', 'sleep', '{{\"seconds\": 600}}' FROM generate_series(1, 20)"
            );
            sqlx::query(AssertSqlSafe(many)).execute(&pool).await.unwrap();
        }
        insert(&pool, "queue, kind", "'limited', 'noop'").await;
        let daemon = Daemon::start(&file(&db, rest)).await;
        let held = "count(*) FILTER (WHERE holder IS NOT NULL)";
        holds(&pool, &format!("SELECT {held} = 7 FROM legwork.job WHERE queue = 'wide'")).await;
        holds(&pool, &format!("SELECT {held} = 2 FROM legwork.job WHERE queue = 'narrow'")).await;
        for _ in 0..3 {
            let id = insert(&pool, "queue, kind", "'free', 'noop'").await;
            holds(&pool, &format!("SELECT EXISTS (SELECT FROM legwork.finished WHERE id = {id})"))
                .await;
        }
        let counts: Vec<i64> = value(
            &pool,
            &format!(
                "SELECT array_agg(n ORDER BY queue) FROM (
                SELECT queue, {held} AS n FROM legwork.job WHERE kind = 'sleep' GROUP BY queue) q"
            ),
        )
        .await;
        assert_eq!(counts, [2, 7], "no more are taken meanwhile");
        let limited = "SELECT count(*) FROM legwork.job WHERE queue = 'limited'";
        assert_eq!(value::<i64>(&pool, limited).await, 1, "its rate_limit keeps it waiting");
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn grace_and_cancel_grace_are_waited_for_and_no_longer() {
    support::run(async |db| {
        let pool = db.pool().await;
        let stubborn = "trap '' TERM; while :; do sleep 0.05; done";
        let rest = format!(
            "[shutdown]\ngrace = '1200ms'\ncancel_grace = '4s'\n
            [[kind]]\nname = 'stubborn'\nhandler = 'command'\nkill_grace = '30s'\n
            command = ['/bin/sh', '-c', \"{stubborn}\"]\nunsafe_shell = true\n"
        );
        let mut daemon = Daemon::start(&file(&db, &rest)).await;
        insert(&pool, "kind", "'stubborn'").await;
        holds(&pool, "SELECT holder IS NOT NULL FROM legwork.job").await;
        daemon.signal(Signal::SIGTERM);
        daemon.exit(PATIENCE).await;
        let at = async |phase: &str| {
            let line = daemon.phase(phase).await;
            assert_ne!(line["done"], true, "{phase}");
            let time = line["timestamp"].as_str().expect("text");
            humantime::parse_rfc3339(time).expect("a time")
        };
        // Both count from the beginning, whatever the phases before them took.
        let begun = at("begin").await;
        let after = async |phase: &str| at(phase).await.duration_since(begun).expect("later");
        let (ran, stopped) = (after("wait for running jobs").await, after("cancel the rest").await);
        // A deadline is set a moment before the line that says so.
        let about = |ms: u64| Duration::from_millis(ms - 100);
        // By default it is the other way round: 25 s and 3 s.
        assert!((about(1200)..about(4000)).contains(&ran), "{ran:?}");
        assert!(stopped >= about(5200), "{stopped:?}");
        pool.close().await;
    });
}

#[test]
fn a_command_runs_as_its_keys_say() {
    support::run(async |db| {
        let pool = db.pool().await;
        let says = r#"printf '{\"A\":\"%s\",\"PATH\":\"%s\",\"cwd\":\"%s\",\"who\":\"%s %s\"}' $A $PATH $PWD $LEGWORK_REQUEST_ID $LEGWORK_USER_ID"#;
        let fails = "i=0; while [ $i -lt 2000 ]; do echo 0123456789 >&2; i=$((i+1)); done; exit 1";
        let rest = format!(
            "[[kind]]\nname = 'says'\nhandler = 'command'\nunsafe_shell = true\n
            command = ['/bin/sh', '-c', \"\"\"{says}\"\"\"]\n
            env = {{ A = 'b' }}\npass_env = ['PATH']\ncwd = '/usr'\n
            [[kind]]\nname = 'tersely'\nhandler = 'command'\nunsafe_shell = true\nmax_output = '1KiB'\n
            command = ['/bin/sh', '-c', '{fails}']\nmax_attempts = 1\n
            [[kind]]\nname = 'verbosely'\nhandler = 'command'\nunsafe_shell = true\n
            command = ['/bin/sh', '-c', '{fails}']\nmax_attempts = 1\n"
        );
        let daemon = Daemon::start(&file(&db, &rest)).await;
        insert(&pool, "kind, metadata", "'says', '{\"request_id\": \"r-1\", \"user_id\": 7}'")
            .await;
        insert(&pool, "kind", "'tersely'").await;
        insert(&pool, "kind", "'verbosely'").await;
        holds(&pool, "SELECT count(*) = 3 FROM legwork.finished").await;
        let said: String =
            value(&pool, "SELECT result::text FROM legwork.finished WHERE kind = 'says'").await;
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let expected = serde_json::json!(
            {"A": "b", "PATH": "/usr/bin:/bin", "cwd": "/usr", "who": "r-1 7"});
        assert_eq!(said, expected, "env, pass_env, cwd and metadata");
        let kept: Vec<i32> = value(
            &pool,
            "SELECT array_agg(octet_length(error) ORDER BY job_id) FROM legwork.failed_attempt",
        )
        .await;
        assert!(kept[0] < 1500 && kept[1] > 4000, "max_output: {kept:?}");
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_program_that_ignores_term_lives_for_kill_grace() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kind = |name: &str, grace: &str| {
            format!(
                "[[kind]]\nname = '{name}'\nhandler = 'command'\nkill_grace = '{grace}'\n\
                 command = ['/bin/sh', '-c', \"trap '' TERM; : > {name}; while :; do sleep 0.05; done\"]\n\
                 unsafe_shell = true\ncwd = 'HERE'\n"
            )
        };
        let here = tempfile::tempdir().expect("a directory");
        let rest = kind("short", "100ms") + &kind("long", "10m");
        let rest = rest.replace("HERE", &here.path().display().to_string());
        let daemon = Daemon::start(&file(&db, &rest)).await;
        for name in ["long", "short"] {
            let id = insert(&pool, "kind", &format!("'{name}'")).await;
            support::eventually("it runs", async || here.path().join(name).exists()).await;
            value::<String>(&pool, &format!("SELECT legwork.cancel({id})")).await;
        }
        holds(&pool, "SELECT state = 'cancelled' FROM legwork.jobs WHERE kind = 'short'").await;
        let long = "SELECT state FROM legwork.jobs WHERE kind = 'long'";
        assert_eq!(value::<String>(&pool, long).await, "running", "told before the other");
        drop(daemon);
        pool.close().await;
    });
}

#[test]
fn poll_interval_is_how_long_an_idle_daemon_without_notify_waits() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rest = |queue: &str, poll: &str| {
            format!(
                "[daemon]\nname = '{queue}'\n[claim]\nnotify = false\npoll_interval = '{poll}'\n
                [[queue]]\nname = '{queue}'\n[[kind]]\nname = 'noop'\nhandler = 'noop'\n"
            )
        };
        let seldom = Daemon::start(&file(&db, &rest("seldom", "1m"))).await;
        let claimed = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'legwork claim' AND state = 'idle' AND query LIKE '%SET holder%'";
        holds(&pool, claimed).await;
        let often = Daemon::start(&file(&db, &rest("often", "10ms"))).await;
        let (mut rests, mut tries) = (false, 0);
        while !rests && tries < 3 {
            // What a daemon does at its start may wake it once more.
            let seldom = insert(&pool, "queue, kind", "'seldom', 'noop'").await;
            for _ in 0..3 {
                let id = insert(&pool, "queue, kind", "'often', 'noop'").await;
                let done = format!("SELECT count(*) = 1 FROM legwork.finished WHERE id = {id}");
                holds(&pool, &done).await;
            }
            let of_it = format!("legwork.job WHERE id = {seldom} AND token = 0");
            let waits = format!("SELECT count(*) = 1 FROM {of_it}");
            (rests, tries) = (value(&pool, &waits).await, tries + 1);
        }
        assert!(rests, "it claims as often as the other");
        let listeners = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'legwork listener'";
        assert_eq!(value::<i64>(&pool, listeners).await, 0, "nobody listens without notify");
        let notified = Daemon::start(&file(&db, "[claim]\nnotify = true\n")).await;
        holds(&pool, &listeners.replace("count(*)", "count(*) = 1")).await;
        for daemon in [seldom, often, notified] {
            daemon.stop().await;
        }
        pool.close().await;
    });
}

#[test]
fn connect_timeout_bounds_the_wait_for_a_server_that_says_nothing() {
    support::run(async |_db| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("postgres://u@{}/x", listener.local_addr().expect("bound"));
        let mut patient = command(&url, &["job", "list"]);
        patient.env("LEGWORK_DATABASE__CONNECT_TIMEOUT", "10m");
        let mut patient = patient.spawn().expect("it runs");
        let mut hasty = command(&url, &["job", "list"]);
        hasty.env("LEGWORK_DATABASE__CONNECT_TIMEOUT", "100ms");
        assert_eq!(finished(hasty, None).await.code, 69, "database.connect_timeout");
        let mut hasty = command(&url, &["migrate", "status"]);
        hasty.env("LEGWORK_DATABASE__CONNECT_TIMEOUT", "100ms");
        let ran = finished(hasty, None).await;
        assert!(ran.stderr.contains("within 100ms"), "of the migrator: {}", ran.stderr);
        assert!(patient.try_wait().expect("it can be asked").is_none(), "it still waits");
        patient.kill().await.expect("it can be ended");
    });
}

#[test]
fn statement_timeout_bounds_a_statement_that_waits_for_a_lock() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut lock = pool.begin().await.unwrap();
        let all = "LOCK TABLE legwork.job IN ACCESS EXCLUSIVE MODE";
        sqlx::query(all).execute(&mut *lock).await.unwrap();
        let mut patient = command(&db.url(), &["job", "list"]);
        patient.env("LEGWORK_DATABASE__STATEMENT_TIMEOUT", "1h");
        let patient = patient.spawn().expect("it runs");
        let mut hasty = command(&db.url(), &["job", "list"]);
        hasty.env("LEGWORK_DATABASE__STATEMENT_TIMEOUT", "100ms");
        let hasty = finished(hasty, None).await;
        assert_eq!(hasty.code, 75, "database.statement_timeout: {}", hasty.stderr);
        lock.commit().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_mins(1), patient.wait_with_output()).await;
        let ended = ended.expect("it ends once it may").expect("it can be waited for");
        assert_eq!(ended.status.code(), Some(0), "it waited for the lock's end");
        pool.close().await;
    });
}

#[test]
fn the_database_is_the_url_or_the_one_in_url_file_and_plaintext_is_allowed_or_not() {
    support::run(async |db| {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        let write = |name: &str, text: &str| {
            std::fs::write(at(name), text).expect("a file can be written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(at(name), mode).expect("its mode can be set");
        };
        let run = async |name: &str, text: &str, arguments: &[&str]| {
            write(name, text);
            let config = at(name);
            let arguments = [&["--config", config.as_str()], arguments].concat();
            let mut command = command("", &arguments);
            command.env_remove("DATABASE_URL");
            finished(command, None).await.code
        };
        write("secret", &db.url());
        let url = format!("[database]\nurl = '{}'\n", db.url());
        let url_file = format!("[database]\nurl_file = '{}'\n", at("secret"));
        assert_eq!(run("url", &url, &["job", "list"]).await, 0);
        assert_eq!(run("url_file", &url_file, &["job", "list"]).await, 0);
        assert_eq!(run("none", "", &["job", "list"]).await, 78);
        let plain = "[database]\nurl = 'postgres://u@db.example/x?sslmode=disable'\n";
        assert_eq!(run("plain", plain, &["config", "check"]).await, 78);
        let allowed = format!("{plain}allow_plaintext = true\n");
        assert_eq!(run("allowed", &allowed, &["config", "check"]).await, 0);
    });
}
