//! Operators' and producers' commands through it.

use super::{nothing_is_left_in_sessions, run};
use crate::cli::{Ran, command, finished};
use crate::statements::value;
use crate::support::{self, Bouncer, TestDb};

/// `legwork` with this file, fed with this.
async fn legwork(file: &str, arguments: &[&str], input: Option<&[u8]>) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("legwork.toml");
    std::fs::write(&path, file).expect("a file can be written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("its mode can be set");
    let path = path.display().to_string();
    let mut command = command("", &[&["--config", path.as_str()], arguments].concat());
    command.env_remove("DATABASE_URL");
    finished(command, input).await
}

async fn as_an_operator(db: &TestDb, bouncer: &Bouncer, direct: bool) {
    let file = bouncer.section(db, direct);
    let done = async |arguments: &[&str]| legwork(&file, arguments, None).await.done();
    let enqueue = ["--output", "json", "enqueue", "mail", "{\"to\": 1}"];
    let id = done(&enqueue).await.json()["id"].to_string();
    // Twice, since the second session of the pool's may be the first's.
    for _ in 0..2 {
        assert!(done(&["job", "show", &id]).await.stdout.contains("mail"));
        assert!(done(&["job", "list"]).await.stdout.contains("mail"));
    }
    done(&["job", "cancel", &id]).await;
    done(&["job", "retry", &id]).await;
    done(&["queue", "pause", "default"]).await;
    assert!(done(&["job", "why", &id]).await.stdout.contains("paused"));
    done(&["queue", "resume", "default"]).await;
    done(&["queue", "list"]).await;
    let lines = b"{\"kind\": \"mail\"}\n{\"kind\": \"mail\"}\n";
    legwork(&file, &["enqueue", "--file", "-"], Some(lines)).await.done();
    let mut session = db.connect().await;
    assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.job").await, "3");
    let refused = legwork(&file, &["enqueue", "mail", "--queue", "no such"], None).await;
    assert_ne!(refused.code, 0);
}

#[test]
fn commands_do_alone_what_they_do_on_a_server() {
    run(async |db, bouncer| {
        as_an_operator(db, &bouncer, false).await;
        nothing_is_left_in_sessions(&bouncer).await;
    });
}

#[test]
fn who_may_not_see_payloads_sees_the_rest_through_a_pooler_alone() {
    support::run(async |db| {
        let Some(bouncer) = Bouncer::start_as(&db, "legwork_read").await else { return };
        let mut session = db.connect().await;
        let insert = "INSERT INTO legwork.job (kind, payload) VALUES ('mail', '4711') RETURNING id";
        let id = value(&mut session, insert).await;
        let shown = legwork(&bouncer.section(&db, false), &["job", "show", &id], None).await.done();
        assert!(
            shown.stdout.contains("mail") && !shown.stdout.contains("4711"),
            "{}",
            shown.stdout
        );
        assert!(shown.stdout.contains("not for this role"), "{}", shown.stdout);
    });
}

#[test]
fn commands_go_past_it_where_they_can() {
    run(async |db, mut bouncer| {
        as_an_operator(db, &bouncer, true).await;
        let file = bouncer.section(db, true);
        bouncer.stop();
        legwork(&file, &["job", "list"], None).await.done();
    });
}

#[test]
fn migrations_and_benchmarks_go_past_it_and_are_refused_where_they_cannot() {
    run(async |db, bouncer| {
        let file = bouncer.section(db, true);
        legwork(&file, &["migrate", "up"], None).await.done();
        legwork(&file, &["migrate", "status"], None).await.done();
        let bench = ["bench", "latency", "--jobs", "1"];
        legwork(&file, &bench, None).await.done();
        for arguments in [&["migrate", "up"], &bench[..]] {
            let alone = legwork(&bouncer.section(db, false), arguments, None).await;
            assert_eq!(alone.code, 78, "{}", alone.stderr);
            assert!(alone.stderr.contains("direct_url"), "{}", alone.stderr);
        }
    });
}

#[test]
fn direct_url_may_stand_in_a_file_and_is_needed_by_sql_kinds() {
    run(async |db, bouncer| {
        let directory = tempfile::tempdir().expect("a directory");
        let secret = directory.path().join("direct");
        std::fs::write(&secret, db.url()).expect("a file can be written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&secret, mode).expect("its mode can be set");
        let kind = "[[kind]]\nname = 'x'\nhandler = 'sql'\nfunction = 'public.x'\n";
        let alone = bouncer.section(db, false);
        let file = format!("{alone}direct_url_file = '{}'\n{kind}", secret.display());
        legwork(&file, &["config", "check"], None).await.done();
        legwork(&file, &["migrate", "status"], None).await.done();
        let alone = legwork(&format!("{alone}{kind}"), &["config", "check"], None).await;
        assert_eq!(alone.code, 78, "{}", alone.stderr);
        assert!(alone.stderr.contains("sql needs database.direct_url"), "{}", alone.stderr);
    });
}
