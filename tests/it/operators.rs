//! What producers and operators call: every branch of enqueue, cancel, retry, snooze, discard, pause,
//! resume and `assert_lease`.

use sqlx::postgres::PgConnection;

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;

#[test]
fn enqueue_takes_every_option_by_name() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let id = value(
            &mut producer,
            "SELECT legwork.enqueue('mail', '{\"to\": 1}', queue => 'q', run_at => '2100-01-01 00:00:00+00',
                priority => -1, max_attempts => 3, unique_key => 'once', timeout => '5 s',
                expires_at => '2101-01-01 00:00:00+00', tags => '{a,b}', metadata => '{\"user_id\": \"u\"}')",
        )
        .await;
        execute(&mut producer, "RESET ROLE; SET timezone = 'UTC'").await;
        let stored =
            "SELECT id, kind, payload, queue, run_at, priority, max_attempts, unique_key, timeout,
            expires_at, tags, metadata FROM legwork.job";
        let expected = format!(
            "{id}|mail|{{\"to\": 1}}|q|2100-01-01 00:00:00+00|-1|3|once|00:00:05|\
             2101-01-01 00:00:00+00|{{a,b}}|{{\"user_id\": \"u\"}}"
        );
        assert_eq!(rows(&mut producer, stored).await, [expected]);
        end(producer).await;
    });
}

#[test]
fn enqueue_with_a_kind_alone_is_the_bare_insert() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        execute(&mut session, "SELECT legwork.enqueue('k', queue => NULL, priority => NULL)").await;
        let distinct =
            "SELECT count(DISTINCT to_jsonb(j) - '{id,seq,run_at,ready_at,created_at}'::text[])
            FROM legwork.job j WHERE run_at <= ready_at";
        assert_eq!(value(&mut session, distinct).await, "1");
        end(session).await;
    });
}

#[test]
fn enqueue_reports_a_taken_key_as_plain_sql_does() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let enqueue = "SELECT legwork.enqueue('k', unique_key => 'once')";
        execute(&mut producer, enqueue).await;
        let refusal = refused(&mut producer, enqueue).await;
        assert_eq!(refusal.code, "23505");
        assert!(refusal.message.contains("job_unique"), "{refusal:?}");
        end(producer).await;
    });
}

#[test]
fn cancel_ends_a_waiting_job_and_only_asks_for_a_running_one() {
    support::run(async |db| {
        let mut listener =
            sqlx::postgres::PgListener::connect(&db.url()).await.expect("a listener");
        listener.listen("legwork_cancel").await.expect("listening");
        let mut session = db.connect().await;
        let cancel = |id: i64| format!("SELECT legwork.cancel({id})");

        let waiting = job(&mut session).await;
        let running = running_job(&mut session).await;
        let mut operator = session_as(&db, "legwork_operator").await;
        assert_eq!(value(&mut operator, &cancel(waiting)).await, "cancelled");
        assert_eq!(value(&mut operator, &cancel(waiting)).await, "already_finished");
        assert_eq!(value(&mut operator, &cancel(running)).await, "requested");
        assert_eq!(value(&mut operator, &cancel(running)).await, "requested");
        assert_eq!(value(&mut operator, &cancel(-1)).await, "not_found");
        assert_eq!(listener.recv().await.expect("a notice").channel(), "legwork_cancel");

        let found = "SELECT id, state, reason, cancel_requested FROM legwork.jobs ORDER BY id";
        let expected = [
            format!("{waiting}|cancelled|cancelled_while_waiting|f"),
            format!("{running}|running||t"),
        ];
        assert_eq!(rows(&mut session, found).await, expected);
        listener.unlisten_all().await.expect("an end of listening");
        drop(listener);
        end(operator).await;
        end(session).await;
    });
}

#[test]
fn a_waiting_job_is_kept_in_history_for_the_retention_of_its_queue() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.queue (name, retention_cancelled, retention_discarded) VALUES
                ('short', '2 days', '3 days'), ('long', '400 days', '500 days'), ('none', '0', '0')",
        )
        .await;
        let kept = "SELECT drop_after - (now() AT TIME ZONE 'UTC')::date FROM legwork.finished WHERE id = ";
        for (queue, cancelled, discarded) in
            [("default", 7, 30), ("short", 2, 3), ("long", 400, 500)]
        {
            for (verb, days) in [("cancel", cancelled), ("discard", discarded)] {
                let insert = format!("SELECT legwork.enqueue('k', queue => '{queue}')");
                let id = value(&mut session, &insert).await;
                execute(&mut session, &format!("SELECT legwork.{verb}({id})")).await;
                let days_kept = value(&mut session, &format!("{kept}{id}")).await;
                assert_eq!(days_kept, days.to_string(), "{verb} in queue {queue}");
            }
        }
        let id = value(&mut session, "SELECT legwork.enqueue('k', queue => 'none')").await;
        assert_eq!(value(&mut session, &format!("SELECT legwork.cancel({id})")).await, "cancelled");
        let left = format!("SELECT id FROM legwork.jobs WHERE id = {id}");
        assert_eq!(rows(&mut session, &left).await, Vec::<String>::new());
        end(session).await;
    });
}

#[test]
fn cancel_and_retry_bring_a_job_back_as_it_was() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = value(
            &mut session,
            "SELECT legwork.enqueue('k', '[1]', priority => 1, max_attempts => 9, unique_key => 'u',
                timeout => '7 s', tags => '{t}', metadata => '{\"user_id\": \"u\"}')",
        )
        .await;
        execute(
            &mut session,
            &format!("UPDATE legwork.job SET token = 41, attempt = 3 WHERE id = {id}"),
        )
        .await;
        let same = "SELECT id, token, priority, max_attempts, queue, kind, payload, timeout, unique_key, tags,
            metadata, created_at FROM legwork.job";
        let before = rows(&mut session, same).await;
        for (verb, said) in [("cancel", "cancelled"), ("discard", "discarded")] {
            let ended = format!("SELECT legwork.{verb}({id})");
            assert_eq!(value(&mut session, &ended).await, said);
            assert_eq!(
                value(&mut session, &format!("SELECT legwork.retry({id})")).await,
                "retried"
            );
        }
        assert_eq!(rows(&mut session, same).await, before);
        let fresh =
            "SELECT attempt, rescues, snoozes, holder IS NULL, run_at <= ready_at FROM legwork.job";
        assert_eq!(rows(&mut session, fresh).await, ["0|0|0|t|t"]);
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.finished").await, "0");
        end(session).await;
    });
}

#[test]
fn a_thousand_cancels_and_retries_conserve_rows() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 1000)",
        )
        .await;
        let counts =
            "SELECT (SELECT count(*) FROM legwork.job), (SELECT count(*) FROM legwork.finished)";
        execute(&mut session, "SELECT legwork.cancel(id) FROM legwork.job").await;
        assert_eq!(rows(&mut session, counts).await, ["0|1000"]);
        execute(&mut session, "SELECT legwork.retry(id) FROM legwork.finished").await;
        assert_eq!(rows(&mut session, counts).await, ["1000|0"]);
        assert_eq!(
            rows(&mut session, "SELECT * FROM legwork.invariants()").await,
            Vec::<String>::new()
        );
        end(session).await;
    });
}

#[test]
fn retry_runs_a_waiting_job_now_and_leaves_one_in_line_alone() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session).await;
        let retry = format!("SELECT legwork.retry({id})");
        let seq = format!("SELECT seq FROM legwork.job WHERE id = {id}");
        let first = value(&mut session, &seq).await;
        assert_eq!(value(&mut session, &retry).await, "already_in_line");
        assert_eq!(value(&mut session, &seq).await, first);
        for later in
            ["run_at = now() + interval '1 h'", "run_at = now() + interval '1 h', attempt = 2"]
        {
            execute(&mut session, &format!("UPDATE legwork.job SET {later} WHERE id = {id}")).await;
            assert_eq!(value(&mut session, &retry).await, "due_now");
            let state = format!("SELECT state FROM legwork.jobs WHERE id = {id}");
            assert_eq!(value(&mut session, &state).await, "available");
        }
        assert_ne!(value(&mut session, &seq).await, first, "it takes a fresh place in line");
        end(session).await;
    });
}

#[test]
fn two_operators_who_retry_the_same_job_bring_back_one() {
    support::run(async |db| {
        let (mut one, mut other) = (db.connect().await, db.connect().await);
        let id = job(&mut one).await;
        execute(&mut one, &format!("SELECT legwork.discard({id})")).await;
        let retry = format!("SELECT legwork.retry({id})");
        execute(&mut one, "BEGIN").await;
        assert_eq!(value(&mut one, &retry).await, "retried");
        let (second, ()) = tokio::join!(value(&mut other, &retry), execute(&mut one, "COMMIT"));
        assert_eq!(second, "already_in_line");
        assert_eq!(value(&mut one, "SELECT count(*) FROM legwork.jobs").await, "1");
        end(one).await;
        end(other).await;
    });
}

#[test]
fn what_an_operator_cannot_have_is_refused_with_what_to_do_instead() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let running = running_job(&mut session).await;
        let waiting = job(&mut session).await;
        let taken = value(&mut session, "SELECT legwork.enqueue('k', unique_key => 'it''s')").await;
        execute(&mut session, &format!("SELECT legwork.cancel({taken})")).await;
        execute(&mut session, "SELECT legwork.enqueue('k', unique_key => 'it''s')").await;
        let table = [
            (format!("retry({running})"), "55000", "is running", "cancel"),
            (format!("retry({taken})"), "23505", "'it''s' in queue default", "cancel it"),
            ("retry(NULL)".to_owned(), "22004", "needs the id of a job", "legwork.jobs"),
            ("snooze(NULL, '1 h')".to_owned(), "22004", "needs the id of a job", "legwork.jobs"),
            ("discard(NULL)".to_owned(), "22004", "needs the id of a job", "legwork.jobs"),
            ("retry(-1)".to_owned(), "P0002", "no job -1", "retention"),
            (format!("snooze({running}, '1 h')"), "55000", "is running", "handler"),
            ("snooze(-1, '1 h')".to_owned(), "P0002", "no job -1", "retention"),
            (format!("snooze({taken}, '1 h')"), "55000", "has finished", "retry"),
            (format!("snooze({waiting}, '-1 h')"), "22023", "-01:00:00", "above zero"),
            (format!("snooze({waiting}, NULL)"), "22023", "null", "above zero"),
            (format!("snooze({waiting}, '500 years')"), "23514", "run_at_is_between", ""),
            (format!("discard({running})"), "55000", "is running", "legwork.cancel("),
            ("discard(-1)".to_owned(), "P0002", "no job -1", "retention"),
            ("pause('a b')".to_owned(), "23514", "queue_is_1_to_128", ""),
            (format!("assert_lease({running}, 99)"), "LW001", "lease token 99", "Roll back"),
        ];
        let mut operator = db.connect().await;
        for (call, code, message, hint) in table {
            let refusal = refused(&mut operator, &format!("SELECT legwork.{call}")).await;
            assert_eq!(refusal.code, code, "{call}: {refusal:?}");
            assert!(refusal.message.contains(message), "{call}: {refusal:?}");
            assert!(refusal.hint.contains(hint), "{call}: {refusal:?}");
        }
        end(operator).await;
        end(session).await;
    });
}

#[test]
fn snooze_puts_a_waiting_job_off_and_counts_no_attempt() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session).await;
        let snooze = format!("SELECT legwork.snooze({id}, '1 h') = now() + interval '1 h'");
        assert_eq!(value(&mut session, &snooze).await, "t");
        let seen = "SELECT state, attempt, snoozes FROM legwork.jobs";
        assert_eq!(rows(&mut session, seen).await, ["scheduled|0|1"]);
        execute(&mut session, "UPDATE legwork.job SET snoozes = 32767").await;
        assert_eq!(value(&mut session, &snooze).await, "t");
        assert_eq!(rows(&mut session, seen).await, ["scheduled|0|32767"]);
        end(session).await;
    });
}

#[test]
fn discarding_twice_says_so() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session).await;
        let discard = format!("SELECT legwork.discard({id})");
        assert_eq!(value(&mut session, &discard).await, "discarded");
        assert_eq!(value(&mut session, &discard).await, "already_finished");
        let found = "SELECT state, reason FROM legwork.jobs";
        assert_eq!(rows(&mut session, found).await, ["discarded|discarded_by_operator"]);
        end(session).await;
    });
}

#[test]
fn pause_and_resume_say_whether_they_changed_anything() {
    support::run(async |db| {
        let mut listener =
            sqlx::postgres::PgListener::connect(&db.url()).await.expect("a listener");
        listener.listen("legwork").await.expect("listening");
        let mut operator = session_as(&db, "legwork_operator").await;
        for (call, changed) in [
            ("resume('q')", "f"),
            ("pause('q', 'first')", "t"),
            ("pause('q', 'second')", "f"),
            ("pause('q')", "f"),
            ("resume('q')", "t"),
            ("resume('q')", "f"),
            ("pause('q')", "t"),
        ] {
            assert_eq!(
                value(&mut operator, &format!("SELECT legwork.{call}")).await,
                changed,
                "{call}"
            );
            if call.starts_with("pause('q', 'second'") {
                let why = "SELECT reason FROM legwork.queue";
                assert_eq!(value(&mut db.connect().await, why).await, "second", "it isn't lost");
            }
        }
        assert_eq!(listener.recv().await.expect("a notice").payload(), "");
        listener.unlisten_all().await.expect("an end of listening");
        drop(listener);
        end(operator).await;
        let mut session = db.connect().await;
        let row = "SELECT name, paused, paused_at IS NOT NULL, reason IS NULL FROM legwork.queue";
        assert_eq!(rows(&mut session, row).await, ["q|t|t|t"]);
        end(session).await;
    });
}

#[test]
fn an_asserted_lease_keeps_every_other_attempt_out_until_the_commit() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = running_job(&mut session).await;
        let mut handler = session_as(&db, "legwork_enqueue").await;
        let assert_lease = format!("SELECT legwork.assert_lease({id}, 1)");
        execute(&mut handler, &format!("BEGIN; {assert_lease}")).await;
        let rescue = format!(
            "UPDATE legwork.job SET holder = NULL WHERE id = ANY (ARRAY(
                SELECT id FROM legwork.job WHERE id = {id} FOR UPDATE SKIP LOCKED)) RETURNING id"
        );
        assert_eq!(rows(&mut session, &rescue).await, Vec::<String>::new());
        execute(&mut handler, "COMMIT").await;
        assert_eq!(rows(&mut session, &rescue).await, [id.to_string()]);
        assert_eq!(refused(&mut handler, &assert_lease).await.code, "LW001");

        let id = running_job(&mut session).await;
        execute(&mut session, "UPDATE legwork.daemon SET died_at = now()").await;
        let dead = format!("SELECT legwork.assert_lease({id}, 1)");
        assert_eq!(refused(&mut handler, &dead).await.code, "LW001");
        end(handler).await;
        end(session).await;
    });
}

async fn job(session: &mut PgConnection) -> i64 {
    let insert = "INSERT INTO legwork.job (kind) VALUES ('k') RETURNING id";
    value(session, insert).await.parse().expect("an id")
}

/// A job that daemon 7, which is alive, holds with token 1.
async fn running_job(session: &mut PgConnection) -> i64 {
    execute(
        session,
        "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h')
         ON CONFLICT (id) DO NOTHING",
    )
    .await;
    let id = job(session).await;
    execute(session, &format!("UPDATE legwork.job SET holder = 7, token = 1 WHERE id = {id}"))
        .await;
    id
}
