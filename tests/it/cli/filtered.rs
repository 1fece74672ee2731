//! Commands that change all jobs which meet filters: what they are about, that they ask, and that they can be ended.

use super::{arrange, command, legwork, live_jobs};
use crate::statements::{end, value};
use crate::support::{self, PATIENCE};
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
