//! What becomes of a job by what its function does.

use std::time::Duration;

use legwork::config::Retentions;
use legwork::job::Retention;
use rstest::rstest;
use sqlx::Executor as _;

use super::{calls, database, effects, enqueue, function, nothing_works, with};
use crate::pipeline::{Runner, daemon, drained, history, value};
use crate::support::{self, TestDb};

#[test]
fn a_functions_effect_and_its_jobs_completion_are_there_together() {
    support::run(async |db| {
        // The known time that history has to tell at least; nothing waits for it.
        let sleeps = function("sleeps", "PERFORM pg_sleep(0.05); RETURN app.work(payload);");
        let pool = database(&db, &sleeps).await;
        let runner = Runner::start(daemon(with(&db, vec![calls("works", "sleeps", None)])));
        let payload = r#"{"a": [1, "ä\\\"'; --"], "n": 1e400, "deep": {"x": null}}"#;
        let id = enqueue(&pool, "works", payload).await;
        let end = history(&pool, id).await;
        assert_eq!((end.outcome.as_str(), end.attempt, end.failures.len()), ("completed", 1, 0));
        let same =
            "SELECT (SELECT count(*) = 1 AND bool_and(e.payload = f.payload) FROM app.effect e)
            AND f.result = jsonb_build_object('took', f.payload) AND e.xmin = f.xmin
            FROM legwork.finished f JOIN app.effect e ON e.job = f.id";
        assert!(value::<bool>(&pool, same).await, "one transaction wrote both, payload as it was");
        let took = "SELECT duration_ms FROM legwork.finished";
        assert!(value::<i32>(&pool, took).await >= 50, "what it took stands there");
        runner.stop().await;
        nothing_works(&pool).await;
        pool.close().await;
    });
}

#[test]
fn a_function_that_fails_leaves_no_effect_and_is_tried_again() {
    support::run(async |db| {
        let body = "PERFORM app.work(payload);
            IF current_setting('legwork.attempt') = '1' THEN
                RAISE EXCEPTION 'not yet' USING ERRCODE = 'ZZ123', DETAIL = 'the detail', HINT = 'the hint';
            END IF; RETURN NULL;";
        let pool = database(&db, &function("fails", body)).await;
        let runner = Runner::start(daemon(with(&db, vec![calls("fails", "fails", None)])));
        let id = enqueue(&pool, "fails", "{}").await;
        let end = history(&pool, id).await;
        assert_eq!((end.outcome.as_str(), end.attempt, end.result), ("completed", 2, None));
        let [failure] = &end.failures[..] else { panic!("{:?}", end.failures) };
        for part in [
            "1 failed: ZZ123: not yet",
            "DETAIL: the detail",
            "HINT: the hint",
            "CONTEXT: PL/pgSQL",
        ] {
            assert!(failure.contains(part), "{failure}");
        }
        assert_eq!(effects(&pool, id).await, 1);
        runner.stop().await;
        pool.close().await;
    });
}

#[rstest]
#[case::permanent("LW064", "", "discarded", Some("permanent_error"), 0)]
#[case::bad_data("LW065", "", "discarded", Some("invalid_payload"), 0)]
#[case::later("LW075", "1ms", "completed", None, 1)]
fn a_function_decides_by_its_sqlstate(
    #[case] code: &'static str,
    #[case] detail: &'static str,
    #[case] outcome: &'static str,
    #[case] reason: Option<&'static str>,
    #[case] snoozes: i16,
) {
    support::run(async move |db| {
        let body = format!(
            "PERFORM app.work(payload);
            IF nextval('app.calls') = 1 THEN
                RAISE EXCEPTION 'no' USING ERRCODE = '{code}', DETAIL = '{detail}';
            END IF; RETURN NULL;"
        );
        let pool =
            database(&db, &format!("CREATE SEQUENCE app.calls; {}", function("says", &body))).await;
        let runner = Runner::start(daemon(with(&db, vec![calls("says", "says", None)])));
        let id = enqueue(&pool, "says", "{}").await;
        let end = history(&pool, id).await;
        assert_eq!((end.outcome.as_str(), end.reason.as_deref()), (outcome, reason));
        assert_eq!(end.snoozes, snoozes);
        assert_eq!(effects(&pool, id).await, i64::from(outcome == "completed"));
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_function_that_is_missing_is_told_of_and_its_job_is_done_once_it_is_there() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let runner = Runner::start(daemon(with(&db, vec![calls("later", "later", None)])));
        let id = enqueue(&pool, "later", "{}").await;
        support::eventually("an attempt has failed", async || {
            value::<i64>(&pool, "SELECT count(*) FROM legwork.failed_attempt").await > 0
        })
        .await;
        let body = function("later", "RETURN app.work(payload);");
        pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(body))).await.unwrap();
        let end = history(&pool, id).await;
        assert_eq!(end.outcome, "completed");
        assert!(
            end.failures[0].contains("42883: function app.later(jsonb) does not exist"),
            "{end:?}"
        );
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_result_that_is_too_big_is_left_out_and_a_retention_of_none_keeps_nothing() {
    support::run(async |db| {
        let big = function("big", "RETURN to_jsonb(repeat('x', 1048577));");
        let pool = database(&db, &big).await;
        let kinds = vec![calls("big", "big", None), calls("works", "work", None)];
        let runner = Runner::start(daemon(with(&db, kinds.clone())));
        let id = enqueue(&pool, "big", "{}").await;
        let end = history(&pool, id).await;
        assert_eq!((end.outcome.as_str(), end.result), ("completed", None));
        runner.stop().await;

        let mut settings = with(&db, kinds);
        settings.queues[0].retention =
            Retentions { completed: Retention::None, ..Retentions::default() };
        let runner = Runner::start(daemon(settings));
        let id = enqueue(&pool, "works", "{}").await;
        drained(&pool).await;
        assert_eq!(effects(&pool, id).await, 1);
        assert_eq!(value::<i64>(&pool, "SELECT count(*) FROM legwork.finished").await, 1);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_day_of_history_that_is_missing_is_made_and_the_effect_is_there_once() {
    support::run(async |db| {
        let pool = database(&db, "").await;
        let mut settings = with(&db, vec![calls("works", "work", None)]);
        // Farther ahead than maintenance makes.
        let year = Retention::For(Duration::from_hours(400 * 24));
        settings.queues[0].retention = Retentions { completed: year, ..Retentions::default() };
        let runner = Runner::start(daemon(settings));
        let id = enqueue(&pool, "works", "{}").await;
        let end = history(&pool, id).await;
        assert_eq!((end.outcome.as_str(), end.attempt, end.failures.len()), ("completed", 1, 0));
        assert_eq!(effects(&pool, id).await, 1);
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn what_a_function_sets_is_gone_with_its_attempt_and_its_jobs_follow_its_request() {
    support::run(async |db| {
        let body = "PERFORM set_config('app.left', 'behind', false), pg_advisory_lock(99);
            SET search_path = nowhere; SET enable_indexscan = off;
            INSERT INTO legwork.job (kind) VALUES ('follows');
            RETURN NULL;";
        let sees = "SET LOCAL search_path = pg_catalog;
            RETURN jsonb_build_object('left', coalesce(current_setting('app.left', true), 'nothing'),
                'locked', pg_try_advisory_lock(99));";
        let more = function("sets", body) + &function("sees", sees);
        let pool = database(&db, &more).await;
        let kinds = vec![calls("sets", "sets", None), calls("follows", "sees", None)];
        let mut settings = with(&db, kinds);
        settings.database.sql_connections = 1;
        let runner = Runner::start(daemon(settings));
        let insert =
            "INSERT INTO legwork.job (kind, metadata) VALUES ('sets', '{\"request_id\": \"r-7\"}')";
        pool.execute(insert).await.unwrap();
        drained(&pool).await;
        let result = "SELECT result::text || ' ' || (metadata ->> 'request_id')
            FROM legwork.finished WHERE kind = 'follows'";
        let result: String = value(&pool, result).await;
        assert_eq!(result, "{\"left\": \"nothing\", \"locked\": true} r-7");
        runner.stop().await;
        pool.close().await;
    });
}

/// The address for who logs in as this role.
fn logged_in_as(db: &TestDb, role: &str) -> String {
    let url = db.url();
    let (scheme, rest) = url.split_once("://").expect("an address");
    let (authority, rest) = rest.split_once('/').expect("a database");
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let query: Vec<_> = query.split('&').filter(|part| !part.starts_with("user=")).collect();
    format!("{scheme}://{role}:p@{host}/{path}?{}", query.join("&"))
}

#[rstest]
#[case::of_the_database("DATABASE \"{db}\"", "")]
#[case::of_the_role("ROLE \"{role}\"", "DATABASE \"{db}\"")]
#[case::of_the_role_in_the_database("ROLE \"{role}\" IN DATABASE \"{db}\"", "ROLE \"{role}\"")]
fn a_function_finds_the_settings_of_its_database_and_of_the_daemons_role(
    #[case] level: &'static str,
    #[case] outranked: &'static str,
) {
    support::run(async move |db| {
        // A role of its own: what is set for one holds in the whole cluster.
        let role = format!("{}_daemon", db.name());
        let sees = "RETURN jsonb_build_array(current_setting('timezone'), current_setting('datestyle'),
            current_setting('extra_float_digits'), current_setting('intervalstyle'), '2026-11-27'::date::text);";
        let pool = database(&db, &function("sees", sees)).await;
        let set = |level: &str, zone: &str, style: &str, digits: i32| {
            let level = level.replace("{db}", db.name()).replace("{role}", &role);
            format!(
                "ALTER {level} SET timezone = '{zone}'; ALTER {level} SET datestyle = '{style}';
                ALTER {level} SET extra_float_digits = {digits};
                ALTER {level} SET intervalstyle = 'iso_8601';"
            )
        };
        let mut more = format!("CREATE ROLE \"{role}\" SUPERUSER LOGIN PASSWORD 'p';");
        if !outranked.is_empty() {
            more += &set(outranked, "Asia/Tokyo", "SQL, MDY", 3);
        }
        more += &set(level, "Europe/Berlin", "German", -3);
        pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(more))).await.expect("settings are made");
        let mut settings = with(&db, vec![calls("sees", "sees", None)]);
        let url = legwork::config::DatabaseUrl::new(logged_in_as(&db, &role));
        settings.database.direct_url = settings.database.direct_url.map(|_| url.clone());
        settings.database.url = Some(url);
        let runner = Runner::start(daemon(settings));
        let id = enqueue(&pool, "sees", "{}").await;
        let end = history(&pool, id).await;
        let found = r#"["Europe/Berlin", "German, DMY", "-3", "iso_8601", "27.11.2026"]"#;
        assert_eq!(end.result.as_deref(), Some(found), "{end:?}");
        runner.stop().await;
        let gone = format!("DROP ROLE \"{role}\"");
        pool.execute(sqlx::AssertSqlSafe(gone)).await.expect("nothing depends on the role");
        pool.close().await;
    });
}
