//! Who waits for what others have: a session of the pool, a slot of the queue, a turn at the claimers' session.

use std::collections::BTreeSet;

use super::*;
use crate::statements::{end, execute};

/// Two queues, each with two slots, and one connection for functions.
fn configuration(db: &TestDb) -> String {
    format!(
        "[database]\nurl = \"{}\"\nsql_connections = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\n[shutdown]\ngrace = \"0s\"\n[claim]\npoll_interval = \"100ms\"\n\
         [[queue]]\nname = \"one\"\nconcurrency = 2\n[[queue]]\nname = \"two\"\nconcurrency = 2\n\
         [[kind]]\nname = \"call\"\nhandler = \"sql\"\nfunction = \"app.waits\"\n",
        db.url()
    )
}

/// Waits for what the test holds.
const FUNCTION: &str = "CREATE SCHEMA app;
    CREATE FUNCTION app.waits(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$;
    GRANT USAGE ON SCHEMA app TO PUBLIC;
    SELECT pg_advisory_lock(4711);";

/// Of which tasks a trace has waits at this place.
fn waits(trace: &Value, place: &str) -> BTreeSet<String> {
    let tracks = Tracks::of(trace);
    let waits = tracks.slices("wait").into_iter().filter(|wait| wait["name"] == place);
    waits
        .map(|wait| tracks.name(wait).split(['[', '#']).next().unwrap_or_default().to_owned())
        .collect()
}

async fn trace(at: SocketAddr) -> Value {
    let taken = ask(at, "/debug/trace?seconds=2", "").await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    let trace = serde_json::from_slice(&taken.body).expect("JSON");
    holds(&trace);
    trace
}

#[test]
fn a_trace_shows_who_waits_for_a_connection_a_slot_or_a_turn_at_a_session() {
    support::run(async |db| {
        let (mut session, mut other) = (db.connect().await, db.connect().await);
        execute(&mut session, FUNCTION).await;
        let daemon = Daemon::start(&configuration(&db)).await;
        let at = daemon.admin().await;
        // Who waits for a connection gives its place up after a while.
        for _ in 0..6 {
            let job = Job::new("call").queue("one");
            legwork::enqueue(&mut session, &job).await.expect("a row");
        }
        let tasks = async || daemon.get("/debug/tasks?format=text").await.1;
        support::eventually("the second function waits for the first's connection", async || {
            tasks().await.contains("sql.place")
        })
        .await;
        support::eventually("the third job's claimer waits for a slot", async || {
            tasks().await.lines().any(|line| line.contains("claimer[one/") && line.contains("slot"))
        })
        .await;
        let full = trace(at).await;
        assert_eq!(waits(&full, "sql.place"), BTreeSet::from(["worker".to_owned()]));
        assert!(waits(&full, "slot").contains("claimer"), "{full}");

        // A claimer whose slots are taken would wait for those and for nothing else.
        execute(&mut session, "SELECT pg_advisory_unlock(4711)").await;
        support::eventually("the jobs are done", async || {
            value(&mut session, "SELECT count(*) FROM legwork.job").await == "0"
        })
        .await;
        // Whoever claims waits for the table, and whoever else claims for the session.
        execute(&mut other, "BEGIN; LOCK TABLE legwork.job IN ACCESS EXCLUSIVE MODE").await;
        support::eventually("a claimer waits for another's turn", async || {
            execute(&mut session, "SELECT pg_notify('legwork', '')").await;
            tasks()
                .await
                .lines()
                .any(|line| line.contains("claimer[") && line.contains("session.turn"))
        })
        .await;
        let held = trace(at).await;
        assert!(waits(&held, "session.turn").contains("claimer"), "{held}");
        execute(&mut other, "ROLLBACK").await;
        end(session).await;
        end(other).await;
        daemon.stop().await;
    });
}
