//! Whose rights a function has: those of its kind's role, until the fence.

use sqlx::Executor as _;

use super::{calls, database, effects, enqueue, function, with};
use crate::pipeline::{Runner, daemon, history, value};
use crate::process::Configuration;
use crate::support::{self, Daemon};

/// A role of the cluster that owns nothing; other tests may be making it.
const ROLE: &str = "DO $$ BEGIN CREATE ROLE legwork_test_jobs;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    GRANT USAGE ON SCHEMA app TO legwork_test_jobs;
    GRANT INSERT ON app.effect TO legwork_test_jobs;
    GRANT SELECT ON app.gate TO legwork_test_jobs;";

/// Writes down whose rights what was put off to the end has.
const PUT_OFF: &str = "CREATE TABLE app.put_off_as (who text);
    GRANT INSERT ON app.put_off_as TO legwork_test_jobs;
    CREATE FUNCTION app.tells() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO app.put_off_as VALUES (current_user); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER tells AFTER INSERT ON app.effect DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION app.tells();";

#[test]
fn a_function_has_its_role_to_its_end_and_the_fence_has_the_daemons() {
    support::run(async |db| {
        let pool = database(&db, &format!("{ROLE}{PUT_OFF}")).await;
        let kinds =
            vec![calls("works", "work", Some("legwork_test_jobs")), calls("own", "work", None)];
        let runner = Runner::start(daemon(with(&db, kinds)));
        let id = enqueue(&pool, "works", "{}").await;
        assert_eq!(history(&pool, id).await.attempt, 1);
        let who = "SELECT (SELECT string_agg(who, ',') FROM app.effect) || ' '
            || (SELECT string_agg(who, ',') FROM app.put_off_as)";
        assert_eq!(value::<String>(&pool, who).await, "legwork_test_jobs legwork_test_jobs");
        let own = enqueue(&pool, "own", "{}").await;
        history(&pool, own).await;
        let who = "SELECT count(*) FROM app.effect WHERE who <> 'legwork_test_jobs'";
        assert_eq!(value::<i64>(&pool, who).await, 1);
        runner.stop().await;
        pool.execute("DROP OWNED BY legwork_test_jobs").await.unwrap();
        pool.close().await;
    });
}

#[test]
fn a_role_that_lacks_a_right_fails_its_attempts_and_says_which() {
    support::run(async |db| {
        let forbidden = function("reads", "PERFORM FROM app.late; RETURN app.work(payload);");
        let pool = database(&db, &format!("{ROLE}{forbidden}")).await;
        let kinds = vec![
            calls("reads", "reads", Some("legwork_test_jobs")),
            calls("nobody", "work", Some("legwork_test_nobody_at_all")),
        ];
        let mut settings = with(&db, kinds);
        settings.kinds.iter_mut().for_each(|kind| kind.policy.max_attempts = 1);
        let runner = Runner::start(daemon(settings));
        for (kind, says) in [
            ("reads", "1 failed: 42501: permission denied for table late"),
            ("nobody", "role \"legwork_test_nobody_at_all\" does not exist"),
        ] {
            let id = enqueue(&pool, kind, "{}").await;
            let end = history(&pool, id).await;
            assert_eq!(end.reason.as_deref(), Some("attempts_exhausted"));
            assert!(end.failures[0].contains(says), "{end:?}");
            assert_eq!(effects(&pool, id).await, 0);
        }
        runner.stop().await;
        pool.execute("DROP OWNED BY legwork_test_jobs").await.unwrap();
        pool.close().await;
    });
}

/// What names only what is there stands in the line too: whoever is on call has to grant it.
#[test]
fn a_right_that_is_missing_is_named_in_the_line() {
    support::run(async |db| {
        let forbidden = function("reads", "PERFORM FROM app.late; RETURN app.work(payload);");
        let pool = database(&db, &format!("{ROLE}{forbidden}")).await;
        let kind = "[[kind]]\nname = 'reads'\nhandler = 'sql'\nfunction = 'app.reads'\nrole = 'legwork_test_jobs'\n";
        let daemon = Daemon::start(&Configuration::of(&db.url(), &[kind.to_owned()]).text()).await;
        enqueue(&pool, "reads", "{}").await;
        let told = daemon.logged("function.failed").await;
        let said = told["error.message"].as_str().expect("words");
        assert!(said.starts_with("42501: permission denied for table late"), "{told}");
        daemon.stop().await;
        pool.execute("DROP OWNED BY legwork_test_jobs").await.unwrap();
        pool.close().await;
    });
}
