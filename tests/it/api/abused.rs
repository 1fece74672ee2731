//! What somebody who means harm, or a script that went wrong, does to the port by the hundred.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Answer, ask, daemon, found, post};
use crate::statements::{end, execute, value};
use crate::support::{self, PATIENCE};

/// Requests at once: more than the port has places, so that some wait for their turn.
const AT_ONCE: usize = 100;

/// How slowly a body dribbles: well within any limit between two bytes.
const A_BYTE_EACH: Duration = Duration::from_millis(50);

/// How many came of each.
fn counted<T: Ord>(of: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    of.into_iter().fold(BTreeMap::new(), |mut counted, one| {
        *counted.entry(one).or_default() += 1;
        counted
    })
}

/// The status, where whoever is told to come again is told when.
fn told(answer: &Answer) -> u16 {
    if answer.status == 503 {
        let after = answer.header("retry-after").and_then(|after| after.parse::<u64>().ok());
        assert!(after.is_some(), "{} {}", answer.head, answer.body);
    }
    answer.status
}

#[test]
fn of_many_requests_at_once_each_is_answered_and_those_that_were_done_are_told_so() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let (job, pause) = (r#"{"kind": "waits"}"#, "/api/v1/queues/mail/pause");
        for _ in 0..3 {
            let answers = join_all((0..AT_ONCE).map(|_| post(&daemon, "/api/v1/jobs", job))).await;
            let statuses = counted(answers.iter().map(told));
            assert!(statuses.keys().all(|status| [201, 503].contains(status)), "{statuses:?}");
            let done = statuses.get(&201).copied().unwrap_or(0);
            let rows =
                "WITH gone AS (DELETE FROM legwork.job RETURNING 1) SELECT count(*) FROM gone";
            assert_eq!(value(&mut session, rows).await, done.to_string(), "{statuses:?}");
            let answers = join_all((0..AT_ONCE).map(|_| post(&daemon, pause, "{}"))).await;
            let statuses = counted(answers.iter().map(told));
            assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
            let at = daemon.admin().await;
            let answers = join_all((0..AT_ONCE).map(|_| ask(at, "GET", "/metrics"))).await;
            assert_eq!(counted(answers.iter().map(told)), [(200, AT_ONCE)].into());
        }
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn of_many_changes_of_one_job_at_once_one_happens() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('waits')").await;
        let daemon = daemon(&db.url(), "").await;
        for (change, first, others) in [
            ("cancel", "cancelled", None),
            ("retry", "retried", Some("already_in_line")),
            ("discard", "discarded", None),
        ] {
            let path = format!("/api/v1/jobs/1/{change}");
            let answers = join_all((0..AT_ONCE).map(|_| post(&daemon, &path, "{}"))).await;
            let results = counted(answers.iter().map(|answer| match told(answer) {
                200 => answer.json()["result"].as_str().expect("a result").to_owned(),
                409 => answer.problem(),
                // Those that found no session in time may come again.
                503 => "later".to_owned(),
                other => panic!("{change}: {other} {}", answer.body),
            }));
            assert_eq!(results.get(first), Some(&1), "{change}: {results:?}");
            let others = others.unwrap_or("wrong-state");
            let allowed = [first, others, "later"];
            assert!(results.keys().all(|word| allowed.contains(&word.as_str())), "{results:?}");
            assert!(results.contains_key(others), "{results:?}");
        }
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.jobs").await, "1");
        let noted = "SELECT string_agg(action || ' ' || target || ' ' || (detail ->> 'result'), ', ' ORDER BY id)
            FROM legwork.audit";
        let changes = "cancel job/1 cancelled, retry job/1 retried, discard job/1 discarded";
        assert_eq!(value(&mut session, noted).await, changes, "one change, one note");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn of_many_pauses_and_resumes_at_once_one_changes_something() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        for round in 1..=3 {
            for action in ["pause", "resume"] {
                let path = format!("/api/v1/queues/mail/{action}");
                let answers = join_all((0..AT_ONCE).map(|_| post(&daemon, &path, "{}"))).await;
                let statuses = counted(answers.iter().map(told));
                assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
                let done = answers.iter().filter(|answer| answer.status == 200);
                let changed = counted(done.map(|answer| answer.json()["changed"] == true));
                // Who made the change may have been told to come again, by a port that was busy.
                assert!(
                    changed.get(&true).is_none_or(|&those| those == 1),
                    "{action}: {changed:?}"
                );
                assert!(changed.contains_key(&false), "{action}: {changed:?}");
                let paused = "SELECT paused FROM legwork.queue WHERE name = 'mail'";
                let holds = if action == "pause" { "t" } else { "f" };
                assert_eq!(value(&mut session, paused).await, holds);
                let noted = format!("SELECT count(*) FROM legwork.audit WHERE action = '{action}'");
                assert_eq!(value(&mut session, &noted).await, round.to_string(), "{action}");
            }
        }
        daemon.stop().await;
        end(session).await;
    });
}

/// A snooze counts from when it is asked for, so each that is done puts the job off anew, and none is lost.
#[test]
fn of_many_snoozes_of_one_job_at_once_each_that_is_answered_is_counted_and_noted() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('waits')").await;
        let daemon = daemon(&db.url(), "").await;
        let snooze = || post(&daemon, "/api/v1/jobs/1/snooze", r#"{"for": "1h"}"#);
        let answers = join_all((0..AT_ONCE).map(|_| snooze())).await;
        let statuses = counted(answers.iter().map(told));
        assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
        let done = statuses[&200].to_string();
        let snoozes = "SELECT string_agg(snoozes::text, ' ') FROM legwork.job";
        assert_eq!(value(&mut session, snoozes).await, done, "{statuses:?}");
        let noted = "SELECT count(*) FROM legwork.audit WHERE action = 'snooze'";
        assert_eq!(value(&mut session, noted).await, done);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn of_many_profiles_at_once_one_is_taken_and_the_others_are_told() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let at = daemon.admin().await;
        let path = "/debug/pprof/profile?seconds=3&format=folded";
        let answers = join_all((0..AT_ONCE).map(|_| ask(at, "GET", path))).await;
        let statuses = counted(answers.iter().map(told));
        // On a machine that was away for three seconds a second one may have come after the first.
        assert!((1..=2).contains(statuses.get(&200).unwrap_or(&0)), "{statuses:?}");
        assert!(statuses.keys().all(|status| [200, 409, 503].contains(status)), "{statuses:?}");
        assert!(statuses.contains_key(&409), "{statuses:?}");
        found(&daemon, "/api/v1/queues").await;
        daemon.stop().await;
    });
}

/// Each byte comes well within any timeout of its own, so that only a bound on the whole ends it.
#[test]
fn a_body_that_dribbles_is_cut_and_changes_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('waits')").await;
        let daemon = daemon(&db.url(), "").await;
        let mut client = TcpStream::connect(daemon.admin().await).await.expect("a connection");
        let head = "POST /api/v1/jobs/1/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 1000\r\n\r\n{";
        client.write_all(head.as_bytes()).await.expect("sent");
        let (mut read, mut write) = client.split();
        let dribble = async {
            loop {
                // No wait for a fact: how slowly it comes is the attack itself, and the daemon says when it is enough.
                sleep(A_BYTE_EACH).await;
                if write.write_all(b" ").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut answer = vec![0; 4096];
        let length = tokio::select! {
            () = dribble => unreachable!("it goes on for ever"),
            length = timeout(PATIENCE, read.read(&mut answer)) => length.expect("it is cut").expect("readable"),
        };
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("body-too-slow"),
            "{answer}"
        );
        let state = "SELECT state FROM legwork.jobs WHERE id = 1";
        assert_eq!(value(&mut session, state).await, "available");
        daemon.stop().await;
        end(session).await;
    });
}
