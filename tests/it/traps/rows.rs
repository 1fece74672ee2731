//! Traps 2, 4 and 5: rows that producers may write and that stop a careless queue.
//!
//! Each is set twice: the database refuses the row in the producer's own transaction; and where that
//! rule is gone, because an operator dropped it or the row is older than the rule, the daemon still
//! runs every other job.

use legwork::executor::{Context, HandlerError, TypedHandler};
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};

use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, history, kind, name, settings, value,
};
use crate::process::{Configuration, SLACK, count, enqueue_many};
use crate::statements::{end, execute, refused, session_as};
use crate::support::{self, Daemon};

/// Rows with this moment: due for ever or never, expired or not, served and not; and timeouts beyond
/// any clock. What forbids them is gone, as in a database that is older than the rule.
async fn insert_rows_with(session: &mut PgConnection, moment: &str) {
    execute(
        session,
        "ALTER DOMAIN legwork.run_time DROP CONSTRAINT run_at_is_between_2000_and_2200;
         ALTER DOMAIN legwork.expiry_time DROP CONSTRAINT expires_at_is_between_2000_and_2200;
         ALTER DOMAIN legwork.attempt_timeout DROP CONSTRAINT timeout_is_above_0_and_at_most_30_days",
    )
    .await;
    for column in ["run_at", "expires_at"] {
        for kind in ["noop", "nobodys"] {
            let insert =
                format!("INSERT INTO legwork.job (kind, {column}) VALUES ('{kind}', '{moment}')");
            execute(session, &insert).await;
        }
    }
    for timeout in ["178000000 years", "-178000000 years", "0", "9223372036854 seconds"] {
        let insert =
            format!("INSERT INTO legwork.job (kind, timeout) VALUES ('noop', '{timeout}')");
        execute(session, &insert).await;
    }
}

/// How many jobs of the served kind aren't finished.
const LEFT: &str = "SELECT count(*) FROM legwork.job WHERE kind = 'noop'";
/// Jobs that are due in a moment.
const SCHEDULED_NOW: &str = "INSERT INTO legwork.job (kind, run_at)
    SELECT 'noop', now() + interval '100 ms' FROM generate_series(1, 10)";

#[rstest]
#[case::for_ever("infinity", 1)]
#[case::since_ever("-infinity", 0)]
#[case::year_294276("294276-12-31 23:59:59+00", 1)]
#[case::before_christ("4713-01-01 00:00:00+00 BC", 0)]
#[case::year_9999("9999-12-31", 1)]
fn trap_2_a_moment_that_no_client_can_decode_is_refused_and_past_that_stops_no_loop(
    #[case] moment: &str,
    #[case] never_due: i64,
) {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for column in ["run_at", "expires_at"] {
            let insert =
                format!("INSERT INTO legwork.job (kind, {column}) VALUES ('noop', '{moment}')");
            let refusal = refused(&mut producer, &insert).await;
            assert!(refusal.message.contains("_is_between_2000_and_2200"), "{refusal:?}");
        }
        execute(&mut producer, "RESET ROLE").await;
        insert_rows_with(&mut producer, moment).await;
        end(producer).await;

        let pool = db.pool().await;
        enqueue_many(&pool, "noop", 100).await;
        pool.execute(SCHEDULED_NOW).await.unwrap();
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("every job that is ever due has run", async || {
            value::<i64>(&pool, LEFT).await == never_due
        })
        .await;
        support::eventually("those that nobody serves were counted", async || {
            daemon.metric("legwork_queue_jobs", &["state=\"available\""]).await > 0.5
        })
        .await;
        // With nothing but the odd row waiting, the next are scheduled as ever.
        pool.execute(SCHEDULED_NOW).await.unwrap();
        support::eventually("jobs scheduled beside it run", async || {
            value::<i64>(&pool, LEFT).await == never_due
        })
        .await;
        let asked = "SELECT count(*) FROM legwork.jobs j, legwork.why(j.id) w";
        assert!(value::<i64>(&pool, asked).await > 100, "why() answers for each of them");
        let troubles = ["claim.failed", "maintenance.failed", "job.refused", "process.panicked"];
        for trouble in troubles {
            assert_eq!(daemon.count(trouble), 0, "{trouble}: {}", daemon.printed());
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// 901 bytes.
const BOMB: &str = "'[' || rtrim(repeat('1e100000,', 100), ',') || ']'";

#[test]
fn trap_4_nine_hundred_bytes_that_render_to_thirteen_megabytes_are_refused_on_every_way_in() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_enqueue").await;
        let text: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {BOMB}")))
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert_eq!(text.len(), 901);
        let seen = format!(
            "SELECT pg_column_size(({BOMB})::jsonb) < 1048576, \
            octet_length(({BOMB})::jsonb::text) > 10000000"
        );
        let (harmless, bomb): (bool, bool) =
            sqlx::query_as(AssertSqlSafe(seen)).fetch_one(&mut session).await.unwrap();
        assert!(harmless && bomb, "the trap is set: the column's size says nothing");

        for way in [
            format!("INSERT INTO legwork.job (kind, payload) VALUES ('noop', ({BOMB})::jsonb)"),
            format!(
                "INSERT INTO legwork.job (kind, payload) SELECT 'noop', ({BOMB})::jsonb \
                FROM generate_series(1, 3)"
            ),
            format!("SELECT legwork.enqueue('noop', ({BOMB})::jsonb)"),
        ] {
            let refusal = refused(&mut session, &way).await;
            assert!(refusal.message.contains("payload_is_at_most_1_mib_rendered"), "{refusal:?}");
        }
        let mut copy =
            session.copy_in_raw("COPY legwork.job (kind, payload) FROM STDIN").await.unwrap();
        copy.send(format!("noop\t{{}}\nnoop\t{text}\n").as_bytes()).await.unwrap();
        let refusal = copy.finish().await.expect_err("the second row is a bomb").to_string();
        assert!(refusal.contains("payload_is_at_most_1_mib_rendered"), "{refusal}");

        let pool = db.pool().await;
        enqueue_many(&pool, "noop", 100).await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("noop", AT_ONCE)];
        let noop = deciding(|_| completed());
        let runner = Runner::start(daemon(settings).with_handler(name("noop"), noop));
        drained(&pool).await;
        assert_eq!(count(&pool, "noop", "completed").await, 100);
        runner.stop().await;
        end(session).await;
        pool.close().await;
    });
}

/// Takes any JSON that its parser can read.
struct Parses;

impl TypedHandler for Parses {
    type Payload = serde_json::Value;
    type Result = ();

    async fn handle(&self, _: serde_json::Value, _: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// A hundred jobs of a kind, one of them nested 200 deep.
async fn one_of_a_hundred_is_deep(pool: &PgPool, kind: &str) -> i64 {
    let insert = sqlx::query_scalar(
        "WITH i AS (INSERT INTO legwork.job (kind, payload)
            SELECT $1, CASE i WHEN 37 THEN repeat('[', 200) || repeat(']', 200) ELSE '1' END::jsonb
            FROM generate_series(1, 100) i RETURNING id, payload)
         SELECT id FROM i WHERE payload <> '1'",
    );
    insert.bind(kind).fetch_one(pool).await.expect("Postgres takes it")
}

#[test]
fn trap_4_a_payload_nested_200_deep_is_handed_on_as_text_or_discarded_alone() {
    support::run(async |db| {
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(serde_json::from_str::<serde_json::Value>(&deep).is_err(), "the trap is set");
        let pool = db.pool().await;
        let parsed = one_of_a_hundred_is_deep(&pool, "parses").await;
        let handed_on = one_of_a_hundred_is_deep(&pool, "takes-text").await;
        let mut settings = settings(&db);
        settings.queues[0].concurrency = 200;
        settings.kinds = vec![kind("parses", AT_ONCE), kind("takes-text", AT_ONCE)];
        let takes_text = deciding(move |context| {
            let payload = &context.job().payload;
            assert!(*payload == "1" || *payload == deep, "{payload}");
            completed()
        });
        let daemon = daemon(settings)
            .with_typed_handler(name("parses"), Parses)
            .with_handler(name("takes-text"), takes_text);
        let runner = Runner::start(daemon);
        drained(&pool).await;
        assert_eq!(history(&pool, handed_on).await.outcome, "completed");
        let found = history(&pool, parsed).await;
        assert_eq!(found.outcome, "discarded");
        assert_eq!(found.reason.as_deref(), Some("invalid_payload"));
        let completed: i64 =
            value(&pool, "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed'").await;
        assert_eq!(completed, 199);
        runner.stop().await;
        pool.close().await;
    });
}

/// A hundred jobs, the 37th of which the database won't let anybody update from now on.
const POISONED: &str = "
    INSERT INTO legwork.job (kind, payload)
    SELECT 'noop', CASE i WHEN 37 THEN '\"poison\"' ELSE '0' END::jsonb FROM generate_series(1, 100) i";
const CHECK: &str = "ALTER TABLE legwork.job
    ADD CONSTRAINT no_poison CHECK (payload <> '\"poison\"') NOT VALID";
const TRIGGER: &str = "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $f$ BEGIN RAISE 'this row is poison'; END $f$;
    CREATE TRIGGER refuse BEFORE UPDATE ON legwork.job FOR EACH ROW
    WHEN (NEW.payload = '\"poison\"') EXECUTE FUNCTION public.refuse()";
const IN_HISTORY: &str =
    "ALTER TABLE legwork.finished ADD CONSTRAINT no_poison CHECK (payload <> '\"poison\"')";
const HELD_BY_THE_DEAD: &str = "
    INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() - interval '1 h');
    UPDATE legwork.job SET holder = 7, token = 1";
const SCHEDULED: &str = "UPDATE legwork.job SET run_at = now() + interval '1 s'";
/// More than one batch of a rescue or a promotion.
const A_THOUSAND_MORE: &str =
    "INSERT INTO legwork.job (kind, payload) SELECT 'noop', '0' FROM generate_series(1, 1500)";

#[rstest]
#[case::claim_and_a_check(&[POISONED, CHECK], "available")]
#[case::claim_and_a_trigger(&[POISONED, A_THOUSAND_MORE, TRIGGER], "available")]
#[case::rescue_and_a_check(&[POISONED, HELD_BY_THE_DEAD, CHECK], "running")]
#[case::rescue_and_a_trigger(&[A_THOUSAND_MORE, POISONED, HELD_BY_THE_DEAD, TRIGGER], "running")]
#[case::promotion_and_a_check(&[POISONED, SCHEDULED, CHECK], "available")]
#[case::promotion_and_a_trigger(&[POISONED, A_THOUSAND_MORE, SCHEDULED, TRIGGER], "available")]
// A verdict that is refused comes back, and is refused again.
#[case::flush_and_a_check(&[POISONED, IN_HISTORY], "running retryable scheduled available")]
fn trap_5_one_row_that_the_database_refuses_wedges_no_batch(
    #[case] arrange: &'static [&'static str],
    #[case] remains: &str,
) {
    support::run(async |db| {
        let pool = db.pool().await;
        for statements in arrange {
            pool.execute(sqlx::raw_sql(*statements)).await.unwrap();
        }
        let jobs: i64 = value(&pool, "SELECT count(*) FROM legwork.job").await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("every other job is completed", async || {
            count(&pool, "noop", "completed").await == jobs - 1
        })
        .await;
        enqueue_many(&pool, "noop", 100).await;
        support::eventually("and so is what comes next", async || {
            count(&pool, "noop", "completed").await == jobs + 99
        })
        .await;
        let poison = "SELECT state FROM legwork.jobs WHERE payload = '\"poison\"'";
        let state: String = value(&pool, poison).await;
        assert!(remains.split(' ').any(|allowed| allowed == state), "{state}");
        let told = ["job.refused", "flush.row_refused"].map(|event| daemon.count(event));
        assert!(told.iter().sum::<usize>() > 0, "it is told of: {}", daemon.printed());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
