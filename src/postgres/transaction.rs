//! Several statements as one transaction, together with the invariant that makes them one.
//!
//! Nearly everything in this room is a single statement, which Postgres makes whole by itself. What
//! needs more says here what would be broken for others if half of it were seen or kept: a
//! transaction without a reason can't be written down, and `tests/tidy.rs` finds one that begins
//! elsewhere. Whether the reasons are true is held by `tests/it/transactions.rs`, which panics inside
//! each.
//!
//! A `Whole` takes statements that are known beforehand, and so it runs nobody's code while the
//! transaction is open. Who gives it a connection owns that connection and must not put it back into use when
//! [`Whole::run`] was dropped or has panicked: closing it is what rolls back.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Transaction};

/// Statements that take effect together or not at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// What is true for everybody else at every moment because these are one transaction.
    pub(super) protects: &'static str,
    /// The statements.
    pub(super) statements: &'static str,
}

impl Whole {
    /// Runs them. After an error nothing has happened and the connection is outside of a transaction,
    /// or is broken.
    pub(super) async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        tracing::debug!(protects = self.protects, "a transaction begins");
        let mut transaction = connection.begin().await?;
        match transaction.execute(self.statements).await {
            Ok(_) => transaction.commit().await,
            Err(error) => {
                // The first error says what was wrong; where this fails, the connection is gone.
                transaction.rollback().await.ok();
                Err(error)
            }
        }
    }

    /// The same for psql.
    pub(super) fn script(&self) -> String {
        script(self.protects, self.statements)
    }
}

/// Begins one around a function of the operator's: the one transaction in which code runs that isn't known
/// beforehand (ADR 0014). `protects` is as [`Whole::protects`], and so is the caller's duty with the
/// connection.
pub(super) async fn around<'c>(
    connection: &'c mut PgConnection,
    protects: &'static str,
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    tracing::debug!(protects, "a transaction begins");
    connection.begin().await
}

/// Begins the transaction that a statement gets where it goes through a pooler, with the settings that a
/// session would have. What it protects is that both reach one session of the server, and that nothing is
/// left there for others. Isolation is said at once: a default that is set comes too late for it.
pub(super) async fn begin_with(
    connection: &mut PgConnection,
    settings: &str,
) -> Result<(), sqlx::Error> {
    let statements = format!("BEGIN ISOLATION LEVEL READ COMMITTED;\n{settings}");
    let begun = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *connection).await.map(drop);
    match begun {
        Ok(()) => Ok(()),
        Err(error) => end(connection, Err(error)).await,
    }
}

/// Ends it: as its statement did.
pub(super) async fn end<T>(
    connection: &mut PgConnection,
    done: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let ended = end_as(connection, done.is_ok()).await;
    // The first error says what was wrong; where the end fails after it, the connection is gone.
    let done = done?;
    ended.map(|()| done)
}

/// Ends it, well or not.
pub(super) async fn end_as(connection: &mut PgConnection, well: bool) -> Result<(), sqlx::Error> {
    let end = if well { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(connection).await.map(drop)
}

/// Statements as one transaction for psql, with the reason above.
pub(super) fn script(protects: &str, statements: &str) -> String {
    format!("-- One transaction: {protects}\nBEGIN;\n\n{statements}\nCOMMIT;\n")
}
