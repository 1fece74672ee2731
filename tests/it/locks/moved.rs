//! One job that several operators move between the line and history at one moment: nobody is told that it isn't there.

use rstest::rstest;
use sqlx::{AssertSqlSafe, PgConnection};

use super::Locker;
use crate::statements::{end, execute, rows, session_as, value};
use crate::support::{self, TestDb};

/// Each session's calls in a storm: some of them look in one place right before another moves the job there.
const ROUNDS: usize = 400;

/// Has a session that says so by `test.looks` wait before each deletion from history, after it has looked what there is
/// to delete: the first time for advisory lock 1, then for 2 and so on.
const PAUSES: &str = "CREATE FUNCTION public.pauses() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE looks integer := nullif(current_setting('test.looks', true), '')::integer + 1;
    BEGIN
        IF looks IS NOT NULL THEN
            PERFORM set_config('test.looks', looks::text, false);
            PERFORM pg_advisory_lock(looks);
            PERFORM pg_advisory_unlock(looks);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER pauses BEFORE DELETE ON legwork.finished FOR EACH STATEMENT EXECUTE FUNCTION public.pauses()";

/// The answer to a call, or the SQLSTATE of its refusal.
async fn answer(session: &mut PgConnection, call: &str) -> Result<String, String> {
    let asked = sqlx::query_scalar(AssertSqlSafe(format!("SELECT (legwork.{call})::text")));
    match asked.fetch_one(session).await {
        Ok(word) => Ok(word),
        Err(sqlx::Error::Database(refusal)) => Err(refusal.code().unwrap_or_default().into_owned()),
        Err(other) => panic!("{call}: {other:?}"),
    }
}

/// A job in history.
async fn cancelled(session: &mut PgConnection) -> i64 {
    let insert = "INSERT INTO legwork.job (kind) VALUES ('k') RETURNING id";
    let id = value(session, insert).await.parse().expect("an id");
    execute(session, &format!("SELECT legwork.cancel({id})")).await;
    id
}

async fn somebody_waits(db: &TestDb, lock: &str) {
    let mut watcher = db.connect().await;
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND {lock}
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    support::eventually("the operator waits", async || value(&mut watcher, &waiting).await == "1")
        .await;
    end(watcher).await;
}

#[rstest]
#[case::cancel("cancel($id)", "cancelled", "0|1")]
#[case::discard("discard($id)", "discarded", "0|1")]
#[case::snooze("snooze($id, '1 h') - now()", "01:00:00", "1|0")]
#[case::retry("retry($id)", "already_in_line", "1|0")]
fn who_looked_for_a_job_in_line_before_a_retry_and_in_history_after_it_finds_it(
    #[case] call: &'static str,
    #[case] word: &'static str,
    #[case] left: &'static str,
) {
    support::run(async move |db| {
        let mut session = db.connect().await;
        let id = cancelled(&mut session).await;
        // Who looks into history waits for the end of it, and sees then what it left.
        let retry = format!(
            "SELECT legwork.retry({id}); LOCK TABLE legwork.finished IN ACCESS EXCLUSIVE MODE"
        );
        let other = Locker::holds(&db, &retry).await;
        let mut operator = session_as(&db, "legwork_operator").await;
        let call = call.replace("$id", &id.to_string());
        let (answered, ()) = tokio::join!(answer(&mut operator, &call), async {
            somebody_waits(&db, "relation = 'legwork.finished'::regclass").await;
            other.lets_go().await;
        });
        assert_eq!(answered, Ok(word.to_owned()));
        let counts =
            "SELECT (SELECT count(*) FROM legwork.job), (SELECT count(*) FROM legwork.finished)";
        assert_eq!(rows(&mut session, counts).await, [left]);
        end(operator).await;
        end(session).await;
    });
}

/// Between each look and the deletion the job is retried and cancelled by somebody else.
#[rstest]
#[case::twice(2, Ok("retried"))]
#[case::as_often_as_it_looks_but_once(7, Ok("retried"))]
#[case::each_time(8, Err("55P03"))]
fn a_retry_looks_again_where_what_it_found_was_moved(
    #[case] moves: usize,
    #[case] said: Result<&'static str, &'static str>,
) {
    support::run(async move |db| {
        let mut other = db.connect().await;
        let id = cancelled(&mut other).await;
        execute(&mut other, PAUSES).await;
        execute(
            &mut other,
            &format!("SELECT pg_advisory_lock(n) FROM generate_series(1, {moves}) n"),
        )
        .await;
        let mut operator = session_as(&db, "legwork_operator").await;
        execute(&mut operator, "SET test.looks = 0").await;
        let retry = format!("retry({id})");
        let (answered, ()) = tokio::join!(answer(&mut operator, &retry), async {
            for look in 1..=moves {
                somebody_waits(&db, &format!("locktype = 'advisory' AND objid = {look}")).await;
                execute(
                    &mut other,
                    &format!("SELECT legwork.retry({id}); SELECT legwork.cancel({id})"),
                )
                .await;
                execute(&mut other, &format!("SELECT pg_advisory_unlock({look})")).await;
            }
        });
        assert_eq!(answered, said.map(str::to_owned).map_err(str::to_owned));
        end(operator).await;
        end(other).await;
    });
}

#[test]
fn of_three_operators_at_one_job_none_is_told_that_there_is_none() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = cancelled(&mut session).await;
        let storm = [["retry", "retry"], ["cancel", "discard"], ["retry", "cancel"]];
        let calls = storm.map(|verbs| operate(&db, id, verbs));
        for answers in futures::future::join_all(calls).await {
            let lost = |answer: &&Result<String, String>| {
                matches!(answer.as_deref(), Ok("not_found") | Err(_))
            };
            let lost: Vec<_> = answers.iter().filter(lost).collect();
            assert!(lost.is_empty(), "the job is there all the time: {lost:?}");
        }
        let jobs = "SELECT count(*) FROM legwork.jobs";
        assert_eq!(value(&mut session, jobs).await, "1");
        end(session).await;
    });
}

/// What one session's calls in turn are answered.
async fn operate(db: &TestDb, id: i64, verbs: [&str; 2]) -> Vec<Result<String, String>> {
    let mut operator = session_as(db, "legwork_operator").await;
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        answers.push(answer(&mut operator, &format!("{}({id})", verbs[round % 2])).await);
    }
    end(operator).await;
    answers
}
