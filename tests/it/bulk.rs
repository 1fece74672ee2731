//! Operations on many jobs, as SQL knows them: what they are about, that each batch is done once and wholly, and what
//! forbids one.

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;

/// Of 12 jobs of each queue: 1 … 3 wait, 4 is scheduled, 5 runs, 6 is cancelled, 7 is discarded, 8 is completed.
const JOBS: &str = "INSERT INTO legwork.job (kind, queue, tags, payload)
        SELECT 'k', q, '{t}', '{\"user\": {\"id\": 42}}' FROM generate_series(1, 8), unnest('{mail,other}'::text[]) q ORDER BY q;
    UPDATE legwork.job SET run_at = now() + interval '1 h' WHERE id IN (4, 12);
    UPDATE legwork.job SET holder = 7 WHERE id IN (5, 13);
    SELECT legwork.cancel(6), legwork.cancel(14), legwork.discard(7), legwork.discard(15);
    WITH d AS (DELETE FROM legwork.job WHERE id IN (8, 16) RETURNING *)
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt, rescues, snoozes,
        queue, kind, payload) SELECT id, token, run_at, created_at, current_date + 1, 'completed', 0, 1, 0, 0, queue, kind, payload FROM d;
    TRUNCATE legwork.audit";

async fn begin(session: &mut PgConnection, arguments: &str) -> i64 {
    let begin = format!("SELECT legwork.begin_bulk({arguments}) ->> 'id'");
    value(session, &begin).await.parse().expect("an operation's id")
}

async fn step(session: &mut PgConnection, operation: i64) -> Value {
    let told = value(session, &format!("SELECT legwork.step_bulk({operation}, 1)")).await;
    serde_json::from_str(&told).expect("it is JSON")
}

#[test]
fn each_action_is_about_the_jobs_that_it_can_change_and_says_what_it_could_not() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (arguments, changed, refused, became) in [
            (
                "'cancel', '{\"queue\": \"mail\"}'",
                5,
                json!({}),
                "cancelled 1 2 3 4 6|completed 8|discarded 7|running 5",
            ),
            (
                "'discard', '{\"queue\": \"mail\"}'",
                4,
                json!({ "running": 1 }),
                "cancelled 6|completed 8|discarded 1 2 3 4 7|running 5",
            ),
            (
                "'snooze', '{\"queue\": \"mail\"}', '2 h'",
                4,
                json!({ "running": 1 }),
                "cancelled 6|completed 8|discarded 7|running 5|scheduled 1 2 3 4",
            ),
            (
                "'retry', '{\"queue\": \"mail\"}'",
                3,
                json!({ "running": 1, "already_in_line": 3 }),
                "available 1 2 3 4 6 7|completed 8|running 5",
            ),
            (
                "'retry', '{\"queue\": \"mail\", \"state\": \"completed\"}'",
                1,
                json!({}),
                "available 1 2 3 8|cancelled 6|discarded 7|running 5|scheduled 4",
            ),
            (
                "'cancel', '{\"tag\": \"t\", \"queue\": \"mail\", \"state\": \"scheduled\", \"payload\": {\"user.id\": \"42\"}}'",
                1,
                json!({}),
                "available 1 2 3|cancelled 4 6|completed 8|discarded 7|running 5",
            ),
            (
                "'cancel', '{\"payload\": {\"user.id\": \"43\"}}'",
                0,
                json!({}),
                "available 1 2 3|cancelled 6|completed 8|discarded 7|running 5|scheduled 4",
            ),
            (
                "'cancel', '{\"created_before_ago\": 3600}'",
                0,
                json!({}),
                "available 1 2 3|cancelled 6|completed 8|discarded 7|running 5|scheduled 4",
            ),
        ] {
            execute(&mut session, "TRUNCATE legwork.job, legwork.finished RESTART IDENTITY").await;
            execute(&mut session, JOBS).await;
            let id = begin(&mut session, arguments).await;
            let told = step(&mut session, id).await;
            assert_eq!(
                (&told["state"], &told["changed"], &told["refused"]),
                (&json!("done"), &json!(changed), &refused),
                "{arguments}"
            );
            let states = "SELECT state || ' ' || string_agg(id::text, ' ' ORDER BY id) FROM legwork.jobs WHERE queue = 'mail' GROUP BY state ORDER BY state";
            assert_eq!(rows(&mut session, states).await.join("|"), became, "{arguments}");
            let others = "SELECT count(*) FROM legwork.jobs WHERE queue = 'other' AND state IN ('available', 'scheduled', 'running')";
            assert_eq!(value(&mut session, others).await, "5", "{arguments}");
        }
        end(session).await;
    });
}

#[test]
fn jobs_that_came_after_the_begin_are_left_alone_and_there_is_one_note_for_all() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 1203)",
        )
        .await;
        let id = begin(&mut session, "'discard', '{\"kind\": \"k\"}', reason => 'spam'").await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 5)",
        )
        .await;
        for (changed, state) in
            [(500, "running"), (1000, "running"), (1203, "done"), (1203, "done")]
        {
            let told = step(&mut session, id).await;
            assert_eq!(
                (&told["changed"], &told["state"]),
                (&json!(changed), &json!(state)),
                "{told}"
            );
        }
        assert_eq!(
            value(&mut session, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM legwork.job")
                .await,
            "1204 1205 1206 1207 1208"
        );
        let noted = "SELECT action, target, reason, detail FROM legwork.audit";
        let expected = format!(
            "discard|operation/{id}|spam|{{\"state\": \"done\", \"filter\": {{\"kind\": \"k\"}}, \"changed\": 1203, \"refused\": {{}}, \"looked_at\": 1203}}"
        );
        assert_eq!(rows(&mut session, noted).await, [expected]);
        end(session).await;
    });
}

#[test]
fn a_batch_that_is_undone_is_done_anew_and_two_that_step_do_each_job_once() {
    support::run(async |db| {
        let (mut one, mut other) = (db.connect().await, db.connect().await);
        execute(&mut one, "INSERT INTO legwork.job (kind, run_at) SELECT 'k', now() + interval '1 d' FROM generate_series(1, 900)").await;
        let id = begin(&mut one, "'snooze', '{}', '1 h', everything => true").await;
        execute(&mut one, &format!("BEGIN; SELECT legwork.step_bulk({id}, 1); ROLLBACK")).await;
        assert_eq!(value(&mut one, "SELECT changed FROM legwork.operation").await, "0");
        // The other waits for the first, and goes on from there.
        execute(&mut one, "BEGIN; SET LOCAL lock_timeout = '7s'").await;
        step(&mut one, id).await;
        let patience = value(&mut one, "SELECT current_setting('lock_timeout')").await;
        assert_eq!(patience, "7s", "a step is patient for itself alone");
        let ((), told) = tokio::join!(
            async {
                support::eventually("the other waits", async || {
                    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
                    value(&mut one, waits).await != "0"
                })
                .await;
                execute(&mut one, "COMMIT").await;
            },
            step(&mut other, id)
        );
        assert_eq!((&told["changed"], &told["state"]), (&json!(900), &json!("done")));
        assert_eq!(
            value(&mut other, "SELECT count(*) FROM legwork.job WHERE snoozes = 1").await,
            "900"
        );
        end(one).await;
        end(other).await;
    });
}

#[test]
fn a_job_that_somebody_holds_and_one_whose_key_is_taken_are_left_and_told_of() {
    support::run(async |db| {
        let (mut session, mut holder) = (db.connect().await, db.connect().await);
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, unique_key) VALUES ('k', NULL), ('k', NULL), ('k', 'key');
             SELECT legwork.cancel(3); INSERT INTO legwork.job (kind, unique_key) VALUES ('k', 'key')",
        )
        .await;
        execute(&mut holder, "BEGIN; SELECT FROM legwork.job WHERE id = 2 FOR UPDATE").await;
        let id = begin(&mut session, "'retry', '{\"kind\": \"k\"}'").await;
        let told = step(&mut session, id).await;
        assert_eq!(
            told["refused"],
            json!({ "already_in_line": 2, "locked": 1, "unique_key_taken": 1 }),
            "{told}"
        );
        let id = begin(&mut session, "'discard', '{\"kind\": \"k\"}'").await;
        let told = step(&mut session, id).await;
        assert_eq!(
            (&told["changed"], &told["refused"]),
            (&json!(2), &json!({ "locked": 1 })),
            "{told}"
        );
        execute(&mut holder, "ROLLBACK").await;
        end(holder).await;
        end(session).await;
    });
}

#[test]
fn what_can_not_be_meant_is_refused_and_who_may_not_read_payloads_filters_by_none() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (arguments, said) in [
            ("'drop', '{\"queue\": \"mail\"}'", "the actions are"),
            ("'cancel', '{}'", "all has to be said"),
            ("'cancel', '{\"quue\": \"mail\"}'", "a filter is an object of queue"),
            ("'cancel', '{\"payload\": \"x\"}'", "places and texts"),
            ("'cancel', '{\"payload\": {}}'", "places and texts"),
            // As of a variable that nobody filled.
            ("'discard', jsonb_build_object('queue', NULL)", "narrows nothing"),
            ("'discard', '{\"created_after_ago\": null}'", "narrows nothing"),
            ("'discard', '{\"state\": \"waiting\"}'", "the states are"),
            ("'cancel', '{\"queue\": \"mail\"}', '1 h'", "nothing else takes one"),
            ("'snooze', '{\"queue\": \"mail\"}'", "snooze takes a time"),
            ("'snooze', '{\"queue\": \"mail\"}', '-1 h'", "above zero"),
            ("'discard', '{\"state\": \"completed\"}'", "unfinished jobs"),
            ("'retry', '{\"state\": \"running\"}'", "not about running jobs"),
        ] {
            for function in ["begin_bulk", "try_bulk"] {
                let refusal =
                    refused(&mut session, &format!("SELECT legwork.{function}({arguments})")).await;
                assert_eq!(refusal.code, "22023", "{refusal:?}");
                assert!(refusal.message.contains(said), "{arguments}: {refusal:?}");
            }
        }
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.operation").await, "0");
        let refusal = refused(&mut session, "SELECT legwork.step_bulk(7, 1)").await;
        assert_eq!(refusal.code, "P0002");

        // By the login, which a function that runs as its owner doesn't change.
        execute(&mut session, "CREATE ROLE bulk_operator LOGIN IN ROLE legwork_operator; SET SESSION AUTHORIZATION bulk_operator").await;
        let counted = "SELECT legwork.try_bulk('cancel', '{\"queue\": \"mail\"}') ->> 'matched'";
        assert_eq!(value(&mut session, counted).await, "0");
        let refusal = refused(
            &mut session,
            "SELECT legwork.try_bulk('cancel', '{\"payload\": {\"user.id\": \"42\"}}')",
        )
        .await;
        assert_eq!(refusal.code, "42501", "{refusal:?}");
        execute(&mut session, "RESET SESSION AUTHORIZATION; DROP ROLE bulk_operator").await;
        end(session).await;
        let mut reader = session_as(&db, "legwork_read").await;
        execute(&mut reader, "SELECT id, state, changed FROM legwork.operation").await;
        assert_eq!(
            refused(&mut reader, "SELECT filter FROM legwork.operation").await.code,
            "42501"
        );
        end(reader).await;
    });
}
