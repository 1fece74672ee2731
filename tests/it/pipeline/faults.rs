//! Rows that the database refuses, and rows in masses that nobody asked for.

use std::time::Duration;

use legwork::config::{HandlerSettings, KindSettings};
use legwork::job::{JobError, JobResult, Outcome};
use legwork::postgres::RunTime;
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::AssertSqlSafe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    AT_ONCE, Runner, completed, daemon, deaths, deciding, history, insert, kind, name, settings,
    value,
};
use crate::support::{self, Daemon};

/// A trigger that raises for what meets the condition.
pub(crate) fn trigger(table: &str, event: &str, condition: &str) -> String {
    format!(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$
         BEGIN RAISE 'this row is poison'; END $f$;
         CREATE TRIGGER refuse BEFORE {event} ON legwork.{table} FOR EACH ROW
         WHEN ({condition}) EXECUTE FUNCTION public.refuse()"
    )
}

/// A CHECK, whose SQLSTATE is also that of a partition that is missing.
fn check(table: &str, condition: &str) -> String {
    format!("ALTER TABLE legwork.{table} ADD CONSTRAINT refuse CHECK ({condition})")
}

#[test]
fn a_row_that_history_refuses_keeps_no_other_from_expiring() {
    support::run(async |db| {
        let pool = db.pool().await;
        let poison = trigger("finished", "INSERT", "NEW.kind = 'poison'");
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let rows = "INSERT INTO legwork.job (kind, queue, expires_at)
            SELECT CASE n WHEN 37 THEN 'poison' ELSE 'nobodys' END, 'nobodys', now() - interval '1 s'
            FROM generate_series(1, 100) n";
        sqlx::query(rows).execute(&pool).await.unwrap();
        let runner = Runner::start(daemon(settings(&db)));
        support::eventually("all but one are discarded", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.finished").await == 99
        })
        .await;
        let left: Vec<String> = value(&pool, "SELECT array_agg(kind::text) FROM legwork.job").await;
        assert_eq!(left, ["poison"]);
        runner.stop().await;
        pool.close().await;
    });
}

/// More rows than one look at what is due gives.
const MANY: i64 = 1001;

#[test]
fn rows_in_masses_that_may_not_change_keep_no_other_from_expiring() {
    support::run(async |db| {
        let pool = db.pool().await;
        let poison = trigger("finished", "INSERT", "NEW.kind = 'poison'");
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let rows = "INSERT INTO legwork.job (kind, expires_at)
            SELECT CASE WHEN n > $1 THEN 'nobodys' ELSE 'poison' END, now() - interval '1 h' + n * interval '1 ms'
            FROM generate_series(1, $1 + 1) n";
        sqlx::query(rows).bind(MANY).execute(&pool).await.unwrap();
        assert_eq!(deaths::upkeep(&db.url()).expire().await.unwrap(), 1);
        pool.close().await;
    });
}

#[test]
fn rows_in_masses_that_may_not_change_keep_no_other_from_getting_in_line() {
    support::run(async |db| {
        let pool = db.pool().await;
        let rows = "INSERT INTO legwork.job (kind, run_at, ready_at)
            SELECT CASE WHEN n > $1 THEN 'noop' ELSE 'poison' END, now() - interval '1 h' + n * interval '1 ms',
                now() - interval '2 h'
            FROM generate_series(1, $1 + 1) n";
        sqlx::query(rows).bind(MANY).execute(&pool).await.unwrap();
        let poison = trigger("job", "UPDATE", "NEW.kind = 'poison'");
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let promoted = deaths::upkeep(&db.url()).promote_apart(RunTime(0.0)).await.unwrap();
        assert_eq!(promoted, 1);
        pool.close().await;
    });
}

#[rstest]
#[case::a_history_row("ends", trigger("finished", "INSERT", "NEW.payload = '\"poison\"'"), 1)]
#[case::a_history_row_by_check("ends", check("finished", "payload <> '\"poison\"'"), 1)]
#[case::a_failed_attempt(
    "fails",
    trigger("failed_attempt", "INSERT", "NEW.error = '\"poison\"'"),
    0
)]
#[case::a_failed_attempt_by_check("fails", check("failed_attempt", "error <> '\"poison\"'"), 0)]
#[case::a_row_that_goes_back(
    "fails",
    trigger(
        "job",
        "UPDATE",
        "NEW.payload = '\"poison\"' AND OLD.holder IS NOT NULL AND NEW.holder IS NULL"
    ),
    1
)]
fn a_row_that_the_database_refuses_delays_no_other(
    #[case] kind_name: &'static str,
    #[case] poison: String,
    #[case] refused: i64,
) {
    support::run(async move |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ends", AT_ONCE), kind("fails", AT_ONCE)];
        settings.queues[0].concurrency = 200;
        // Long enough for the hundred to share a flush.
        settings.complete.flush_interval = Duration::from_millis(100);
        let fails = deciding(|context| {
            if context.is_final_attempt() {
                return completed();
            }
            Outcome::Retry { error: JobError::new(&context.job().payload), after: None }
        });
        let daemon = daemon(settings)
            .with_handler(name("ends"), deciding(|_| completed()))
            .with_handler(name("fails"), fails);
        let hundred = sqlx::query(
            "INSERT INTO legwork.job (kind, max_attempts, payload)
             SELECT $1, 2, CASE i WHEN 37 THEN '\"poison\"' ELSE '0' END::jsonb
             FROM generate_series(1, 100) i",
        );
        hundred.bind(kind_name).execute(&pool).await.unwrap();
        let runner = Runner::start(daemon);
        support::eventually("all others are in history", async || {
            let done: i64 = value(&pool, "SELECT count(*) FROM legwork.finished").await;
            done == 100 - refused
        })
        .await;
        let left: i64 =
            value(&pool, "SELECT count(*) FROM legwork.job WHERE payload = '\"poison\"'").await;
        assert_eq!(left, refused);
        let waits = "SELECT coalesce((SELECT holder IS NULL FROM legwork.job), true)";
        // One whose end is refused comes back; one that may not go back stays ours, and is named.
        if kind_name == "ends" {
            support::eventually("nobody holds it", async || value(&pool, waits).await).await;
        }
        let stuck: bool = !value::<bool>(&pool, waits).await;
        // And whatever comes next is written as ever.
        let next = insert(&pool, "ends").await;
        assert_eq!(history(&pool, next).await.outcome, "completed");
        let ended = runner.end().await;
        assert_eq!(ended.orphans.len(), usize::from(stuck), "{ended:?}");
        pool.close().await;
    });
}

#[rstest]
#[case::an_operators_own("AB001")]
#[case::a_case_without_else("20000")]
#[case::a_row_that_its_trigger_has_changed("27000")]
#[case::a_state_that_is_not_right("55000")]
#[case::a_check_of_its_own("23514")]
#[case::a_foreign_table("HV000")]
#[case::a_broken_block("XX001")]
#[case::a_server_that_its_trigger_asks("08001")]
#[case::a_right_on_that_server("28000")]
#[case::a_database_of_that_server("3D000")]
#[case::a_file_that_its_trigger_reads("58P01")]
fn a_row_that_fails_with_any_sqlstate_delays_no_other(#[case] sqlstate: &'static str) {
    support::run(async move |db| {
        let pool = db.pool().await;
        let poison = trigger("finished", "INSERT", "NEW.payload = '\"poison\"'");
        let raise = format!("RAISE 'this row is poison' USING ERRCODE = '{sqlstate}'");
        let poison = poison.replace("RAISE 'this row is poison'", &raise);
        sqlx::raw_sql(AssertSqlSafe(poison)).execute(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ends", AT_ONCE)];
        settings.queues[0].concurrency = 200;
        settings.complete.flush_interval = Duration::from_millis(100);
        let hundred = "INSERT INTO legwork.job (kind, payload)
            SELECT 'ends', CASE i WHEN 37 THEN '\"poison\"' ELSE '0' END::jsonb
            FROM generate_series(1, 100) i";
        sqlx::query(hundred).execute(&pool).await.unwrap();
        let daemon = daemon(settings).with_handler(name("ends"), deciding(|_| completed()));
        let runner = Runner::start(daemon);
        support::eventually("all others are in history", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.finished").await == 99
        })
        .await;
        sqlx::query("DROP TRIGGER refuse ON legwork.finished").execute(&pool).await.unwrap();
        let next = insert(&pool, "ends").await;
        assert_eq!(history(&pool, next).await.outcome, "completed");
        runner.end().await;
        pool.close().await;
    });
}

/// Refuses to give two jobs: the first as a row that is to blame, the second as what may be the moment.
const TWO_ARE_NOT_GIVEN: &str = "CREATE SEQUENCE public.met;
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        IF NEW.payload = '9' THEN RAISE 'this row is poison'; END IF;
        PERFORM nextval('public.met');
        RAISE insufficient_privilege;
    END $f$;
    CREATE TRIGGER refuse BEFORE UPDATE ON legwork.job FOR EACH ROW
    WHEN (OLD.holder IS NULL AND NEW.holder IS NOT NULL AND NEW.payload IN ('9', '16'))
    EXECUTE FUNCTION public.refuse()";

#[test]
fn what_a_claim_in_parts_took_before_it_failed_is_given_back() {
    support::run(async |db| {
        let pool = db.pool().await;
        sqlx::raw_sql(TWO_ARE_NOT_GIVEN).execute(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ends", AT_ONCE)];
        settings.queues[0].concurrency = 20;
        let rows = "INSERT INTO legwork.job (kind, payload)
            SELECT 'ends', to_jsonb(n) FROM generate_series(1, 16) n";
        sqlx::query(rows).execute(&pool).await.unwrap();
        let daemon = daemon(settings).with_handler(name("ends"), deciding(|_| completed()));
        let runner = Runner::start(daemon);
        support::eventually("the second was met", async || {
            value::<bool>(&pool, "SELECT is_called FROM public.met").await
        })
        .await;
        sqlx::query("DROP TRIGGER refuse ON legwork.job").execute(&pool).await.unwrap();
        support::eventually("all but the first have run", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.finished").await >= 15
        })
        .await;
        runner.end().await;
        pool.close().await;
    });
}

#[test]
fn a_result_that_postgres_cannot_store_costs_the_result_and_not_the_job() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut settings = settings(&db);
        settings.kinds = vec![kind("ends", AT_ONCE)];
        // JSON, but not within what numeric holds.
        let tiny = || Outcome::Complete { result: JobResult::new("1e-20000".into()) };
        let daemon = daemon(settings).with_handler(name("ends"), deciding(move |_| tiny()));
        let runner = Runner::start(daemon);
        let id = insert(&pool, "ends").await;
        let history = history(&pool, id).await;
        assert_eq!((&*history.outcome, history.result, history.attempt), ("completed", None, 1));
        runner.stop().await;
        pool.close().await;
    });
}

/// One request to the admin port.
async fn metrics(address: std::net::SocketAddr) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Names of every series but the runtime's own, whose number changes with its threads.
fn series_about_jobs(metrics: &str) -> usize {
    metrics.lines().filter(|line| line.starts_with("legwork_") && line.contains("kind=")).count()
}

#[test]
fn ten_thousand_kinds_that_nobody_serves_add_no_series_to_the_metrics() {
    support::run(async |db| {
        let pool = db.pool().await;
        let configuration = format!(
            "[database]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n[[kind]]\nname = \"noop\"\nhandler = \"noop\"\n",
            db.url()
        );
        let mut daemon = Daemon::start(&configuration).await;
        let address = daemon.admin().await;
        daemon.logged("daemon.started").await;
        let first = insert(&pool, "noop").await;
        history(&pool, first).await;
        let before = metrics(address).await;
        assert!(before.contains("kind=\"noop\""), "{before}");
        sqlx::query(
            "INSERT INTO legwork.job (kind) SELECT 'kind-' || i FROM generate_series(1, 10000) i",
        )
        .execute(&pool)
        .await
        .unwrap();
        let last = insert(&pool, "noop").await;
        history(&pool, last).await;
        let after = metrics(address).await;
        assert_eq!(series_about_jobs(&after), series_about_jobs(&before));
        assert!(!after.contains("kind-1"));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0));
        pool.close().await;
    });
}

#[test]
fn kinds_beyond_the_configured_number_share_one_label() {
    support::run(async |db| {
        let mut settings = settings(&db);
        settings.metrics.max_kinds = 10;
        let metrics = legwork::telemetry::metrics::Metrics::new(&settings.metrics);
        settings.kinds = (0..10_000)
            .map(|i| KindSettings::new(name(&format!("kind-{i}")), HandlerSettings::Noop))
            .collect();
        for kind in &settings.kinds {
            metrics.job(&settings.queues[0].name, &kind.name).panicked();
        }
        let text = metrics.render();
        let panics = text.lines().filter(|l| l.contains("panic") && l.contains("kind=\""));
        assert_eq!(panics.count(), 11, "{text}");
        assert!(text.contains("kind=\"other\"") && text.contains("kind=\"kind-9\""), "{text}");
    });
}
