//! Kinds that call a function: its effects and the job's completion are one, or neither is there.
//!
//! The function writes down that it ran, and waits wherever a test wants it to: in its body, in what it
//! puts off to the end, in the fence, in the COMMIT. It waits for an advisory lock that the test holds,
//! so that a test knows from the server where an attempt stands.

mod answers;
mod cuts;
mod outcomes;
mod roles;
mod stops;

use std::time::Duration;

use legwork::config::{FunctionName, HandlerSettings, KindSettings, Settings, SqlSettings};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use crate::pipeline::{kind, settings};
use crate::support::{self, TestDb};

/// What the tests' functions need: what they did, where they are to wait, and the waiting.
const SCHEMA: &str = "
    CREATE SCHEMA app;
    CREATE TABLE app.effect (job bigint, who text, payload jsonb, attempt int);
    CREATE TABLE app.gate (step text);
    CREATE TABLE app.late (job bigint);
    CREATE FUNCTION app.stand(at text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM app.gate WHERE step = at) THEN
            PERFORM pg_advisory_xact_lock_shared(4711);
        END IF;
    END $$;
    CREATE FUNCTION app.work(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO app.effect VALUES (current_setting('legwork.job_id')::bigint, current_user, payload,
            current_setting('legwork.attempt')::int);
        PERFORM app.stand('function');
        RETURN jsonb_build_object('took', payload);
    END $$;
    CREATE FUNCTION app.stands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM app.stand(tg_argv[0]);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER put_off AFTER INSERT ON app.effect DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION app.stands('put off');
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON app.late DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION app.stands('commit');
    CREATE FUNCTION app.fenced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM app.effect WHERE job = old.id) THEN
            PERFORM app.stand('fence');
            SET CONSTRAINTS app.at_commit DEFERRED;
            INSERT INTO app.late VALUES (old.id);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER fenced AFTER DELETE ON legwork.job FOR EACH ROW EXECUTE FUNCTION app.fenced();";

/// A database in which [`SCHEMA`] is, with functions of the test's own.
async fn database(db: &TestDb, more: &str) -> PgPool {
    let pool = db.pool().await;
    pool.execute(sqlx::raw_sql(SCHEMA)).await.expect("the schema can be made");
    pool.execute(sqlx::raw_sql(AssertSqlSafe(more))).await.expect("the functions can be made");
    pool
}

/// A function in plpgsql with this body.
fn function(name: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION app.{name}(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
    )
}

/// Works like `app.work`, and the server doesn't look whether its client is still there: what ends it is
/// that the daemon has it ended.
fn deaf() -> String {
    let deaf = "PERFORM set_config(name, '0', true) FROM pg_settings
            WHERE name = 'client_connection_check_interval';
        RETURN app.work(payload);";
    function("deaf", deaf)
}

/// A kind that calls a function of schema `app`, and tries again at once.
fn calls(name: &str, function: &str, role: Option<&str>) -> KindSettings {
    let function = FunctionName::new(&format!("app.{function}")).expect("a function's name");
    let handler = HandlerSettings::Sql(SqlSettings { function, role: role.map(str::to_owned) });
    KindSettings { handler, ..kind(name, Duration::from_millis(50)) }
}

/// Settings with these kinds.
fn with(db: &TestDb, kinds: Vec<KindSettings>) -> Settings {
    let mut settings = settings(db);
    settings.kinds = kinds;
    settings
}

/// Inserts a job with a payload.
async fn enqueue(pool: &PgPool, kind: &str, payload: &str) -> i64 {
    let insert = "INSERT INTO legwork.job (kind, payload) VALUES ($1, $2::jsonb) RETURNING id";
    let insert = sqlx::query_scalar(insert).bind(kind).bind(payload);
    insert.fetch_one(pool).await.expect("a job is taken")
}

/// How often the function's effect of a job is there.
async fn effects(pool: &PgPool, id: i64) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM app.effect WHERE job = $1").bind(id);
    count.fetch_one(pool).await.expect("effects can be counted")
}

/// Holds up every function that comes to one step.
struct Gate(PgConnection);

impl Gate {
    async fn at(db: &TestDb, step: &str) -> Self {
        let mut session = db.connect().await;
        let close = sqlx::query("INSERT INTO app.gate VALUES ($1)").bind(step);
        close.execute(&mut session).await.expect("the gate closes");
        let hold = sqlx::query("SELECT pg_advisory_lock(4711)");
        hold.execute(&mut session).await.expect("nobody else has the lock");
        Self(session)
    }

    /// Waits until somebody stands before it, and gives the process of the server.
    async fn reached(&mut self) -> i32 {
        const WAITING: &str = "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database() LIMIT 1";
        let mut found = None;
        support::eventually("an attempt stands before the gate", async || {
            let look = sqlx::query_scalar::<_, i32>(WAITING).fetch_optional(&mut self.0);
            found = look.await.expect("locks can be read");
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }

    /// Lets everybody through, also who comes later.
    async fn open(mut self) {
        let open = "DELETE FROM app.gate; SELECT pg_advisory_unlock(4711)";
        sqlx::raw_sql(open).execute(&mut self.0).await.expect("the gate opens");
        self.0.close().await.expect("the session ends");
    }
}

/// How many sessions of attempts the server has.
async fn attempts_on_the_server(pool: &PgPool) -> i64 {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'legwork sql'",
    );
    count.fetch_one(pool).await.expect("sessions can be counted")
}

/// Waits until the server works for no attempt any more.
async fn nothing_works(pool: &PgPool) {
    support::eventually("the server works for no attempt", async || {
        attempts_on_the_server(pool).await == 0
    })
    .await;
}
