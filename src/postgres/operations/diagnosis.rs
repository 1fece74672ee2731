//! What the server shows of Legwork for a report: its sessions, tables, settings, and the plans that it would make.
//!
//! Only looked at, in a transaction that can't write and waits for nothing long (`Sessions::look`). What others run
//! isn't shown, since there may be payloads in it.

use super::{Connection, OperationError, traced::traced};
use crate::postgres::{connect, link};
use sqlx::{AssertSqlSafe, Row as _};
use std::fmt::Write as _;

/// Most sessions that are shown.
const SESSIONS_SHOWN: i64 = 200;
/// Most tables that are shown: the live one, and those of the days that are kept.
const TABLES_SHOWN: i64 = 200;
/// Most indexes.
const INDEXES_SHOWN: i64 = 500;

/// The sessions of this database that are daemons', wait for a lock, hold one, or have long been in a transaction.
pub async fn server_sessions(connection: &mut Connection) -> Result<String, OperationError> {
    let shown = sqlx::query_scalar(include_str!("../sql/server_sessions.sql"));
    let shown = shown.persistent(false).bind(SESSIONS_SHOWN).bind(connect::names_of_daemons());
    traced("SELECT pg_stat_activity", shown.fetch_one(connection))
        .await
        .map_err(OperationError::LookIntoServer)
}

/// The sizes of tables and indexes, and what is dead in them.
pub async fn server_tables(connection: &mut Connection) -> Result<String, OperationError> {
    let shown = sqlx::query_scalar(include_str!("../sql/server_tables.sql"));
    let shown = shown.persistent(false).bind(TABLES_SHOWN).bind(INDEXES_SHOWN);
    let shown = traced("SELECT pg_stat_user_tables", shown.fetch_one(connection)).await;
    shown.map_err(OperationError::LookIntoServer)
}

/// The server's version, and its settings that matter.
pub async fn server_settings(
    connection: &mut Connection,
) -> Result<(String, String), OperationError> {
    let shown = sqlx::query_as(include_str!("../sql/server_settings.sql"));
    let shown = shown.persistent(false).fetch_one(connection);
    traced("SELECT pg_settings", shown).await.map_err(OperationError::LookIntoServer)
}

/// A statement that each job passes or that looks after all of them, as its session plans it.
struct Hot {
    name: &'static str,
    session: &'static str,
    prepare: &'static str,
    explain: &'static str,
}

/// The statement of a file, prepared on a session with the settings of another, and explained for any arguments.
macro_rules! hot {
    ($name:literal, $session:literal, $arguments:literal) => {
        Hot {
            name: $name,
            session: include_str!(concat!("../sql/", $session, ".sql")),
            prepare: concat!(
                "PREPARE legwork_explained AS\n",
                include_str!(concat!("../sql/", $name, ".sql"))
            ),
            explain: concat!("EXPLAIN EXECUTE legwork_explained (", $arguments, ")"),
        }
    };
}

const HOT: [Hot; 9] = [
    hot!("claim", "claim_session", "NULL, NULL, NULL, NULL, NULL, NULL, NULL"),
    hot!("look", "claim_session", "NULL, NULL, NULL, NULL, NULL"),
    hot!(
        "finish_alike",
        "completer_session",
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    ),
    hot!(
        "finish",
        "completer_session",
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    ),
    hot!("put_back", "completer_session", "NULL, NULL, NULL, NULL, NULL, NULL"),
    hot!("promote", "indexed_session", "NULL"),
    hot!("expired", "indexed_session", "NULL"),
    hot!("rescue", "indexed_session", "NULL"),
    hot!("daemon_renew", "session", "NULL, NULL, NULL, NULL, NULL, NULL"),
];

/// Brings the planner of a session for requests back to where every session begins.
fn as_at_first() -> String {
    let settings = include_str!("../sql/indexed_session.sql").lines();
    let names = settings.filter_map(|line| line.strip_prefix("SET ")?.split_once(" = "));
    let planner = names.filter(|(name, _)| *name != "lock_timeout");
    planner.fold(String::new(), |all, (name, _)| all + "SET LOCAL " + name + " TO DEFAULT;\n")
}

/// The plans of statements that are sent all the time, as they are made for any arguments: nothing is run. One that
/// can't be made says why in its place.
pub async fn server_plans(connection: &mut Connection) -> Result<String, OperationError> {
    let mut text = String::new();
    for hot in &HOT {
        let plan = explained(connection, hot).await;
        // A session that is broken is no place for the rest.
        let plan = match plan {
            Err(sqlx::Error::Database(error)) => format!("couldn't be planned: {error}"),
            plan => plan.map_err(OperationError::LookIntoServer)?,
        };
        writeln!(text, "-- {}\n{plan}\n", hot.name).ok();
    }
    Ok(text)
}

/// By `PREPARE` and not by `EXPLAIN (GENERIC_PLAN)`, which Postgres has had since 16 only. What is prepared outlives a
/// transaction, and behind a pooler a session of the server others', so it is taken away whatever came.
async fn explained(connection: &mut Connection, hot: &Hot) -> Result<String, sqlx::Error> {
    let settings = format!(
        "SAVEPOINT legwork_explained;\n{}{}SET LOCAL plan_cache_mode = force_generic_plan;",
        as_at_first(),
        link::local(&[hot.session])
    );
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *connection).await?;
    let prepared = sqlx::raw_sql(hot.prepare).execute(&mut *connection).await;
    let plan = match &prepared {
        Ok(_) => sqlx::raw_sql(hot.explain).fetch_all(&mut *connection).await,
        Err(_) => Ok(Vec::new()),
    };
    sqlx::raw_sql("ROLLBACK TO SAVEPOINT legwork_explained").execute(&mut *connection).await?;
    prepared?;
    sqlx::raw_sql("DEALLOCATE legwork_explained").execute(&mut *connection).await?;
    let lines: Result<Vec<String>, _> = plan?.iter().map(|row| row.try_get(0)).collect();
    Ok(lines?.join("\n"))
}
