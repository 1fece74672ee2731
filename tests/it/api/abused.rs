//! What somebody who means harm, or a script that went wrong, does to the port by the hundred.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{ask, daemon, found, post};
use crate::statements::{end, execute, value};
use crate::support::{self, PATIENCE};

/// Requests at once: as many as one address may have under way, with room for a probe.
const AT_ONCE: usize = 48;

/// How slowly a body dribbles: well within any limit between two bytes.
const A_BYTE_EACH: Duration = Duration::from_millis(50);

/// How many came of each.
fn counted<T: Ord>(of: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    of.into_iter().fold(BTreeMap::new(), |mut counted, one| {
        *counted.entry(one).or_default() += 1;
        counted
    })
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
            let results = counted(answers.iter().map(|answer| match answer.status {
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
        let statuses = counted(answers.iter().map(|answer| answer.status));
        // On a machine that was away for three seconds a second one may have come after the first.
        assert!((1..=2).contains(statuses.get(&200).unwrap_or(&0)), "{statuses:?}");
        assert!(statuses.keys().all(|status| [200, 409].contains(status)), "{statuses:?}");
        assert!(statuses.get(&409).is_some_and(|refused| *refused >= AT_ONCE - 2), "{statuses:?}");
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
