//! `legwork schedule` and what `legwork config check` says of schedules.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{file, fired, fires, hourly, schedule, tick, ticks};
use crate::cli::legwork;
use crate::statements::{end, execute, rows, value};
use crate::support::{self, Daemon, TestDb};

/// A file of its own with these schedules.
fn written(db: &TestDb, schedules: &str) -> (TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("legwork.toml");
    std::fs::write(&path, file(db, schedules)).expect("the file can be written");
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, own).expect("the file is ours");
    (directory, path)
}

#[test]
fn the_list_shows_each_schedule_with_its_last_and_its_next_instants() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let yearly = schedule("yearly", "0 12 29 2 *", "timezone = 'asia/tokyo'");
        let schedules = format!("{yearly}{}", tick());
        let (_directory, path) = written(&db, &schedules);
        let path = path.display().to_string();
        let list = ["schedule", "list", "--config", &path];
        let before = legwork(&db, &list).await.done();
        assert!(before.stdout.contains("no daemon has it"), "{}", before.stdout);

        let daemon = Daemon::start(&file(&db, &schedules)).await;
        fires(&mut session, "tick", 1).await;
        daemon.stop().await;
        let text = legwork(&db, &list).await.done().stdout;
        assert!(text.contains("0 12 29 2 *") && text.contains("Asia/Tokyo"), "{text}");
        let json = legwork(&db, &[&list[..], &["--output", "json"]].concat()).await.done().json();
        let (yearly, tick) = (&json["schedules"][0], &json["schedules"][1]);
        assert_eq!((&yearly["name"], &yearly["active"]), (&"yearly".into(), &true.into()));
        assert_eq!(yearly["last_fire"], serde_json::Value::Null);
        let next: Vec<_> = yearly["next"].as_array().expect("a list").iter().collect();
        assert_eq!(next.len(), 3);
        assert!(
            next.iter().all(|at| at.as_str().is_some_and(|at| at.ends_with("-02-29T03:00:00Z")))
        );
        assert!(tick["last_job"].is_i64() && tick["last_fire"].is_string(), "{tick}");
        let none = legwork(&db, &["schedule", "list"]).await.done();
        assert!(none.stdout.contains("no schedules"), "{}", none.stdout);
        end(session).await;
    });
}

#[test]
fn a_schedules_job_is_enqueued_by_hand_unless_the_one_before_is_unfinished() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let rest = "payload = { by = 'hand' }";
        let (_directory, path) = written(&db, &schedule("yearly", "0 0 1 1 *", rest));
        let path = path.display().to_string();
        let run = ["schedule", "run", "yearly", "--config", &path];
        let ran = legwork(&db, &[&run[..], &["--output", "json"]].concat()).await.done().json();
        let job = "SELECT id, payload, metadata FROM legwork.jobs";
        let expected = format!(r#"{}|{{"by": "hand"}}|{{"schedule": "yearly"}}"#, ran["id"]);
        assert_eq!(value(&mut session, job).await, expected);
        let again = legwork(&db, &run).await;
        assert_eq!(again.code, 75, "{}{}", again.stdout, again.stderr);
        let says = format!("job {} of schedule yearly is unfinished", ran["id"]);
        assert!(again.stderr.contains(&says), "{}", again.stderr);
        assert_eq!(fired(&mut session, "yearly").await, 1);
        let noted = "SELECT action, target, detail ->> 'job' FROM legwork.audit";
        let once = format!("run|schedule/yearly|{}", ran["id"]);
        assert_eq!(rows(&mut session, noted).await, [once]);

        execute(&mut session, &format!("SELECT legwork.discard({})", ran["id"])).await;
        legwork(&db, &[&run[..], &["--reason", "ticket 812"]].concat()).await.done();
        assert_eq!(fired(&mut session, "yearly").await, 2);
        let noted = "SELECT reason FROM legwork.audit WHERE action = 'run' AND reason IS NOT NULL";
        assert_eq!(value(&mut session, noted).await, "ticket 812");
        let untouched = "SELECT last_fire IS NULL AND done_until <= now() FROM legwork.schedule";
        assert_eq!(value(&mut session, untouched).await, "t");
        let unknown = legwork(&db, &["schedule", "run", "monthly", "--config", &path]).await;
        assert_eq!(unknown.code, 1, "{}", unknown.stderr);
        end(session).await;
    });
}

#[test]
fn a_job_by_hand_makes_no_schedule_known_and_nothing_is_made_up_for_before_its_first_daemon() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let text = schedule("often", &hourly(&mut session).await, "catch_up = 'all'");
        let text = format!("{text}{}", tick());
        let (_directory, path) = written(&db, &text);
        let path = path.display().to_string();
        legwork(&db, &["schedule", "run", "often", "--config", &path]).await.done();
        let list = ["schedule", "list", "--config", &path, "--output", "json"];
        let listed = legwork(&db, &list).await.done().json();
        assert_eq!(listed["schedules"][0]["active"], false, "{listed}");
        let back = "UPDATE legwork.schedule SET done_until = done_until - interval '3 hours'";
        execute(&mut session, back).await;

        let daemon = Daemon::start(&file(&db, &text)).await;
        ticks(&mut session, 3).await;
        assert_eq!(fired(&mut session, "often").await, 1, "the one by hand");
        let listed = legwork(&db, &list).await.done().json();
        assert_eq!(listed["schedules"][0]["active"], true, "{listed}");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn the_check_shows_when_schedules_fire_and_warns_of_kinds_and_queues_that_nobody_serves() {
    support::run(async |db| {
        let own = schedule("yearly", "30 2 1 1 *", "timezone = 'Asia/Kathmandu'");
        let rest = "kind = 'nobodys'\nqueue = 'far'\ncatch_up = 'all'";
        let (_directory, path) =
            written(&db, &format!("{own}{}", schedule("odd", "0 3 * * *", rest)));
        let path = path.display().to_string();
        let checked = legwork(&db, &["config", "check", "--config", &path]).await.done();
        let fires = "schedule yearly fires at ";
        assert!(checked.stdout.contains(fires), "{}", checked.stdout);
        assert!(checked.stdout.contains("-01-01 02:30:00 +05:45"), "{}", checked.stdout);
        for warned in [
            "[[schedule]] \"odd\".kind: no [[kind]] is called \"nobodys\"",
            "[[schedule]] \"odd\".queue: no [[queue]] is called \"far\"",
            "[[schedule]] \"odd\".catch_up: of several missed instants",
        ] {
            assert!(checked.stderr.contains(warned), "{warned}: {}", checked.stderr);
        }
        let json = legwork(&db, &["config", "check", "--config", &path, "--output", "json"]).await;
        let next = json.done().json()["schedules"][0]["next"].as_array().map(Vec::len);
        assert_eq!(next, Some(3));
    });
}
