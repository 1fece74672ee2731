//! Requests with an `Idempotency-Key`: done once, answered as often as they are sent.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Answer, daemon, send};
use crate::process::Configuration;
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon};

const ONE: (&str, &str) = ("/api/v1/jobs", "application/json");
const MANY: (&str, &str) = ("/api/v1/jobs:batch", "application/x-ndjson");
const JOB: &str = r#"{"kind": "waits"}"#;
const JOBS: &str = "SELECT count(*) FROM legwork.job";

fn keyed((path, kind): (&str, &str), key: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nIdempotency-Key: {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn ask(daemon: &Daemon, to: (&str, &str), key: &str, body: &str) -> Answer {
    send(daemon.admin().await, &keyed(to, key, body)).await
}

#[test]
fn a_repetition_does_nothing_and_gets_the_same_answer() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        for (to, body) in [(ONE, JOB), (MANY, "{\"kind\": \"waits\"}\n{\"kind\": \"waits\"}\n")] {
            let key = format!("\"key-of{}\"", to.0.replace('/', "-"));
            let first = ask(&daemon, to, &key, body).await;
            assert_eq!(
                (first.status, first.header("idempotency-replayed")),
                (201, None),
                "{}",
                first.body
            );
            let jobs = value(&mut session, JOBS).await;
            // With and without quotes it is the same key.
            for key in [&*key, key.trim_matches('"')] {
                let again = ask(&daemon, to, key, body).await;
                assert_eq!((again.status, &again.body), (201, &first.body));
                assert_eq!(again.header("location"), first.header("location"));
                assert_eq!(again.header("idempotency-replayed"), Some("true"));
            }
            assert_eq!(value(&mut session, JOBS).await, jobs, "nothing was done again");
            let other = ask(&daemon, to, &key, r#"{"kind": "waits", "payload": 1}"#).await;
            assert_eq!((other.status, other.problem()), (422, "key-reused".to_owned()));
            assert_eq!(value(&mut session, JOBS).await, jobs);
        }
        let elsewhere = ask(&daemon, MANY, "key-of-api-v1-jobs", JOB).await;
        assert_eq!((elsewhere.status, elsewhere.problem()), (422, "key-reused".to_owned()));
        // What was refused did nothing, and may be mended and sent again.
        let refused = ask(&daemon, ONE, "mended", r#"{"kind": "waits", "timeout": "31d"}"#).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert_eq!(ask(&daemon, ONE, "mended", JOB).await.status, 201);
        for wrong in ["\"\"", "a b", &"k".repeat(256)] {
            let answer = ask(&daemon, ONE, wrong, JOB).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid-parameter".to_owned()),
                "{wrong}"
            );
        }
        daemon.stop().await;
        end(session).await;
    });
}

/// Makes every COMMIT of a kept answer wait for whoever holds this lock.
const COMMITS_WAIT: &str = "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON legwork.request DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.hold()";

#[test]
fn a_client_that_is_cut_off_at_the_commit_finds_its_answer_and_meanwhile_is_told_to_wait() {
    support::run(async |db| {
        let (mut session, mut holder) = (db.connect().await, db.connect().await);
        // Longer than the commit is made to wait, whatever else the machine does.
        let url = db.url();
        let text =
            Configuration { statement_timeout: "30s", ..Configuration::of(&url, &[]) }.text();
        let daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        execute(&mut session, COMMITS_WAIT).await;
        for (number, to) in [(1, ONE), (2, MANY)] {
            let key = format!("key-{number}");
            execute(&mut holder, "SELECT pg_advisory_lock(42)").await;
            let mut client = TcpStream::connect(daemon.admin().await).await.expect("it listens");
            client.write_all(keyed(to, &key, JOB).as_bytes()).await.expect("it is taken");
            support::eventually("the commit waits", async || {
                let waits =
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name LIKE 'legwork admin%' AND wait_event = 'advisory'";
                value(&mut session, waits).await == "1"
            })
            .await;
            let meanwhile = ask(&daemon, to, &key, JOB).await;
            assert_eq!(
                (meanwhile.status, meanwhile.problem()),
                (409, "request-under-way".to_owned())
            );
            assert_eq!(meanwhile.header("retry-after"), Some("5"));
            drop(client);
            execute(&mut holder, "SELECT pg_advisory_unlock(42)").await;
            support::eventually("it is decided", async || {
                let again = ask(&daemon, to, &key, JOB).await;
                assert!([201, 409].contains(&again.status), "{}", again.body);
                again.status == 201
            })
            .await;
            assert_eq!(value(&mut session, JOBS).await, number.to_string(), "one job a key");
            let again = ask(&daemon, to, &key, JOB).await;
            assert_eq!(again.header("idempotency-replayed"), Some("true"), "{}", again.head);
        }
        daemon.stop().await;
        end(holder).await;
        end(session).await;
    });
}

#[test]
fn answers_of_the_day_before_are_forgotten() {
    const OLD: &str = "INSERT INTO legwork.request (key, fingerprint, status, answer, answered_at)
        SELECT 'old-' || n, sha256('x'), 201, '{}', now() - interval '25 h' FROM generate_series(1, 2500) n
        UNION ALL SELECT 'young', sha256('x'), 201, '{}', now() - interval '23 h'";
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, OLD).await;
        let daemon = daemon(&db.url(), "").await;
        support::eventually("the pruner has been there", async || {
            value(&mut session, "SELECT string_agg(key, ' ') FROM legwork.request").await == "young"
        })
        .await;
        daemon.stop().await;
        end(session).await;
    });
}
