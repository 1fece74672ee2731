//! Jobs in transactions of every sort, and under triggers of the user.

use legwork::embedded::Postgres;
use legwork::postgres::migrate;
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection, Executor};

use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, drained, history, kind, name, settings, value,
};
use crate::process::{Configuration, SLACK, becomes, enqueue};
use crate::support::{self, Daemon, server};

/// A server that allows two-phase commits, which Postgres by default doesn't.
async fn two_phased() -> Postgres {
    let mut options = server::private_options();
    options.settings.push(("max_prepared_transactions".to_owned(), "4".to_owned()));
    let started = tokio::task::spawn_blocking(move || Postgres::start(&options));
    let postgres = started.await.expect("it doesn't panic").expect("a private Postgres starts");
    migrate::up(&postgres.url("postgres")).await.expect("the schema can be made");
    postgres
}

#[test]
fn a_job_of_a_prepared_transaction_runs_once_that_is_committed_and_never_if_rolled_back() {
    support::run(async |_db| {
        let postgres = two_phased().await;
        let url = postgres.url("postgres");
        let mut session = PgConnection::connect(&url).await.unwrap();
        for (kind, end) in [("noop", "kept"), ("never", "dropped")] {
            let prepare = format!(
                "BEGIN; INSERT INTO legwork.job (kind) VALUES ('{kind}'); PREPARE TRANSACTION '{end}'"
            );
            session.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(prepare))).await.unwrap();
        }
        let kinds =
            ["noop", "never"].map(|n| format!("[[kind]]\nname = '{n}'\nhandler = 'noop'\n"));
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        let pool = PgPool::connect(&url).await.unwrap();
        let other = enqueue(&pool, "noop").await;
        becomes(&pool, other, "completed").await;
        let seen = "SELECT count(*) FROM legwork.jobs";
        assert_eq!(value::<i64>(&pool, seen).await, 1, "what isn't committed isn't there");

        session.execute("COMMIT PREPARED 'kept'").await.unwrap();
        session.execute("ROLLBACK PREPARED 'dropped'").await.unwrap();
        support::eventually("the kept job has run", async || {
            let done = "SELECT count(*) FROM legwork.jobs WHERE state = 'completed'";
            value::<i64>(&pool, done).await == 2
        })
        .await;
        assert_eq!(value::<i64>(&pool, "SELECT count(*) FROM legwork.jobs").await, 2);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        session.close().await.unwrap();
        pool.close().await;
        tokio::task::spawn_blocking(move || postgres.stop()).await.unwrap().unwrap();
    });
}

/// An audit of every change, a kind that is renamed on its way in, and a row that a trigger keeps from
/// ever being claimed.
const TRIGGERS: &str = "
    CREATE TABLE public.audit (at timestamptz DEFAULT clock_timestamp(), what text, id bigint);
    CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        INSERT INTO public.audit (what, id) VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL;
    END $f$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON legwork.job
        FOR EACH ROW EXECUTE FUNCTION public.audit();
    CREATE FUNCTION public.rename() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        NEW.kind := 'works'; RETURN NEW;
    END $f$;
    CREATE TRIGGER rename BEFORE INSERT ON legwork.job
        FOR EACH ROW WHEN (NEW.kind = 'old') EXECUTE FUNCTION public.rename();
    CREATE FUNCTION public.keep() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
        RETURN NULL;
    END $f$;
    CREATE TRIGGER keep BEFORE UPDATE ON legwork.job
        FOR EACH ROW WHEN (OLD.payload = '\"kept\"') EXECUTE FUNCTION public.keep()";

#[test]
fn triggers_of_the_user_see_every_change_and_hold_up_nobody() {
    support::run(async |db| {
        let pool = db.pool().await;
        pool.execute(sqlx::raw_sql(TRIGGERS)).await.unwrap();
        let jobs = "INSERT INTO legwork.job (kind, payload)
            SELECT CASE i % 2 WHEN 0 THEN 'old' ELSE 'works' END,
                CASE i WHEN 37 THEN '\"kept\"' ELSE '0' END::jsonb
            FROM generate_series(1, 100) i RETURNING id";
        let ids: Vec<i64> = sqlx::query_scalar(jobs).fetch_all(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("works", AT_ONCE)];
        let works = deciding(|_| completed());
        let runner = Runner::start(daemon(settings).with_handler(name("works"), works));
        for id in ids.iter().filter(|id| **id != ids[36]) {
            assert_eq!(history(&pool, *id).await.outcome, "completed");
        }
        let seen = "SELECT string_agg(what, ' ' ORDER BY at) FROM public.audit GROUP BY id
            ORDER BY id LIMIT 1";
        assert_eq!(value::<String>(&pool, seen).await, "INSERT UPDATE DELETE");
        pool.execute("DROP TRIGGER keep ON legwork.job").await.unwrap();
        drained(&pool).await;
        runner.stop().await;
        pool.close().await;
    });
}
