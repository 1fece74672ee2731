//! The two ways to install, from an empty server to a job that ran: one role for everything, and a role
//! for each task, every one of which logs in as itself.
//!
//! Each test has a cluster of its own, because roles are the cluster's: here they must be missing at
//! first. `roles.rs` holds what each role may do statement by statement; here the commands and the
//! daemon are held to it.

use legwork::embedded::Postgres;
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::cli::{Ran, command, finished};
use crate::statements::{end, execute, rows, value};
use crate::support::{self, Daemon, PATIENCE};

/// Runs a test on a server without any role of ours.
fn on_an_empty_server(test: impl AsyncFnOnce(&Postgres)) {
    let cluster = Postgres::start(&support::server::private_options()).expect("a private Postgres");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
    runtime.block_on(test(&cluster));
    drop(runtime);
    cluster.stop().expect("the cluster stops");
}

/// The address of a database for one who logs in as this role.
fn url(cluster: &Postgres, role: &str, database: &str) -> String {
    let superusers = cluster.url(database);
    let own = superusers.replace("user=postgres", &format!("user={role}"));
    assert!(role == "postgres" || own != superusers, "{superusers} names its user");
    own
}

async fn connect(cluster: &Postgres, role: &str, database: &str) -> PgConnection {
    PgConnection::connect(&url(cluster, role, database)).await.expect("the role may log in")
}

/// Does statements as the superuser, each on its own: some can't be in a transaction.
async fn administer(cluster: &Postgres, database: &str, statements: &[&str]) {
    let mut session = connect(cluster, "postgres", database).await;
    for statement in statements {
        execute(&mut session, statement).await;
    }
    end(session).await;
}

/// Runs `legwork` as this role.
async fn legwork(cluster: &Postgres, role: &str, database: &str, arguments: &[&str]) -> Ran {
    finished(command(&url(cluster, role, database), arguments), None).await
}

/// What a superuser does before roles can be separate: the roles, a database that the migrator may
/// use, and logins for people and applications.
async fn separate(cluster: &Postgres) {
    let first = legwork(cluster, "postgres", "postgres", &["migrate", "up"]).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    administer(cluster, "postgres", &["CREATE DATABASE app", "CREATE DATABASE by_hand"]).await;
    let refused = legwork(cluster, "legwork_migrator", "app", &["migrate", "up"]).await;
    let help = "help: GRANT CREATE ON DATABASE app TO legwork_migrator;";
    assert!(refused.code == 1 && refused.stderr.contains(help), "{}", refused.stderr);
    let logins = [
        "GRANT CREATE ON DATABASE app, by_hand TO legwork_migrator",
        "CREATE ROLE shop LOGIN IN ROLE legwork_enqueue",
        "CREATE ROLE anna LOGIN IN ROLE legwork_read",
        "CREATE ROLE otto LOGIN IN ROLE legwork_operator",
        "CREATE ROLE nobody_of_ours LOGIN",
    ];
    administer(cluster, "postgres", &logins).await;
}

/// What the owner of a single-role installation needs: databases.
async fn single(cluster: &Postgres) {
    let own = [
        "CREATE ROLE solo LOGIN",
        "CREATE DATABASE app OWNER solo",
        "CREATE DATABASE by_hand OWNER solo",
    ];
    administer(cluster, "postgres", &own).await;
}

#[rstest]
#[case::one_role("solo", "solo")]
#[case::separate_roles("legwork_migrator", "legwork_owner")]
fn an_installation_goes_up_and_down_and_up_by_command_and_by_hand(
    #[case] migrator: &str,
    #[case] owner: &str,
) {
    on_an_empty_server(async |cluster| {
        match migrator {
            "solo" => single(cluster).await,
            _ => separate(cluster).await,
        }
        let steps: [(&[&str], i32, &str); 11] = [
            (&["migrate", "status"], 3, "pending"),
            (&["migrate", "up"], 0, "applied"),
            (&["migrate", "status"], 0, "applied"),
            (&["migrate", "up"], 0, "nothing to do"),
            (&["migrate", "down", "--to", "2"], 0, "the schema is at version 2"),
            (&["migrate", "status"], 3, "pending"),
            (&["migrate", "up"], 0, "applied"),
            (&["migrate", "down", "--to", "0"], 0, "there is no schema any more"),
            (&["migrate", "down", "--to", "0"], 0, "nothing to do"),
            (&["migrate", "up"], 0, "applied"),
            (&["migrate", "status"], 0, "applied"),
        ];
        for (step, (arguments, code, says)) in steps.into_iter().enumerate() {
            let ran = legwork(cluster, migrator, "app", arguments).await;
            assert_eq!(ran.code, code, "step {step}, {arguments:?}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains(says), "step {step}, {arguments:?}: {}", ran.stdout);
        }

        for (way, code) in [(&["migrate", "sql"][..], 0), (&["migrate", "sql", "--down"], 3)] {
            let script = legwork(cluster, migrator, "by_hand", way).await;
            assert_eq!(script.code, 0, "{}", script.stderr);
            let mut session = connect(cluster, migrator, "by_hand").await;
            execute(&mut session, &script.stdout).await;
            end(session).await;
            let status = legwork(cluster, migrator, "by_hand", &["migrate", "status"]).await;
            assert_eq!(status.code, code, "{way:?}: {}{}", status.stdout, status.stderr);
        }

        let mut session = connect(cluster, "postgres", "app").await;
        let owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
            WHERE relnamespace = 'legwork'::regnamespace";
        assert_eq!(rows(&mut session, owners).await, [owner]);
        end(session).await;
    });
}

/// A daemon's file, as the role that it logs in as.
fn configuration(cluster: &Postgres, role: &str) -> String {
    let url = url(cluster, role, "app");
    let quiet = "[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n";
    let kinds = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n\
        [[kind]]\nname = 'sleep'\nhandler = 'sleep'\n\
        [[kind]]\nname = 'fails'\nhandler = 'command'\ncommand = ['/bin/false']\nmax_attempts = 1\n";
    format!("[database]\nurl = '{url}'\n{quiet}{kinds}")
}

/// Waits until each of these jobs is in this state, as somebody sees it who may see no payload.
async fn all_become(reader: &mut PgConnection, kind: &str, state: &str) {
    let question = format!("SELECT DISTINCT state FROM legwork.jobs_public WHERE kind = '{kind}'");
    support::eventually(&format!("every job of kind {kind} is {state}"), async || {
        rows(reader, &question).await == [state]
    })
    .await;
}

/// What an operator does to queues, who may not look at them.
const OF_QUEUES: [&[&str]; 4] = [
    &["queue", "pause", "default"],
    &["queue", "resume", "default"],
    &["queue", "set", "default", "--concurrency", "19"],
    &["queue", "unset", "default"],
];

#[test]
fn with_separate_roles_everybody_does_their_own_work_from_insert_to_history() {
    on_an_empty_server(async |cluster| {
        separate(cluster).await;
        let up = legwork(cluster, "legwork_migrator", "app", &["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{}", up.stderr);
        let mut daemon = Daemon::start(&configuration(cluster, "legwork_daemon")).await;
        daemon.logged("daemon.started").await;

        let mut shop = connect(cluster, "shop", "app").await;
        let secret = "INSERT INTO legwork.job (kind, payload) VALUES ('noop', '{\"card\": 4711}')";
        execute(&mut shop, secret).await;
        execute(&mut shop, "SELECT legwork.enqueue('fails')").await;
        for arguments in [&["enqueue", "noop"][..], &["enqueue", "sleep", "{\"seconds\": 600}"]] {
            let ran = legwork(cluster, "shop", "app", arguments).await;
            assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        }
        end(shop).await;

        let mut anna = connect(cluster, "anna", "app").await;
        all_become(&mut anna, "noop", "completed").await;
        all_become(&mut anna, "fails", "discarded").await;
        all_become(&mut anna, "sleep", "running").await;
        let shown = "SELECT id FROM legwork.jobs_public WHERE kind = 'noop' ORDER BY id LIMIT 1";
        let id = value(&mut anna, shown).await;
        let looks: [(&[&str], &str); 6] = [
            (&["job", "list"], "discarded"),
            (
                &["job", "show", &id],
                "payload, metadata, result, failed attempts: not for this role",
            ),
            (&["job", "why", &id], "completed"),
            (&["queue", "list"], "default"),
            (&["queue", "show", "default"], "in line"),
            (&["audit", "list"], "no notes"),
        ];
        for (arguments, says) in looks {
            let ran = legwork(cluster, "anna", "app", arguments).await;
            assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stdout.contains(says), "{arguments:?}: {}", ran.stdout);
            assert!(!ran.stdout.contains("4711"), "{arguments:?}: {}", ran.stdout);
        }
        let json = legwork(cluster, "anna", "app", &["job", "show", &id, "--output", "json"]).await;
        let json = json.json();
        assert_eq!(json["hidden"][0], "payload");
        assert!(json.get("payload").is_none(), "{json}");

        let sleeping = "SELECT id FROM legwork.jobs_public WHERE kind = 'sleep'";
        let sleeping = value(&mut anna, sleeping).await;
        let of_jobs = [&["job", "cancel", &sleeping][..], &["job", "retry", &id]];
        for arguments in of_jobs.into_iter().chain(OF_QUEUES) {
            let ran = legwork(cluster, "otto", "app", arguments).await;
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        }
        all_become(&mut anna, "sleep", "cancelled").await;
        all_become(&mut anna, "noop", "completed").await;
        end(anna).await;

        let mut own = connect(cluster, "legwork_daemon", "app").await;
        let broken = "SELECT * FROM legwork.invariants()";
        assert_eq!(rows(&mut own, broken).await, Vec::<String>::new());
        let logins = "SELECT DISTINCT usename FROM pg_stat_activity
            WHERE application_name LIKE 'legwork %' AND datname = 'app'";
        // A command's goes with it, or where a pooler keeps it, a moment later.
        support::eventually("only the daemon is logged in", async || {
            rows(&mut own, logins).await == ["legwork_daemon"]
        })
        .await;
        end(own).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(PATIENCE).await.code(), Some(0), "{}", daemon.printed());
        let denied = daemon.printed().contains("permission denied");
        assert!(!denied, "{}", daemon.printed());
    });
}

/// Who changes a queue and may not look at it tries no look.
#[test]
fn what_an_operator_does_with_queues_leaves_no_error_in_the_servers_log() {
    on_an_empty_server(async |cluster| {
        separate(cluster).await;
        let up = legwork(cluster, "legwork_migrator", "app", &["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{}", up.stderr);
        let mut root = connect(cluster, "postgres", "postgres").await;
        let failed = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'app'";
        // A session tells at its end what it did.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend'";
        let ended = "the sessions have ended";
        support::eventually(ended, async || value(&mut root, sessions).await == "0").await;
        let before = value(&mut root, failed).await;
        for arguments in OF_QUEUES {
            let ran = legwork(cluster, "otto", "app", arguments).await;
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        }
        support::eventually(ended, async || value(&mut root, sessions).await == "0").await;
        assert_eq!(value(&mut root, failed).await, before);
        end(root).await;
    });
}

/// Who tries what, the exit code, and the role that the error names.
#[rustfmt::skip]
const REFUSED: &[(&str, &[&str], i32, &str)] = &[
    ("anna",           &["job", "cancel", "1"],                  1, "legwork_operator"),
    ("anna",           &["job", "retry", "1"],                   1, "legwork_operator"),
    ("anna",           &["job", "discard", "1"],                 1, "legwork_operator"),
    ("anna",           &["job", "snooze", "1", "--for", "1h"],   1, "legwork_operator"),
    ("anna",           &["queue", "pause", "default"],           1, "legwork_operator"),
    ("anna",           &["queue", "resume", "default"],          1, "legwork_operator"),
    ("anna",           &["operation", "cancel", "1"],            1, "legwork_operator"),
    ("anna",           &["operation", "show", "1"],              1, "legwork_daemon"),
    ("anna",           &["job", "list", "--payload", "a=b"],     1, "legwork_daemon"),
    ("anna",           &["enqueue", "noop"],                     1, "legwork_enqueue"),
    ("anna",           &["enqueue", "--file", "-"],              1, "legwork_enqueue"),
    ("anna",           &["migrate", "up"],                       1, "legwork_owner"),
    ("anna",           &["migrate", "down", "--to", "0"],        1, "legwork_owner"),
    ("anna",           &["run"],                                78, "legwork_daemon"),
    ("shop",           &["job", "list"],                         1, "legwork_read"),
    ("shop",           &["job", "show", "1"],                    1, "legwork_read"),
    ("shop",           &["job", "why", "1"],                     1, "legwork_read"),
    ("shop",           &["queue", "list"],                       1, "legwork_read"),
    ("shop",           &["audit", "list"],                       1, "legwork_read"),
    ("shop",           &["migrate", "status"],                   1, "legwork_read"),
    ("shop",           &["job", "cancel", "1"],                  1, "legwork_operator"),
    ("shop",           &["run"],                                78, "legwork_daemon"),
    ("otto",           &["job", "list"],                         1, "legwork_read"),
    ("otto",           &["job", "show", "1"],                    1, "legwork_read"),
    ("otto",           &["queue", "list"],                       1, "legwork_read"),
    ("otto",           &["queue", "show", "default"],            1, "legwork_read"),
    ("otto",           &["enqueue", "noop"],                     1, "legwork_enqueue"),
    ("otto",           &["run"],                                78, "legwork_daemon"),
    ("nobody_of_ours", &["job", "list"],                         1, "legwork_read"),
    ("nobody_of_ours", &["job", "cancel", "1"],                  1, "legwork_operator"),
    ("nobody_of_ours", &["enqueue", "noop"],                     1, "legwork_enqueue"),
    ("nobody_of_ours", &["migrate", "status"],                   1, "legwork_read"),
    ("nobody_of_ours", &["run"],                                78, "legwork_daemon"),
    ("legwork_daemon", &["migrate", "up"],                       1, "legwork_owner"),
];

#[test]
fn who_lacks_a_role_is_told_which() {
    on_an_empty_server(async |cluster| {
        separate(cluster).await;
        let up = legwork(cluster, "legwork_migrator", "app", &["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{}", up.stderr);
        for (who, arguments, code, role) in REFUSED {
            let mut command = command(&url(cluster, who, "app"), arguments);
            command.env("LEGWORK_ADMIN__LISTEN", "127.0.0.1:0");
            let ran = finished(command, Some(b"{\"kind\": \"noop\"}\n")).await;
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.code, *code, "{who}, {arguments:?}: {said}");
            assert!(said.contains(role), "{who}, {arguments:?}: {said}");
        }
        let mut session = connect(cluster, "postgres", "app").await;
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.jobs").await, "0");
        end(session).await;
    });
}

/// What an application brings along for its jobs: a role without a login, and what that may do. Nothing waits
/// for its function's sleep: one that has to be ended must be there to be ended.
/// Its function takes as long as the payload says: that is the attempt's length, and nothing waits for it.
const APPLICATION: &[&str] = &[
    "CREATE ROLE app_jobs",
    "CREATE SCHEMA app",
    "CREATE TABLE app.effect (who text)",
    "GRANT USAGE ON SCHEMA app TO app_jobs",
    "GRANT INSERT ON app.effect TO app_jobs",
    "CREATE FUNCTION app.work(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO app.effect VALUES (current_user);
        PERFORM pg_sleep((payload ->> 'seconds')::float8); RETURN payload; END $$",
];

#[test]
fn with_separate_roles_a_function_runs_as_its_own_once_the_daemon_may_take_it_on() {
    on_an_empty_server(async |cluster| {
        separate(cluster).await;
        let up = legwork(cluster, "legwork_migrator", "app", &["migrate", "up"]).await;
        assert_eq!(up.code, 0, "{}", up.stderr);
        administer(cluster, "app", APPLICATION).await;
        let kind = "[[kind]]\nname = 'work'\nhandler = 'sql'\nfunction = 'app.work'\nrole = 'app_jobs'\n\
            backoff.base = '50ms'\nbackoff.max = '50ms'\n";
        let file = configuration(cluster, "legwork_daemon") + kind;
        let mut daemon = Daemon::start(&file).await;
        let told = daemon.logged("function.failed").await;
        let said = told["error.message"].as_str().unwrap_or_default();
        assert_eq!(said, "42501: permission denied to set role \"app_jobs\"");

        let ran = legwork(cluster, "shop", "app", &["enqueue", "work", "{\"seconds\": 0}"]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut root = connect(cluster, "postgres", "app").await;
        let denied = "SELECT count(*) FROM legwork.failed_attempt
            WHERE error LIKE '42501: permission denied to set role \"app_jobs\"%'";
        support::eventually("an attempt was denied", async || {
            value(&mut root, denied).await != "0"
        })
        .await;
        execute(&mut root, "GRANT app_jobs TO legwork_daemon").await;
        all_become(&mut root, "work", "completed").await;
        assert_eq!(rows(&mut root, "SELECT who FROM app.effect").await, ["app_jobs"]);

        let ran = legwork(cluster, "shop", "app", &["enqueue", "work", "{\"seconds\": 600}"]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let working =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'legwork sql'";
        support::eventually("the function runs", async || value(&mut root, working).await == "1")
            .await;
        let cancel = "SELECT legwork.cancel(id) FROM legwork.job";
        assert_eq!(rows(&mut root, cancel).await, ["requested"]);
        support::eventually("the server has ended it", async || {
            value(&mut root, working).await == "0"
        })
        .await;
        assert_eq!(rows(&mut root, "SELECT who FROM app.effect").await, ["app_jobs"]);
        end(root).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(PATIENCE).await.code(), Some(0), "{}", daemon.printed());
    });
}
