//! The sessions by which the API asks: how many, how long, and what is said when there is none.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use legwork::config::{Database, DatabaseUrl, Settings};
use legwork::postgres::operations::{self, Connection, OperationError, SESSIONS_MAX, Sessions};
use tokio::time::{Instant, timeout};

use super::{daemon, found, get, post};
use crate::process::Configuration;
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, PATIENCE, Proxy, TestDb};

/// Sessions of the admin port on the database, whatever they do.
async fn open(db: &TestDb) -> usize {
    db.sessions().await.iter().filter(|session| session.contains("(legwork admin")).count()
}

#[test]
fn a_daemon_that_nobody_asks_holds_none_and_one_that_is_asked_two_at_most() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        for path in ["/health/ready", "/metrics", "/version", "/openapi.json"] {
            assert_eq!(daemon.get(path).await.0, 200);
        }
        assert_eq!(open(&db).await, 0, "what asks the database nothing opens none");
        found(&daemon, "/api/v1/queues").await;
        assert_eq!(open(&db).await, 1);
        let many = (0..12).map(|_| found(&daemon, "/api/v1/jobs?include=payload"));
        assert_eq!(futures::future::join_all(many).await.len(), 12);
        assert!((1..=SESSIONS_MAX).contains(&open(&db).await));
        daemon.stop().await;
        assert_eq!(open(&db).await, 0);
    });
}

#[test]
fn a_database_that_does_not_answer_is_a_503_that_says_when_to_come_again() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        let daemon = daemon(proxy.url(), "").await;
        found(&daemon, "/api/v1/queues").await;
        proxy.blackhole();
        for path in
            ["queues", "queues/default", "jobs", "jobs/1", "jobs/1/why", "schedules", "daemons"]
        {
            let began = Instant::now();
            let answer = get(&daemon, &format!("/api/v1/{path}")).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (503, "database-unavailable".into()),
                "{path}"
            );
            assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
            assert!(began.elapsed() < Duration::from_secs(8), "{path}: {:?}", began.elapsed());
        }
        proxy.heal();
        support::eventually("it is answered again", async || {
            get(&daemon, "/api/v1/queues").await.status == 200
        })
        .await;
        daemon.stop().await;
    });
}

/// Makes whoever cancels a job wait until the table has a row, longer than any lock may be waited for. Within a statement
/// the server has nothing to wait by but looks.
const CANCELS_WAIT: &str = "CREATE TABLE public.go (); GRANT SELECT ON public.go TO PUBLIC;
    CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM public.go) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; END $$;
    CREATE TRIGGER hold AFTER UPDATE OR DELETE ON legwork.job FOR EACH ROW EXECUTE FUNCTION public.hold()";

/// Whoever sends such a request again without a look may do it twice; where nothing was sent there is nothing to look at.
#[test]
fn a_change_whose_answer_is_lost_is_said_to_be_perhaps_made() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let proxy = Proxy::before(&db.url()).await;
        let url = proxy.url().to_owned();
        let text = Configuration { statement_timeout: "30s", ..Configuration::of(&url, &[]) };
        let daemon = Daemon::start(&text.text()).await;
        daemon.logged("daemon.started").await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('waits'), ('waits')").await;
        execute(&mut session, CANCELS_WAIT).await;
        for (id, lose) in [("1", Proxy::mute as fn(&Proxy)), ("2", Proxy::reset)] {
            execute(&mut session, "DELETE FROM public.go").await;
            let path = format!("/api/v1/jobs/{id}/cancel");
            let lost = async {
                support::eventually("the change is under way", async || {
                    let under_way =
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name LIKE 'legwork admin%' AND wait_event = 'PgSleep'";
                    value(&mut session, under_way).await == "1"
                })
                .await;
                lose(&proxy);
                execute(&mut session, "INSERT INTO public.go DEFAULT VALUES").await;
            };
            let (answer, ()) = futures::join!(post(&daemon, &path, "{}"), lost);
            assert_eq!((answer.status, answer.problem()), (503, "outcome-unknown".into()));
            assert_eq!(answer.header("retry-after"), None);
            let said = answer.json()["detail"].as_str().expect("it says so").to_owned();
            assert!(said.contains("may have been made: look before you ask"), "{said}");
            let state = format!("SELECT state FROM legwork.jobs WHERE id = {id}");
            support::eventually("it is made", async || {
                value(&mut session, &state).await == "cancelled"
            })
            .await;
        }
        proxy.blackhole();
        let answer = post(&daemon, "/api/v1/jobs/1/retry", "{}").await;
        let said = (answer.status, answer.json()["detail"].clone());
        assert_eq!(said, (503, "the database doesn't answer".into()));
        proxy.heal();
        daemon.stop().await;
        end(session).await;
    });
}

/// Two seconds in this configuration, five at most.
#[test]
fn a_statement_that_takes_too_long_is_ended() {
    // What is to be ended; nothing waits for its sleep.
    const SLOW: &str = "CREATE OR REPLACE FUNCTION legwork.backlog(queue text) RETURNS bigint
        LANGUAGE sql AS 'SELECT 1::bigint FROM pg_sleep(60)'";
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        execute(&mut session, SLOW).await;
        let answer = get(&daemon, "/api/v1/queues").await;
        assert_eq!((answer.status, answer.problem()), (503, "database-unavailable".into()));
        assert!(answer.body.contains("statement timeout"), "{}", answer.body);
        let working = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name LIKE 'legwork admin%' AND state = 'active'";
        support::eventually("the server has ended it", async || {
            value(&mut session, working).await == "0"
        })
        .await;
        found(&daemon, "/api/v1/jobs").await;
        daemon.stop().await;
        end(session).await;
    });
}

/// The port outlives its database: a session that lay idle meanwhile is no error of the next request.
#[test]
fn a_session_that_the_server_has_ended_is_replaced() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        found(&daemon, "/api/v1/queues").await;
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'legwork admin%'";
        assert_eq!(value(&mut session, ended).await, "1");
        found(&daemon, "/api/v1/queues").await;
        daemon.stop().await;
        end(session).await;
    });
}

/// What a database says to who would write is a session's for as long as it lasts, and no later request's.
#[test]
fn a_session_that_is_read_only_serves_no_request_once_the_database_takes_writes() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = daemon(&db.url(), "").await;
        let set = |to: &str| {
            format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", db.name())
        };
        execute(&mut session, &set("on")).await;
        let pause = async || post(&daemon, "/api/v1/queues/default/pause", "{}").await;
        // As many as there may be, of which one is told.
        let reads = (0..12).map(|_| found(&daemon, "/api/v1/jobs"));
        futures::future::join_all(reads).await;
        let refused = pause().await;
        assert_eq!((refused.status, refused.problem()), (503, "database-unavailable".into()));
        execute(&mut session, "SET default_transaction_read_only = off").await;
        execute(&mut session, &set("off")).await;
        let done = pause().await;
        assert_eq!(done.status, 200, "{}", done.body);
        daemon.stop().await;
        end(session).await;
    });
}

/// The sessions by themselves, with somebody who tends to them.
async fn tended<T>(
    db: &TestDb,
    idle_max: Duration,
    test: impl AsyncFnOnce(Arc<Sessions>) -> T,
) -> T {
    let url = Some(DatabaseUrl::new(db.url()));
    let database = Database { url, ..Settings::default().database };
    let sessions = Arc::new(Sessions::new(database, idle_max));
    let done = tokio::select! {
        done = test(Arc::clone(&sessions)) => done,
        () = sessions.tend() => unreachable!("it has no end"),
    };
    sessions.close().await;
    done
}

#[test]
fn a_session_is_closed_once_nobody_has_asked_for_a_while() {
    support::run(async |db| {
        tended(&db, Duration::from_millis(300), async |sessions| {
            let listed = sessions.within(|c| operations::list_queues(c).boxed()).await;
            assert!(listed.is_ok(), "{listed:?}");
            support::eventually("it is closed", async || open(&db).await == 0).await;
        })
        .await;
        tended(&db, PATIENCE * 10, async |sessions| {
            for _ in 0..3 {
                sessions.within(|c| operations::list_queues(c).boxed()).await.expect("an answer");
                assert_eq!(open(&db).await, 1, "it is kept, and used again");
            }
        })
        .await;
    });
}

/// As an operation that the server works at for two seconds.
fn long(c: &mut Connection) -> BoxFuture<'_, Result<(), OperationError>> {
    async {
        // The work itself: a statement that lasts while its client is gone.
        let slept = sqlx::query("SELECT pg_sleep(2)").execute(c).await;
        slept.map(drop).map_err(OperationError::ListJobs)
    }
    .boxed()
}

/// Clients who come, ask much and go would otherwise each leave a statement behind.
#[test]
fn a_place_stays_taken_until_the_server_is_done_with_what_was_left() {
    support::run(async |db| {
        tended(&db, PATIENCE * 10, async |sessions| {
            for left in 1..=SESSIONS_MAX {
                let asking = sessions.within(long);
                let works = support::eventually("the server works at it", async || {
                    let works = |session: &&String| {
                        session.contains("active") && session.contains("pg_sleep")
                    };
                    db.sessions().await.iter().filter(works).count() == left
                });
                tokio::select! {
                    done = asking => panic!("it is done already: {done:?}"),
                    () = works => {}
                }
            }
            let refused = timeout(
                Duration::from_millis(300),
                sessions.within(|c| operations::list_queues(c).boxed()),
            )
            .await;
            assert!(refused.is_err(), "all places are taken: {refused:?}");
            assert!(open(&db).await <= SESSIONS_MAX);
            support::eventually("there is a place again", async || {
                sessions.within(|c| operations::list_queues(c).boxed()).await.is_ok()
            })
            .await;
        })
        .await;
    });
}
