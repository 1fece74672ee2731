//! What people and autoscalers read: the view, `why()`, `backlog()` and `invariants()`.

mod limits;

use sqlx::postgres::PgConnection;

use crate::statements::{end, execute, rows, session_as, value};
use crate::support;

/// A job in a given condition, and the state that people see.
#[rustfmt::skip]
const STATES: &[(&str, &str, &str)] = &[
    ("new",                     "attempt = 0",                                                     "available"),
    ("due again",               "attempt = 2",                                                     "available"),
    ("due, not yet in line",    "run_at = now() - interval '1 s', ready_at = now() - interval '1 h'", "available"),
    ("for later",               "run_at = now() + interval '1 h'",                                 "scheduled"),
    ("in backoff",              "run_at = now() + interval '1 h', attempt = 1",                    "retryable"),
    ("put off, never charged",  "run_at = now() + interval '1 h', snoozes = 1",                    "scheduled"),
    ("held",                    "holder = 7, token = 1",                                           "running"),
    ("held, whatever run_at says", "holder = 7, token = 2, attempt = 1, run_at = now() + interval '1 h'", "running"),
];

#[test]
fn the_view_derives_each_state_of_a_live_job() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (name, condition, state) in STATES {
            let id = job(&mut session, "k").await;
            execute(&mut session, &format!("UPDATE legwork.job SET {condition} WHERE id = {id}"))
                .await;
            let seen = format!("SELECT state FROM legwork.jobs WHERE id = {id}");
            assert_eq!(value(&mut session, &seen).await, *state, "{name}");
        }
        end(session).await;
    });
}

#[test]
fn the_view_shows_a_finished_job_by_its_outcome() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for outcome in ["completed", "cancelled", "discarded"] {
            let id = job(&mut session, "k").await;
            finish(&mut session, id, outcome).await;
            let seen =
                format!("SELECT state, finished_at IS NOT NULL FROM legwork.jobs WHERE id = {id}");
            assert_eq!(rows(&mut session, &seen).await, [format!("{outcome}|t")]);
        }
        end(session).await;
    });
}

#[test]
fn payload_metadata_and_result_are_hidden_in_the_public_view() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let hidden =
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'legwork.jobs'::regclass
                AND a.attnum > 0 AND a.attname NOT IN (SELECT p.attname FROM pg_attribute p
                    WHERE p.attrelid = 'legwork.jobs_public'::regclass) ORDER BY 1";
        assert_eq!(rows(&mut session, hidden).await, ["metadata", "payload", "result"]);
        end(session).await;
    });
}

#[test]
fn why_names_the_gates_of_a_job_in_their_order() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session, "mail").await;
        let gates = format!("SELECT gate, blocking FROM legwork.why({id})");
        assert_eq!(
            rows(&mut session, &gates).await,
            ["pause|f", "queue|t", "kind|t", "run_at|f", "line|f"]
        );

        daemon(&mut session, 7, "'{default}'", "'{other}'").await;
        assert_eq!(
            rows(&mut session, &gates).await,
            ["pause|f", "queue|f", "kind|t", "run_at|f", "line|f"]
        );
        daemon(&mut session, 8, "'{default}'", "'{mail}'").await;
        assert_eq!(
            rows(&mut session, &gates).await,
            ["pause|f", "queue|f", "kind|f", "run_at|f", "line|f", "slots|f"]
        );
        execute(&mut session, "UPDATE legwork.daemon SET died_at = now() WHERE id = 8").await;
        assert_eq!(
            rows(&mut session, &gates).await,
            ["pause|f", "queue|f", "kind|t", "run_at|f", "line|f"]
        );
        end(session).await;
    });
}

#[test]
fn why_names_the_transaction_that_holds_a_jobs_row() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session, "mail").await;
        let lock = format!("SELECT detail FROM legwork.why({id}) WHERE gate = 'lock' AND blocking");
        assert!(rows(&mut session, &lock).await.is_empty());
        let mut other = db.connect().await;
        let pid = rows(&mut other, "SELECT pg_backend_pid()").await.remove(0);
        execute(&mut other, "BEGIN; SAVEPOINT deeper").await;
        execute(&mut other, &format!("SELECT FROM legwork.job WHERE id = {id} FOR UPDATE")).await;
        let told = rows(&mut session, &lock).await;
        assert!(
            matches!(told.as_slice(), [it] if it.contains(&format!("process {pid} "))),
            "{told:?}"
        );
        // Whose it is can't be told any more, and the row is locked all the same.
        execute(&mut other, "RELEASE deeper").await;
        let told = rows(&mut session, &lock).await;
        assert!(matches!(told.as_slice(), [it] if it.contains("holds its row")), "{told:?}");
        execute(&mut other, "ROLLBACK").await;
        assert!(rows(&mut session, &lock).await.is_empty());
        end(other).await;
        end(session).await;
    });
}

/// What has been done so far, and what the gates of queue and kind say then.
const LACKS: &[(&str, [&str; 2])] = &[
    ("", ["no daemon lives", "nobody serves kind mail where nobody serves its queue"]),
    (
        "'{elsewhere}'",
        [
            "no live daemon serves queue default: its [[queue]] is missing",
            "nobody serves kind mail where nobody serves its queue",
        ],
    ),
    (
        "'{default}'",
        [
            "1 live daemon serves queue default",
            "no live daemon of queue default has a [[kind]] or a handler mail",
        ],
    ),
];

#[test]
fn why_says_what_lacks_where_nobody_serves_a_job() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session, "mail").await;
        let told = format!("SELECT detail FROM legwork.why({id}) WHERE gate IN ('queue', 'kind')");
        for ((queues, says), id) in LACKS.iter().zip(7..) {
            if !queues.is_empty() {
                daemon(&mut session, id, queues, "'{other}'").await;
            }
            assert_eq!(rows(&mut session, &told).await, *says, "{queues}");
        }
        end(session).await;
    });
}

/// A job's condition, and the gate that must block it, with what the detail must say.
#[rustfmt::skip]
const GATES: &[(&str, &str, &str)] = &[
    ("UPDATE legwork.job SET run_at = now() + interval '1 h' WHERE id = $id", "run_at|t", "is scheduled for"),
    ("UPDATE legwork.job SET run_at = now() + interval '1 h', attempt = 3 WHERE id = $id", "run_at|t", "backoff after attempt 3"),
    ("UPDATE legwork.job SET run_at = now() - interval '1 s', ready_at = now() - interval '1 h' WHERE id = $id", "run_at|t", "put it in line"),
    ("UPDATE legwork.job SET expires_at = '2001-01-01' WHERE id = $id", "expiry|t", "will be discarded"),
    ("UPDATE legwork.job SET expires_at = '2101-01-01' WHERE id = $id", "expiry|f", "if not started by then"),
    ("SELECT legwork.pause('default', 'spring cleaning')", "pause|t", "spring cleaning"),
    ("UPDATE legwork.job SET holder = 7, token = 1 WHERE id = $id", "running|f", "running on daemon seven at host, attempt 1"),
    ("UPDATE legwork.job SET holder = 6, token = 1 WHERE id = $id", "running|t", "waits for rescue"),
    ("UPDATE legwork.job SET holder = 5, token = 1 WHERE id = $id", "running|t", "heartbeat is overdue"),
    ("UPDATE legwork.job SET holder = 4, token = 1 WHERE id = $id", "running|t", "unknown daemon 4"),
    ("UPDATE legwork.job SET holder = 7, token = 1, cancel_requested = true WHERE id = $id", "cancel|f", "its handler decides"),
    ("SELECT legwork.discard($id)", "finished|t", "discarded_by_operator"),
    ("DELETE FROM legwork.job WHERE id = $id", "exists|t", "never committed"),
];

#[test]
fn why_says_what_keeps_a_job_from_running() {
    support::run(async |db| {
        let mut session = db.connect().await;
        daemon(&mut session, 7, "'{default}'", "'{mail}'").await;
        execute(&mut session, "UPDATE legwork.daemon SET name = 'seven', hostname = 'host'").await;
        daemon(&mut session, 6, "'{default}'", "'{mail}'").await;
        execute(&mut session, "UPDATE legwork.daemon SET died_at = now() WHERE id = 6").await;
        daemon(&mut session, 5, "'{default}'", "'{mail}'").await;
        execute(&mut session, "UPDATE legwork.daemon SET expires_at = '2001-01-01' WHERE id = 5")
            .await;
        for (condition, gate, detail) in GATES {
            execute(&mut session, "BEGIN").await;
            let id = job(&mut session, "mail").await.to_string();
            execute(&mut session, &condition.replace("$id", &id)).await;
            let why = format!("SELECT gate, blocking, detail FROM legwork.why({id})");
            let found = rows(&mut session, &why).await;
            let told = found.iter().any(|row| row.starts_with(gate) && row.contains(detail));
            assert!(told, "{condition}: no {gate} with {detail:?} in {found:?}");
            execute(&mut session, "ROLLBACK").await;
        }
        end(session).await;
    });
}

#[test]
fn the_place_in_line_and_the_backlog_are_counted_to_ten_thousand() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let ahead = "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 3)";
        execute(&mut session, ahead).await;
        let id = job(&mut session, "k").await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, priority) VALUES ('k', -1), ('k', 1)",
        )
        .await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, run_at) VALUES ('k', now() + interval '1 h')",
        )
        .await;
        execute(&mut session, "INSERT INTO legwork.job (kind, queue) VALUES ('k', 'other')").await;
        let line = format!("SELECT detail FROM legwork.why({id}) WHERE gate = 'line'");
        assert_eq!(value(&mut session, &line).await, "4 jobs of queue default are ahead of it");
        assert_eq!(value(&mut session, "SELECT legwork.backlog('default')").await, "6");
        assert_eq!(value(&mut session, "SELECT legwork.backlog('empty')").await, "0");

        let many = "INSERT INTO legwork.job (kind, priority) SELECT 'k', -2 FROM generate_series(1, 10050)";
        execute(&mut session, many).await;
        assert_eq!(
            value(&mut session, &line).await,
            "at least 10000 jobs of queue default are ahead of it"
        );
        assert_eq!(value(&mut session, "SELECT legwork.backlog('default')").await, "10000");
        end(session).await;
    });
}

/// What breaks an invariant, and the one that must be reported. `$id` is a waiting job of kind k.
#[rustfmt::skip]
const BROKEN: &[(&str, &str)] = &[
    ("INSERT INTO legwork.daemon (id, expires_at) VALUES (9, now() - interval '1 h')", "live_daemon_is_not_overdue"),
    ("UPDATE legwork.job SET holder = 9, token = 1 WHERE id = $id", "job_is_held_by_a_live_daemon"),
    ("INSERT INTO legwork.daemon (id, expires_at, died_at) VALUES (9, now(), now() - interval '1 h');
      UPDATE legwork.job SET holder = 9, token = 1 WHERE id = $id", "job_is_held_by_a_live_daemon"),
    ("DROP INDEX legwork.job_unique;
      INSERT INTO legwork.job (kind, unique_key) VALUES ('k', 'twice'), ('k', 'twice')", "unique_key_is_unique"),
    ("INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt, queue, kind, payload)
      VALUES ($id, 1, now(), now(), (now() AT TIME ZONE 'UTC')::date + 1, 'completed', 0, 0, 'default', 'k', '{}')", "id_is_live_or_finished"),
    ("INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after)
      VALUES ($id, 5, 1, 'failed', (now() AT TIME ZONE 'UTC')::date + 1)", "token_rises"),
    ("INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after)
      VALUES ($id, 5, 1, 'failed', (now() AT TIME ZONE 'UTC')::date + 1); SELECT legwork.discard($id)", "token_rises"),
    ("UPDATE legwork.job SET attempt = -1 WHERE id = $id", "lease_columns_are_ours_alone"),
    ("INSERT INTO legwork.daemon (id, expires_at) VALUES (9, now() + interval '1 h');
      UPDATE legwork.job SET holder = 9 WHERE id = $id", "lease_columns_are_ours_alone"),
];

#[test]
fn every_broken_invariant_is_reported_and_a_healthy_database_reports_none() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut looker = db.connect().await;
        daemon(&mut session, 7, "'{default}'", "'{k}'").await;
        for (breakage, invariant) in BROKEN {
            execute(&mut session, "BEGIN").await;
            let id = job(&mut session, "k").await.to_string();
            let broken = "SELECT DISTINCT invariant FROM legwork.invariants()";
            assert_eq!(rows(&mut session, broken).await, Vec::<String>::new());
            execute(&mut session, &breakage.replace("$id", &id)).await;
            assert_eq!(rows(&mut session, broken).await, [*invariant], "{breakage}");
            execute(&mut session, "ROLLBACK").await;
        }
        assert_eq!(
            rows(&mut looker, "SELECT * FROM legwork.invariants()").await,
            Vec::<String>::new()
        );
        end(looker).await;
        end(session).await;
    });
}

#[test]
fn a_session_of_ours_that_idles_in_a_transaction_with_a_lock_is_reported() {
    support::run(async |db| {
        let (mut ours, mut looker) = (db.connect().await, db.connect().await);
        execute(&mut ours, "SET application_name = 'legwork test'").await;
        execute(&mut ours, "BEGIN; SELECT pg_advisory_xact_lock(1)").await;
        let broken = "SELECT string_agg(DISTINCT invariant, ' ' ORDER BY invariant)
            FROM legwork.invariants() WHERE detail LIKE 'legwork test%'";
        let expected = "advisory_lock_is_in_use session_is_not_idle_in_transaction";
        support::eventually("both are reported, after five seconds", async || {
            value(&mut looker, broken).await == expected
        })
        .await;
        execute(&mut ours, "ROLLBACK").await;
        end(ours).await;
        end(looker).await;
    });
}

#[test]
fn a_reader_may_ask_why_and_how_much_and_see_no_payload() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = job(&mut session, "k").await;
        end(session).await;
        let mut reader = session_as(&db, "legwork_read").await;
        assert_eq!(value(&mut reader, "SELECT count(*) FROM legwork.jobs_public").await, "1");
        assert_eq!(value(&mut reader, "SELECT legwork.backlog('default')").await, "1");
        assert_eq!(
            rows(&mut reader, &format!("SELECT gate FROM legwork.why({id})")).await.len(),
            5
        );
        end(reader).await;
    });
}

async fn job(session: &mut PgConnection, kind: &str) -> i64 {
    let insert = format!("INSERT INTO legwork.job (kind) VALUES ('{kind}') RETURNING id");
    value(session, &insert).await.parse().expect("an id")
}

async fn daemon(session: &mut PgConnection, id: i64, queues: &str, kinds: &str) {
    let insert = format!(
        "INSERT INTO legwork.daemon (id, expires_at, queues, kinds)
         VALUES ({id}, clock_timestamp() + interval '1 h', {queues}, {kinds})"
    );
    execute(session, &insert).await;
}

async fn finish(session: &mut PgConnection, id: i64, outcome: &str) {
    let moved = format!(
        "WITH d AS (DELETE FROM legwork.job WHERE id = {id} RETURNING *)
         INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority,
             attempt, queue, kind, payload)
         SELECT id, token, run_at, created_at, (now() AT TIME ZONE 'UTC')::date + 1, '{outcome}',
             priority, attempt, queue, kind, payload FROM d"
    );
    execute(session, &moved).await;
}
