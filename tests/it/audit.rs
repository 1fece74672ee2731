//! What people changed is noted: who, what and why, in the transaction of the change.

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;

const NOTES: &str = "SELECT actor, login = session_user, action, target, reason, request_id, detail
    FROM legwork.audit ORDER BY id";

/// A waiting job 1, one that runs, 2, and a finished one, 3.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue) VALUES ('a', 'one'), ('b', 'two'), ('c', 'three');
    UPDATE legwork.job SET holder = 7 WHERE id = 2; SELECT legwork.cancel(3); SELECT legwork.cancel(4);
    TRUNCATE legwork.audit RESTART IDENTITY";

#[test]
fn each_function_that_changes_something_notes_it_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        execute(
            &mut session,
            "SET timezone = 'UTC'; SET legwork.actor = 'ann';
             SELECT legwork.snooze(1, '1 h', 'later'); SELECT legwork.retry(1); SELECT legwork.cancel(2, 'wrong');
             SELECT legwork.retry(3, 'again'); SELECT legwork.discard(3); SELECT legwork.cancel(1);
             SELECT legwork.pause('one', 'down'); SELECT legwork.pause('one', 'still down');
             SELECT legwork.resume('one', 'up')",
        )
        .await;
        let noted = rows(
            &mut session,
            "SELECT actor || ' ' || action || ' ' || target || ' ' || coalesce(reason, '-') || ' ' || (detail - 'result')
                || CASE action WHEN 'snooze' THEN '' ELSE coalesce(detail ->> 'result', '') END
             FROM legwork.audit ORDER BY id",
        )
        .await;
        let one = r#"{"kind": "a", "queue": "one"}"#;
        let three = r#"{"kind": "c", "queue": "three"}"#;
        let expected = [
            format!("ann snooze job/1 later {one}"),
            format!("ann retry job/1 - {one}due_now"),
            r#"ann cancel job/2 wrong {"kind": "b", "queue": "two"}requested"#.to_owned(),
            format!("ann retry job/3 again {three}retried"),
            format!("ann discard job/3 - {three}discarded"),
            format!("ann cancel job/1 - {one}cancelled"),
            r#"ann pause queue/one down {"changed": true}"#.to_owned(),
            r#"ann pause queue/one still down {"changed": false}"#.to_owned(),
            "ann resume queue/one up {}".to_owned(),
        ];
        assert_eq!(noted, expected);
        end(session).await;
    });
}

#[test]
fn a_call_that_changes_nothing_leaves_no_note_and_a_change_that_is_undone_neither() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, JOBS).await;
        execute(&mut session, "SELECT legwork.cancel(2); TRUNCATE legwork.audit").await;
        execute(
            &mut session,
            "SELECT legwork.cancel(2), legwork.cancel(3), legwork.cancel(99), legwork.discard(3), legwork.retry(1),
                legwork.resume('one')",
        )
        .await;
        refused(&mut session, "SELECT legwork.discard(2)").await;
        refused(&mut session, "SELECT legwork.cancel(1), legwork.discard(2)").await;
        execute(&mut session, "BEGIN; SELECT legwork.cancel(1); ROLLBACK").await;
        assert_eq!(rows(&mut session, NOTES).await, Vec::<String>::new());
        end(session).await;
    });
}

#[test]
fn a_pause_or_a_drain_is_noted_as_often_as_it_changes_anything() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (call, changed, noted) in [
            ("pause('one', 'down')", "t", "1"),
            ("pause('one', 'down')", "f", "1"),
            ("pause('one')", "f", "1"),
            ("pause('one', 'still down')", "f", "2"),
            ("pause('one', 'still down')", "f", "2"),
            ("pause('one', 'still down', '2999-01-01Z')", "t", "3"),
            ("pause('one', 'still down', '2999-01-01Z')", "f", "3"),
            ("drain('one', 'still down', '2999-01-01Z')", "t", "4"),
            ("drain('one', 'still down', '2999-01-01Z')", "f", "4"),
            ("drain('two')", "t", "5"),
            ("drain('two')", "f", "5"),
            ("drain('two', 'a reason after all')", "f", "6"),
            ("drain('two', 'a reason after all')", "f", "6"),
        ] {
            assert_eq!(
                value(&mut session, &format!("SELECT legwork.{call}")).await,
                changed,
                "{call}"
            );
            assert_eq!(
                value(&mut session, "SELECT count(*) FROM legwork.audit").await,
                noted,
                "{call}"
            );
        }
        end(session).await;
    });
}

#[test]
fn who_asks_is_what_the_transaction_says_and_the_login_stands_beside_it() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_operator").await;
        execute(&mut session, "SELECT legwork.pause('a')").await;
        execute(
            &mut session,
            "BEGIN; SELECT legwork.asked_by('ann', 'because', 'req-1'); SELECT legwork.pause('b'), legwork.pause('c', 'own'); COMMIT",
        )
        .await;
        // One statement: who asks is said before anything is changed, and only for as long.
        execute(
            &mut session,
            "SELECT legwork.pause(name) FROM legwork.asked_by('bob', NULL, NULL), unnest('{d,e}'::text[]) AS q (name)",
        )
        .await;
        execute(&mut session, "SELECT legwork.pause('f'); RESET ROLE").await;
        let login = value(&mut session, "SELECT session_user").await;
        let expected = [
            format!("{login}|t|pause|queue/a|||{{\"changed\": true}}"),
            "ann|t|pause|queue/b|because|req-1|{\"changed\": true}".to_owned(),
            "ann|t|pause|queue/c|own|req-1|{\"changed\": true}".to_owned(),
            "bob|t|pause|queue/d|||{\"changed\": true}".to_owned(),
            "bob|t|pause|queue/e|||{\"changed\": true}".to_owned(),
            format!("{login}|t|pause|queue/f|||{{\"changed\": true}}"),
        ];
        assert_eq!(rows(&mut session, NOTES).await, expected);
        end(session).await;
    });
}

#[test]
fn a_reason_that_is_too_long_is_refused_with_the_name_of_its_rule() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_operator").await;
        execute(&mut session, "SELECT legwork.pause('q')").await;
        let refusal = refused(&mut session, "SELECT legwork.resume('q', repeat('x', 501))").await;
        assert!(refusal.message.contains("audit_reason_is_1_to_500_bytes"), "{refusal:?}");
        end(session).await;
    });
}

#[test]
fn notes_are_deleted_when_their_ninety_days_are_over_in_steps_and_none_before() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "SELECT legwork.note('test', 'note/' || n) FROM generate_series(1, 5) n;
             UPDATE legwork.audit SET at = now() - interval '91 days' WHERE id <= 3;
             UPDATE legwork.audit SET at = now() - interval '89 days' WHERE id = 4",
        )
        .await;
        for deleted in ["2", "1", "0"] {
            assert_eq!(value(&mut session, "SELECT legwork.prune_audit(2)").await, deleted);
        }
        let left = "SELECT string_agg(target, ' ' ORDER BY id) FROM legwork.audit";
        assert_eq!(value(&mut session, left).await, "note/4 note/5");
        end(session).await;
    });
}
