//! What a function says, and what keeps its job from being completed: whose word it is, and told to whom.

use std::time::Duration;

use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{Executor as _, PgPool};

use super::{calls, database, effects, enqueue, function, nothing_works, with};
use crate::pipeline::{Runner, daemon, history, value};
use crate::process::{Configuration, SLACK};
use crate::support::{self, Daemon};

/// A kind in the real binary's file, which tries again at once.
fn sql(name: &str, more: &str) -> String {
    format!(
        "[[kind]]\nname = '{name}'\nhandler = 'sql'\nfunction = 'app.{name}'\nbackoff.base = '50ms'\n{more}"
    )
}

/// The text of the first failed attempt.
async fn failure(pool: &PgPool) -> String {
    let mut found = None;
    support::eventually("an attempt has failed", async || {
        let text = sqlx::query_scalar("SELECT error FROM legwork.failed_attempt ORDER BY attempt");
        found = text.fetch_optional(pool).await.expect("failures can be read");
        found.is_some()
    })
    .await;
    found.expect("it was found")
}

#[rstest]
#[case::a_connection_of_its_own("08006")]
#[case::the_servers_own_class("XX000")]
fn an_error_of_any_class_that_a_function_raises_is_told_in_full(#[case] code: &'static str) {
    support::run(async move |db| {
        let body = format!(
            "PERFORM app.work(payload);
            RAISE EXCEPTION 'gone' USING ERRCODE = '{code}', DETAIL = 'the detail', HINT = 'the hint';"
        );
        let pool = database(&db, &function("fails", &body)).await;
        let mut kind = calls("fails", "fails", None);
        kind.policy.max_attempts = 1;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "fails", "{}").await;
        let end = history(&pool, id).await;
        let told = format!(
            "1 failed: {code}: gone\nDETAIL: the detail\nHINT: the hint\nCONTEXT: PL/pgSQL function"
        );
        assert!(end.failures[0].starts_with(&told), "{end:?}");
        assert_eq!(effects(&pool, id).await, 0);
        runner.stop().await;
        nothing_works(&pool).await;
        pool.close().await;
    });
}

#[test]
fn a_session_that_the_server_ends_is_lost_by_its_sqlstate() {
    support::run(async |db| {
        let body = "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL;";
        let pool = database(&db, &function("ends", body)).await;
        let mut kind = calls("ends", "ends", None);
        kind.policy.max_attempts = 1;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "ends", "{}").await;
        let end = history(&pool, id).await;
        assert!(end.failures[0].starts_with("1 failed: 57P01: the connection was lost"), "{end:?}");
        runner.stop().await;
        pool.close().await;
    });
}

#[rstest]
#[case::the_function(
    "DELETE FROM legwork.job WHERE id = current_setting('legwork.job_id')::bigint;",
    "CREATE OR REPLACE FUNCTION app.keeps(payload jsonb) RETURNS jsonb LANGUAGE sql
        AS $$ SELECT app.work(payload) $$"
)]
#[case::a_trigger("PERFORM app.work(payload);", "DROP TRIGGER keeps ON legwork.job")]
fn a_job_that_is_kept_from_being_completed_has_failed_and_is_tried_again(
    #[case] does: &'static str,
    #[case] mended: &'static str,
) {
    support::run(async move |db| {
        let trigger = "CREATE FUNCTION app.stays() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RETURN NULL; END $$;
            CREATE TRIGGER keeps BEFORE DELETE ON legwork.job FOR EACH ROW
                WHEN (old.kind = 'keeps' AND old.payload = '{\"kept\": true}')
                EXECUTE FUNCTION app.stays();";
        let body = format!("{does} RETURN NULL;");
        let pool = database(&db, &(function("keeps", &body) + trigger)).await;
        let daemon = daemon(with(&db, vec![calls("keeps", "keeps", None)]));
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let payload = if mended.starts_with("DROP") { r#"{"kept": true}"# } else { "{}" };
        let id = enqueue(&pool, "keeps", payload).await;
        let told = failure(&pool).await;
        assert!(told.contains("keeps its job from being completed"), "{told}");
        pool.execute(mended).await.expect("it is mended");
        assert_eq!(history(&pool, id).await.outcome, "completed");
        let text = metrics.render();
        let late = |line: &str| line.starts_with("legwork_late_results_total{op=\"sql\"");
        let late: Vec<_> = text.lines().filter(|line| late(line)).collect();
        assert!(late.iter().all(|line| line.ends_with(" 0")), "{late:?}");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_row_that_a_functions_own_table_has_no_partition_for_fails_the_attempt_after_one_call() {
    support::run(async |db| {
        let more = "CREATE SEQUENCE app.calls;
            CREATE TABLE app.finished (day date) PARTITION BY RANGE (day);"
            .to_owned()
            + &function(
                "inserts",
                "PERFORM nextval('app.calls'); INSERT INTO app.finished VALUES (now()); RETURN NULL;",
            );
        let pool = database(&db, &more).await;
        let mut kind = calls("inserts", "inserts", None);
        kind.policy.max_attempts = 1;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "inserts", "{}").await;
        let end = history(&pool, id).await;
        assert!(end.failures[0].starts_with("1 failed: 23514: no partition"), "{end:?}");
        assert_eq!(value::<i64>(&pool, "SELECT last_value FROM app.calls").await, 1);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_function_may_call_its_temporary_things_as_it_likes() {
    support::run(async |db| {
        let body = "CREATE TEMP TABLE text (a int); CREATE TEMP TABLE jsonb (a int);
            CREATE TEMP TABLE date (a int); RETURN '1'::pg_catalog.jsonb;";
        let pool = database(&db, &function("makes", body)).await;
        let mut kind = calls("makes", "makes", None);
        kind.policy.max_attempts = 1;
        let runner = Runner::start(daemon(with(&db, vec![kind])));
        let id = enqueue(&pool, "makes", "{}").await;
        let end = history(&pool, id).await;
        assert_eq!(
            (end.outcome.as_str(), end.result.as_deref()),
            ("completed", Some("1")),
            "{end:?}"
        );
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn what_a_function_says_beside_its_answer_is_no_line_of_the_daemons() {
    support::run(async |db| {
        let body =
            "RAISE NOTICE 'noticed %', payload; RAISE WARNING 'warned %', payload; RETURN NULL;";
        let pool = database(&db, &function("talks", body)).await;
        for (filter, lines) in [("trace", 0), ("info,sqlx::postgres::notice=info", 2)] {
            let kinds = [sql("talks", "")];
            let text = Configuration::of(&db.url(), &kinds).text();
            let filter = format!("[log]\nfilter = '{filter}'\n");
            let mut daemon = Daemon::start(&text.replacen("[log]\n", &filter, 1)).await;
            daemon.logged("daemon.started").await;
            let id = enqueue(&pool, "talks", r#"{"a": "s3cret"}"#).await;
            history(&pool, id).await;
            daemon.signal(Signal::SIGTERM);
            assert!(daemon.exit(SLACK).await.success());
            assert_eq!(daemon.printed().matches("s3cret").count(), lines, "{}", daemon.printed());
        }
        pool.close().await;
    });
}

#[test]
fn a_function_is_told_of_before_its_first_job_exactly_if_its_jobs_would_fail() {
    support::run(async |db| {
        let more = "CREATE FUNCTION app.anything(a anyelement) RETURNS anyelement LANGUAGE plpgsql IMMUTABLE
                AS $$ BEGIN RETURN a; END $$;
            CREATE FUNCTION app.several(a jsonb) RETURNS SETOF jsonb LANGUAGE plpgsql
                AS $$ BEGIN RETURN NEXT a; RETURN NEXT a; END $$;
            CREATE FUNCTION app.twice(a jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT a $$;
            CREATE FUNCTION app.twice(a jsonb, b int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$ SELECT a $$;
            CREATE FUNCTION app.counts(a jsonb) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
            CREATE FUNCTION app.nobodys(a jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT a $$;";
        let pool = database(&db, more).await;
        let nobody = "max_attempts = 1\nrole = 'legwork test \"nobody'\n";
        let kinds =
            [("anything", ""), ("several", ""), ("twice", ""), ("counts", ""), ("nobodys", nobody)];
        let kinds = kinds.map(|(name, more)| sql(name, more));
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        support::eventually("the last of them is told of", async || {
            daemon.count("function.failed") > 2
        })
        .await;
        let told = |line: serde_json::Value| {
            let said = line["error.message"].as_str().unwrap_or_default().to_owned();
            (line["event"] == "function.failed").then(|| format!("{} {said}", line["function"]))
        };
        let lines = || daemon.events().into_iter().filter_map(told).collect::<Vec<_>>();
        let missing = "role \"legwork test \"nobody\" does not exist";
        assert_eq!(
            lines(),
            [
                "\"app.twice\" 42725: function app.twice(jsonb) is not unique".to_owned(),
                "\"app.counts\" 42846: cannot cast type integer to jsonb".to_owned(),
                format!("\"app.nobodys\" 22023: {missing}"),
            ]
        );
        for kind in ["anything", "several"] {
            let id = enqueue(&pool, kind, "[7]").await;
            let end = history(&pool, id).await;
            assert_eq!((end.attempt, end.result.as_deref()), (1, Some("[7]")), "{end:?}");
        }
        // Each of its attempts says so too.
        let id = enqueue(&pool, "nobodys", "1").await;
        assert_eq!(history(&pool, id).await.outcome, "discarded");
        assert_eq!(lines().len(), 4);
        assert!(lines()[3].contains(missing), "{:?}", lines());
        drop(daemon);
        pool.close().await;
    });
}

/// An inlined function is resolved where its names are: by the path that an attempt has, as by the one that the look at the start has.
#[test]
fn a_function_that_names_what_is_in_the_path_of_its_database_is_no_obstacle() {
    support::run(async |db| {
        let more = "CREATE FUNCTION public.helps(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT payload';
            CREATE FUNCTION app.asks(payload jsonb) RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT helps(payload)';";
        let pool = database(&db, more).await;
        let kinds = [sql("asks", ""), sql("absent", "")];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "asks", "{}").await;
        assert_eq!(history(&pool, id).await.outcome, "completed");
        daemon.logged("function.failed").await;
        let told: Vec<_> =
            daemon.events().into_iter().filter(|it| it["event"] == "function.failed").collect();
        assert!(told.iter().all(|line| line["function"] == "app.absent"), "{told:?}");
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_commit_that_is_answered_after_the_deadline_leaves_no_failure_beside_its_job() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let proxy = support::Proxy::before(&db.url()).await;
        let mut gate = super::Gate::at(&db, "commit").await;
        let mut kind = calls("works", "work", None);
        kind.policy.timeout = Duration::from_secs(1);
        let mut settings = with(&db, vec![kind]);
        settings.database.url = Some(legwork::config::DatabaseUrl::new(proxy.url()));
        // Longer than the muted sessions take to find out.
        settings.daemon.lease_ttl = Duration::from_mins(1);
        settings.database.statement_timeout = Duration::from_secs(8);
        let daemon = daemon(settings);
        let metrics = daemon.metrics();
        let runner = Runner::start(daemon);
        let id = enqueue(&pool, "works", "{}").await;
        gate.reached().await;
        proxy.mute();
        gate.open().await;
        assert_eq!(history(&pool, id).await.outcome, "completed");
        support::eventually("the daemon knows how the attempt ended", async || {
            let text = metrics.render();
            text.lines()
                .any(|line| line.starts_with("legwork_jobs_finished_total") && line.ends_with(" 1"))
                || value::<i64>(&pool, "SELECT count(*) FROM legwork.failed_attempt").await > 0
        })
        .await;
        let end = history(&pool, id).await;
        assert_eq!((effects(&pool, id).await, end.failures), (1, Vec::new()));
        runner.end().await;
        pool.close().await;
    });
}
