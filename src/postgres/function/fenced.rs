//! The transaction of an attempt, from BEGIN to the answer to its COMMIT.

use super::{COMMIT_GRACE, Call, given_up};
use crate::{
    postgres::{DbError, settle, transaction},
    supervise::{WaitPoint, at},
};
use sqlx::{
    AssertSqlSafe, Executor as _, PgConnection, Postgres, Transaction,
    postgres::{PgDatabaseError, PgSeverity},
};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// What others never see half of.
const PROTECTS: &str =
    "an sql kind's effects are there exactly if its job is completed, by this attempt and no other";

/// How much later than the attempt's own deadline the server ends a statement: the net for a daemon that
/// is stopped or cut off. Before that the daemon has the process ended.
const SLACK: Duration = Duration::from_millis(500);

/// Longest result that is kept, in bytes: as much as a payload may have.
const RESULT_MAX_BYTES: i32 = 1024 * 1024;

/// How a transaction ended.
pub(super) enum End {
    /// All of it is there.
    Committed,
    /// The lease was gone, and nothing is kept.
    Late,
    /// The server said why nothing is kept, and the connection is outside of a transaction.
    Refused(sqlx::Error),
    /// The connection broke before COMMIT was sent, so nothing is kept.
    Lost(sqlx::Error),
    /// It was told to stop before COMMIT was sent, so nothing is kept.
    Stopped,
    /// COMMIT was sent, and no answer says what came of it.
    InDoubt(DbError),
}

/// Runs it. Once COMMIT is sent its answer is waited for, for as long as `limit`, and for a while also
/// where the attempt is to stop.
pub(super) async fn run(
    connection: &mut PgConnection,
    call: &Call<'_>,
    days: Option<i32>,
    (stop, limit): (&CancellationToken, Duration),
) -> End {
    let up_to_commit = up_to_commit(connection, call, days);
    let transaction = match stop.run_until_cancelled(up_to_commit).await {
        Some(Ok(Some(transaction))) => transaction,
        Some(Ok(None)) => return End::Late,
        Some(Err(error)) if is_refusal(&error) => return End::Refused(error),
        Some(Err(error)) => return End::Lost(error),
        None => return End::Stopped,
    };
    let answered = async {
        tokio::select! {
            biased;
            answer = timeout(limit, transaction.commit()) => answer.map_err(|_| limit),
            () = given_up(stop, COMMIT_GRACE) => Err(COMMIT_GRACE),
        }
    };
    match at(WaitPoint::SqlCommit, answered).await {
        Ok(Ok(())) => End::Committed,
        Ok(Err(error)) if says_that_nothing_is_kept(&error) => End::Refused(error),
        Ok(Err(error)) => End::InDoubt(DbError::Statement(error)),
        Err(limit) => End::InDoubt(DbError::Deadline(limit)),
    }
}

/// Whether the server refused a statement and goes on. By its severity alone, since a function can raise
/// any SQLSTATE: that of a broken connection too, which was another one.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let said = error.try_downcast_ref::<PgDatabaseError>();
    said.is_some_and(|said| matches!(said.severity(), PgSeverity::Error))
}

/// Whether this answer to COMMIT says so. A session that the server ends may have committed before.
fn says_that_nothing_is_kept(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(said) = error else { return false };
    is_refusal(error)
        && said.code().is_some_and(|code| !code.starts_with("08") && !code.starts_with("XX"))
}

/// Everything but COMMIT. Nothing where the lease was gone; then, and after an error, nothing is kept.
async fn up_to_commit<'c>(
    connection: &'c mut PgConnection,
    call: &Call<'_>,
    days: Option<i32>,
) -> Result<Option<Transaction<'c, Postgres>>, sqlx::Error> {
    let mut transaction = transaction::around(connection, PROTECTS).await?;
    match completes(&mut transaction, call, days).await {
        Ok(true) => Ok(Some(transaction)),
        Ok(false) => transaction.rollback().await.map(|()| None),
        Err(error) => {
            // The first error says what was wrong; where this fails, the connection is gone.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

/// Calls the function, then the fence; `false` when that finds no such lease.
async fn completes(
    connection: &mut PgConnection,
    call: &Call<'_>,
    days: Option<i32>,
) -> Result<bool, sqlx::Error> {
    let (names, values): (Vec<_>, Vec<_>) = settings(call).into_iter().unzip();
    let settings = sqlx::query(include_str!("../sql/attempt_settings.sql"));
    settings.bind(names).bind(values).execute(&mut *connection).await?;
    let statement = include_str!("../sql/call_function.sql");
    let statement = statement.replace("{function}", &call.function.quoted());
    // A name can't be a parameter: `FunctionName` lets two identifiers through and no quote.
    let called = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(statement));
    let called = called.bind(call.payload).bind(RESULT_MAX_BYTES).persistent(false);
    let result = called.fetch_optional(&mut *connection).await?.flatten();
    connection.execute(sqlx::raw_sql(include_str!("../sql/before_fence.sql"))).await?;
    settle::complete(connection, call.lease, result, (days, call.began.elapsed())).await
}

/// What the transaction knows of the attempt; the role at last, since it may set nothing.
fn settings<'s>(call: &'s Call<'_>) -> Vec<(&'s str, String)> {
    let left = call.deadline.saturating_duration_since(Instant::now()) + SLACK;
    let limit = ("statement_timeout", format!("{}ms", left.as_millis().min(SERVER_MAX_MS)));
    let told = call.told.iter().map(|(name, value)| (*name, value.clone()));
    let role = call.role.map(|role| ("role", role.to_owned()));
    std::iter::once(limit).chain(told).chain(role).collect()
}

/// Longest `statement_timeout` that a server takes, in milliseconds.
const SERVER_MAX_MS: u128 = i32::MAX as u128;
