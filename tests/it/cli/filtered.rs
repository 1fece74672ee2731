//! Commands that change all jobs which meet filters: what they are about, that they ask, and that they can be ended.

use super::{arrange, command, legwork, live_jobs};
use crate::statements::{end, value};
use crate::support::{self, PATIENCE, TestDb};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::time::timeout;

/// 1 … 600 in queue mail, of which the even ones have a tag and a user; 601 in another; 602 is old.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue, tags, payload)
        SELECT 'k', 'mail', CASE WHEN n % 2 = 0 THEN '{t}'::text[] END, jsonb_build_object('user', jsonb_build_object('id', n % 2))
        FROM generate_series(1, 600) n;
    INSERT INTO legwork.job (kind, queue) VALUES ('k', 'other');
    INSERT INTO legwork.job (kind, queue, created_at) OVERRIDING SYSTEM VALUE VALUES ('k', 'mail', now() - interval '2 d')";

#[test]
fn all_jobs_that_meet_the_filters_are_changed_and_noted_once() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        let cancel = ["job", "cancel", "--queue", "mail", "--tag", "t", "--output", "json"];
        let tried = legwork(&db, &[&cancel[..], &["--dry-run"]].concat()).await.done().json();
        assert_eq!((&tried["matched"], &tried["more"]), (&json!(300), &json!(false)));
        assert_eq!(tried["sample"][0], json!(600));
        assert_eq!(live_jobs(&db).await, 602);

        let done = legwork(&db, &[&cancel[..], &["--yes", "--reason", "spam"]].concat()).await;
        let done = done.done().json();
        assert_eq!((&done["state"], &done["changed"]), (&json!("done"), &json!(300)), "{done}");
        let by = |option: &'static str, is: &'static str| {
            ["job", "discard", "--queue", "mail", option, is, "--yes", "--output", "json"]
        };
        for (option, is, changed) in
            [("--older-than", "1d", 1), ("--payload", "user.id=1", 300), ("--newer-than", "1h", 0)]
        {
            let done = legwork(&db, &by(option, is)).await.done().json();
            assert_eq!(done["changed"], json!(changed), "{option}");
        }
        assert_eq!(live_jobs(&db).await, 1);
        let retried = ["job", "retry", "--all", "--state", "discarded", "--yes"];
        let text = legwork(&db, &retried).await.done().stdout;
        assert_eq!(text, "operation 5: retry of 301 jobs\n");

        let mut session = db.connect().await;
        let noted = "SELECT count(*) || ' ' || min(reason) || ' ' || bool_and(actor LIKE '_%, legwork job %') FROM legwork.audit";
        assert_eq!(value(&mut session, noted).await, "5 spam true");
        end(session).await;
    });
}

#[test]
fn every_filter_holds_for_each_of_the_four_commands() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        let commands = [&["snooze", "--for", "1h"][..], &["retry"], &["discard"], &["cancel"]];
        for command in commands {
            for (filter, matched) in [
                (&["--queue", "other"][..], 1),
                (&["--kind", "k"], 602),
                (&["--state", "available"], 602),
                (&["--tag", "t"], 300),
                (&["--payload", "user.id=1"], 300),
                (&["--older-than", "1d"], 1),
                (&["--newer-than", "1d"], 601),
                (&["--all"], 602),
            ] {
                let beside = ["--dry-run", "--output", "json"];
                let arguments = [&["job"], command, filter, &beside].concat();
                let tried = legwork(&db, &arguments).await.done().json();
                assert_eq!(tried["matched"], json!(matched), "{arguments:?}");
            }
        }
        let mut session = db.connect().await;
        for command in commands {
            let of = ["--queue", "other", "--yes", "--reason", "spring cleaning"];
            legwork(&db, &[&["job"], command, &of].concat()).await.done();
            let noted = format!("SELECT reason FROM legwork.audit WHERE action = '{}'", command[0]);
            assert_eq!(value(&mut session, &noted).await, "spring cleaning", "{command:?}");
        }
        end(session).await;
    });
}

#[test]
fn nothing_is_changed_where_nobody_can_be_asked_or_no_filter_is_given() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        for (arguments, said) in [
            (&["job", "cancel", "--queue", "mail"][..], "--yes"),
            (&["job", "discard", "--yes"], "--all means every job"),
            (&["job", "retry", "1", "--queue", "mail"], "cannot be used with"),
            (&["job", "cancel", "--payload", "x", "--yes"], "user.id=42"),
        ] {
            let ran = legwork(&db, arguments).await;
            assert_eq!(ran.code, 2, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
        }
        let refused = ["job", "discard", "--state", "completed", "--yes"];
        let ran = legwork(&db, &refused).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("unfinished jobs"), "{}", ran.stderr);
        assert_eq!(live_jobs(&db).await, 602);
    });
}

#[test]
fn who_interrupts_it_ends_the_operation_and_what_is_done_stays_done() {
    support::run(async |db| {
        let many = "INSERT INTO legwork.job (kind, run_at) SELECT 'k', now() + interval '1 d' FROM generate_series(1, 60000)";
        arrange(&db, many).await;
        let mut session = db.connect().await;
        let mut command = command(&db.url(), &["job", "discard", "--kind", "k", "--yes"]);
        let child = command.spawn().expect("the binary runs");
        support::eventually("a batch is done", async || {
            value(&mut session, "SELECT coalesce(max(changed), 0) > 0 FROM legwork.operation").await
                == "t"
        })
        .await;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
        kill(Pid::from_raw(pid), Signal::SIGINT).expect("it can be interrupted");
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
        let output = output.expect("it can be waited for");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("operation 1 was ended before its time"), "{said}");
        let stands = "SELECT state || ' ' || (changed < 60000) || ' ' || (changed = 60000 - (SELECT count(*) FROM legwork.job)) FROM legwork.operation";
        assert_eq!(value(&mut session, stands).await, "cancelled true true");
        end(session).await;
    });
}

#[test]
fn an_operation_is_shown_and_ended_for_a_reason_whoever_began_it() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        // Somebody else holds it, and means to do its batches.
        arrange(&db, "SELECT legwork.begin_bulk('cancel', '{\"queue\": \"mail\"}', holder => 5)")
            .await;
        let shown = ["operation", "show", "1", "--output", "json"];
        let shown = legwork(&db, &shown).await.done().json();
        assert_eq!((&shown["state"], &shown["action"]), (&json!("running"), &json!("cancel")));
        let cancel = ["operation", "cancel", "1", "--reason", "wrong queue", "--output", "json"];
        for _ in 0..2 {
            let ended = legwork(&db, &cancel).await.done().json();
            assert_eq!((&ended["state"], &ended["changed"]), (&json!("cancelled"), &json!(0)));
        }
        assert_eq!(live_jobs(&db).await, 602);
        let mut session = db.connect().await;
        let noted = "SELECT string_agg(reason || ' ' || (actor LIKE '_%, legwork operation cancel') || ' ' || target, '; ')
            FROM legwork.audit WHERE action = 'end'";
        assert_eq!(value(&mut session, noted).await, "wrong queue true operation/1");
        end(session).await;
        for command in ["show", "cancel"] {
            let ran = legwork(&db, &["operation", command, "9"]).await;
            assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains("there is no operation 9"), "{}", ran.stderr);
        }
    });
}

/// The ids of a page, and where the next one starts.
async fn listed(db: &TestDb, filter: &[&str]) -> (Vec<i64>, Option<i64>) {
    let words = [&["operation", "list", "--output", "json"], filter].concat();
    let page = legwork(db, &words).await.done().json();
    let operations = page["operations"].as_array().expect("operations");
    let ids = operations.iter().map(|operation| operation["id"].as_i64().expect("an id"));
    (ids.collect(), page["next"].as_i64())
}

#[test]
fn operations_are_listed_by_state_in_pages() {
    support::run(async |db| {
        assert_eq!(legwork(&db, &["operation", "list"]).await.done().stdout, "no operations\n");
        let begin = "SELECT legwork.begin_bulk('cancel', '{\"queue\": \"mail\"}', holder => 5) FROM generate_series(1, 5)";
        arrange(&db, begin).await;
        arrange(&db, "SELECT legwork.cancel_bulk(2); SELECT legwork.cancel_bulk(4)").await;
        assert_eq!(listed(&db, &[]).await, (vec![5, 4, 3, 2, 1], None));
        assert_eq!(listed(&db, &["--state", "running"]).await, (vec![5, 3, 1], None));
        assert_eq!(listed(&db, &["--state", "cancelled"]).await, (vec![4, 2], None));
        assert_eq!(listed(&db, &["--state", "done"]).await, (vec![], None));
        assert_eq!(listed(&db, &["--limit", "2"]).await, (vec![5, 4], Some(4)));
        let rest = ["--limit", "2", "--after", "4", "--state", "running"];
        assert_eq!(listed(&db, &rest).await, (vec![3, 1], Some(1)));
        let table = legwork(&db, &["operation", "list", "--limit", "1"]).await.done().stdout;
        assert!(table.contains("cancel") && table.contains(r#"{"queue":"mail"}"#), "{table}");
        let ran = legwork(&db, &["operation", "list", "--state", "ended"]).await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("running, done, cancelled, failed"), "{}", ran.stderr);
    });
}
