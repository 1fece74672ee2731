//! Many jobs are changed over HTTP, in batches that a daemon does, whichever lives.

use rstest::rstest;
use serde_json::{Value, json};

use super::{Answer, change, daemon, found, get, post};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon};

const BULK: &str = "/api/v1/jobs/bulk";

/// 1,200 that wait in one queue, and three in another.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue, tags) SELECT 'waits', 'mail', '{t}' FROM generate_series(1, 1200);
    INSERT INTO legwork.job (kind, queue) SELECT 'waits', 'other' FROM generate_series(1, 3)";

fn begun(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.body);
    let place = answer.header("location").expect("it says where");
    assert_eq!(place, format!("/api/v1/operations/{}", answer.json()["id"]));
    place.to_owned()
}

async fn ended(daemon: &Daemon, place: &str) -> Value {
    support::eventually("the operation ends", async || {
        found(daemon, place).await["state"] != "running"
    })
    .await;
    found(daemon, place).await
}

#[test]
fn everything_that_meets_a_filter_is_changed_and_nothing_else() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let daemon = daemon(&db.url(), "").await;
        let body =
            r#"{"action": "discard", "filter": {"queue": "mail", "tag": "t"}, "reason": "spam"}"#;
        let begun_at = begun(&post(&daemon, BULK, body).await);
        let told = ended(&daemon, &begun_at).await;
        assert_eq!(
            (&told["state"], &told["changed"], &told["refused"]),
            (&json!("done"), &json!(1200), &json!({})),
            "{told}"
        );
        let left = "SELECT string_agg(DISTINCT queue, ' ') || count(*) FROM legwork.job";
        assert_eq!(value(&mut session, left).await, "other3");
        let notes = found(&daemon, "/api/v1/audit").await;
        let notes = notes["notes"].as_array().expect("notes");
        assert_eq!(notes.len(), 1, "one for all of them");
        assert_eq!(
            (&notes[0]["reason"], &notes[0]["detail"]["changed"]),
            (&json!("spam"), &json!(1200))
        );
        daemon.logged("operation.ended").await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let daemon = daemon(&db.url(), "").await;
        let body = r#"{"action": "cancel", "filter": {"queue": "mail"}, "dry_run": true}"#;
        let answer = post(&daemon, BULK, body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let sample: Vec<i64> = (1191..=1200).rev().collect();
        assert_eq!(
            answer.json(),
            json!({ "dry_run": true, "matched": 1200, "more": false, "sample": sample })
        );
        // Counting has an end.
        execute(&mut session, "INSERT INTO legwork.job (kind, queue) SELECT 'waits', 'mail' FROM generate_series(1, 9000)").await;
        let more = post(&daemon, BULK, body).await.json();
        assert_eq!((&more["matched"], &more["more"]), (&json!(10000), &json!(true)));
        let untouched = "SELECT (SELECT count(*) FROM legwork.job) || ' ' || (SELECT count(*) FROM legwork.operation)";
        assert_eq!(value(&mut session, untouched).await, "10203 0");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn an_operation_is_gone_on_with_when_its_daemon_is_gone_and_ends_when_it_is_told_to() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        let begin = |filter: &str| {
            format!(
                "SELECT legwork.begin_bulk('discard', '{{\"queue\": \"{filter}\"}}', holder => 5)"
            )
        };
        // Of a daemon that died after its first batch, long ago; and of one that lives, as far as anybody knows.
        execute(
            &mut session,
            &format!("{}; SELECT legwork.step_bulk(1, 5); {}", begin("mail"), begin("other")),
        )
        .await;
        execute(
            &mut session,
            "UPDATE legwork.operation SET renewed_at = now() - interval '1 min' WHERE id = 1;
             UPDATE legwork.operation SET renewed_at = now() + interval '1 h' WHERE id = 2",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let told = ended(&daemon, "/api/v1/operations/1").await;
        assert_eq!((&told["state"], &told["changed"]), (&json!("done"), &json!(1200)), "{told}");

        for reason in ["the wrong queue", "twice"] {
            let body = json!({ "reason": reason }).to_string();
            let answer = change(&daemon, "DELETE", "/api/v1/operations/2", &body).await;
            assert_eq!(
                (answer.status, &answer.json()["state"]),
                (200, &json!("cancelled")),
                "{}",
                answer.body
            );
        }
        assert_eq!(
            value(&mut session, "SELECT count(*) FROM legwork.job WHERE queue = 'other'").await,
            "3"
        );
        let noted = "SELECT string_agg(target || ' ' || reason, '; ') FROM legwork.audit WHERE action = 'end'";
        assert_eq!(value(&mut session, noted).await, "operation/2 the wrong queue");
        for (body, status) in [(r#"{"reason": ""}"#, 400), (r#"{"why": "x"}"#, 400)] {
            let answer = change(&daemon, "DELETE", "/api/v1/operations/2", body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (status, "invalid-body".into()),
                "{body}"
            );
        }
        for method in ["GET", "DELETE"] {
            let answer = change(&daemon, method, "/api/v1/operations/9", "{}").await;
            assert_eq!(
                (answer.status, answer.problem()),
                (404, "no-such-operation".into()),
                "{method}"
            );
        }
        assert_eq!(get(&daemon, "/api/v1/operations/x").await.status, 400);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn operations_are_listed_newest_first() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let begin = "SELECT legwork.begin_bulk('discard', '{}', holder => 5, everything => true) FROM generate_series(1, 2);
            SELECT legwork.cancel_bulk(1)";
        execute(&mut session, begin).await;
        end(session).await;
        let daemon = daemon(&db.url(), "").await;
        for (query, ids) in [("", vec![2, 1]), ("?state=cancelled", vec![1]), ("?after=2", vec![1])]
        {
            let page = found(&daemon, &format!("/api/v1/operations{query}")).await;
            let listed = page["operations"].as_array().expect("operations").iter();
            assert_eq!(listed.map(|one| one["id"].clone()).collect::<Vec<_>>(), ids, "{query}");
        }
        for query in ["state=ended", "after=x", "limit=0", "limit=1001", "status=done"] {
            let answer = get(&daemon, &format!("/api/v1/operations?{query}")).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        }
        daemon.stop().await;
    });
}

/// Where so many were looked at that the page is short, it says behind which of them the next one begins.
#[test]
fn a_page_of_operations_of_which_few_are_met_ends_early_and_leads_on() {
    support::run(async |db| {
        let mut session = db.connect().await;
        // More than are looked at for a page, which are 20,000; what is sought stands below them.
        let many = "INSERT INTO legwork.operation (action, filter, state, below, note)
            SELECT 'cancel', '{}', CASE WHEN g < 4 THEN 'failed' ELSE 'done' END, 0, 0
            FROM generate_series(1, 20010) g";
        execute(&mut session, many).await;
        end(session).await;
        let daemon = daemon(&db.url(), "").await;
        for (query, ids, next) in [
            ("?state=failed", &[][..], json!(11)),
            ("?state=failed&after=11", &[3, 2, 1], json!(null)),
            ("?state=failed&after=11&limit=2", &[3, 2], json!(2)),
            // Full before the last one that is looked at.
            ("?state=done&limit=1", &[20_010], json!(20_010)),
        ] {
            let page = found(&daemon, &format!("/api/v1/operations{query}")).await;
            let listed = page["operations"].as_array().expect("operations").iter();
            assert_eq!(listed.map(|one| one["id"].clone()).collect::<Vec<_>>(), ids, "{query}");
            assert_eq!(page["next"], next, "{query}");
        }
        daemon.stop().await;
    });
}

/// Each has a batch before any has another, so that who clears up in a hurry doesn't wait for the end of what is long.
#[test]
fn operations_of_one_daemon_take_turns() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let jobs = "INSERT INTO legwork.job (kind, queue) SELECT 'waits', q FROM (VALUES ('long', 4100), ('short', 700),
                ('shorter', 3)) AS of (q, jobs), generate_series(1, jobs);
            SELECT legwork.begin_bulk('discard', jsonb_build_object('queue', q))
                FROM unnest('{long,short,shorter}'::text[]) WITH ORDINALITY AS of (q, at) ORDER BY at";
        execute(&mut session, jobs).await;
        let daemon = daemon(&db.url(), "").await;
        for operation in 1..=3 {
            let told = ended(&daemon, &format!("/api/v1/operations/{operation}")).await;
            assert_eq!(told["state"], "done", "{told}");
        }
        let order = "SELECT string_agg(id::text, ' ' ORDER BY ended_at) FROM legwork.operation";
        assert_eq!(value(&mut session, order).await, "3 2 1");
        daemon.stop().await;
        end(session).await;
    });
}

#[rstest]
#[case::what_a_trigger_raises("RAISE 'not this one'", "P0001: not this one")]
// It would keep every operation behind it from being gone on with.
#[case::a_right_that_is_missing("RAISE 'not you' USING ERRCODE = '42501'", "42501: not you")]
// Whoever may not see payloads may see operations.
#[case::what_quotes_a_payload(
    "PERFORM (OLD.payload ->> 0)::int",
    "22P02: the server's words may quote values, and stand in its own log"
)]
fn a_batch_that_the_database_refuses_ends_its_operation_and_says_why(
    #[case] body: &str,
    #[case] why: &str,
) {
    support::run(async |db| {
        let mut session = db.connect().await;
        let refuses = format!(
            "INSERT INTO legwork.job (kind, payload) VALUES ('waits', '[\"s3cr3t\"]');
             CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 {body}; RETURN OLD; END $$;
             CREATE TRIGGER no BEFORE DELETE ON legwork.job FOR EACH ROW EXECUTE FUNCTION public.no()"
        );
        execute(&mut session, &refuses).await;
        let daemon = daemon(&db.url(), "").await;
        let begun_at = begun(&post(&daemon, BULK, r#"{"action": "cancel", "all": true}"#).await);
        let told = ended(&daemon, &begun_at).await;
        let stands = (&told["state"], &told["error"]);
        assert_eq!(stands, (&json!("failed"), &json!(why)), "{told}");
        execute(&mut session, "DROP TRIGGER no ON legwork.job; DROP FUNCTION public.no()").await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn what_can_not_be_meant_is_refused_with_the_member_that_is_wrong() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        for (body, said) in [
            ("{}", "missing field `action`"),
            (r#"{"action": "drop"}"#, "unknown variant `drop`"),
            (r#"{"action": "cancel"}"#, "all has to be said"),
            (r#"{"action": "cancel", "filter": {"quue": "mail"}}"#, "unknown field `quue`"),
            (r#"{"action": "cancel", "filter": {"queue": "a b"}}"#, "queue: "),
            (r#"{"action": "cancel", "filter": {"state": "gone"}}"#, "the states are"),
            (r#"{"action": "cancel", "filter": {"created_before": "soon"}}"#, "created_before: "),
            (
                r#"{"action": "cancel", "filter": {"created_before": "9999-12-31T23:59:59-00:01"}}"#,
                "the years 0000 to 9999",
            ),
            (r#"{"action": "snooze", "filter": {"queue": "mail"}}"#, "snooze takes a time"),
            (r#"{"action": "snooze", "filter": {"queue": "mail"}, "for": "soon"}"#, "for: "),
            (r#"{"action": "cancel", "filter": {"created_before": "2000000d"}}"#, "ten years"),
            (r#"{"action": "discard", "filter": {"state": "completed"}}"#, "unfinished jobs"),
            (r#"{"action": "cancel", "all": true, "reason": ""}"#, "from 1 to 500 bytes"),
        ] {
            let answer = post(&daemon, BULK, body).await;
            assert_eq!((answer.status, answer.problem()), (400, "invalid-body".into()), "{body}");
            assert!(answer.body.contains(said), "{body}: {}", answer.body);
        }
        for (body, parameter) in [
            ("{}", "action"),
            (r#"{"action": "cancel"}"#, "all"),
            (r#"{"action": "retry", "filter": {"queue": "mail"}, "for": "1h"}"#, "for"),
            (r#"{"action": "discard", "filter": {"state": "completed"}}"#, "state"),
            (r#"{"action": "snooze", "filter": {"queue": "mail"}}"#, "for"),
            (r#"{"action": "retry", "filter": {"state": "running"}}"#, "state"),
            (r#"{"action": "cancel", "fliter": {"state": "running"}}"#, "fliter"),
        ] {
            let refused = post(&daemon, BULK, body).await.json();
            assert_eq!(refused["parameter"], parameter, "{body}: {refused}");
        }
        daemon.stop().await;
    });
}
