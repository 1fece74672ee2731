//! Records of failed attempts where COPY isn't allowed: by one INSERT.
//!
//! COPY costs the server half of what an INSERT of many rows does, but a table with row-level security
//! refuses it. An operator may turn that on, for tenants say, and must not lose what failed for it.

use super::super::{DbError, Session};
use crate::completer::Failure;
use futures::FutureExt;
use sqlx::PgExecutor;

/// SQLSTATE of a COPY into a table with row-level security.
const NOT_SUPPORTED: &str = "0A000";

/// Whether an INSERT may be taken where this COPY was refused.
pub(super) fn instead_of_copy(error: &DbError) -> bool {
    error.sqlstate().as_deref() == Some(NOT_SUPPORTED)
}

/// Writes them, all or none.
pub(super) async fn write(session: &mut Session, rows: &[Failure]) -> Result<(), DbError> {
    let columns = Columns::of(rows);
    session
        .run("insert_failed_attempts", move |connection| insert(connection, columns).boxed())
        .await
}

/// What INSERT takes.
#[derive(Default)]
struct Columns {
    ids: Vec<i64>,
    tokens: Vec<i64>,
    holders: Vec<i64>,
    attempts: Vec<i16>,
    causes: Vec<&'static str>,
    errors: Vec<String>,
    took: Vec<Option<i32>>,
    days: Vec<i32>,
}

impl Columns {
    fn of(rows: &[Failure]) -> Self {
        let mut columns = Self::default();
        for Failure { settled, days } in rows {
            let Some(failure) = &settled.failure else { continue };
            columns.ids.push(settled.lease.job.0);
            columns.tokens.push(settled.lease.token);
            columns.holders.push(settled.lease.holder);
            columns.attempts.push(i16::try_from(settled.attempt).unwrap_or(i16::MAX));
            columns.causes.push(failure.cause.as_str());
            columns.errors.push(failure.error.as_str().to_owned());
            columns.took.push(settled.duration_ms());
            columns.days.push(*days);
        }
        columns
    }
}

async fn insert<'c>(connection: impl PgExecutor<'c>, columns: Columns) -> Result<(), sqlx::Error> {
    let insert = sqlx::query(include_str!("../sql/insert_failed_attempts.sql"))
        .bind(columns.ids)
        .bind(columns.tokens)
        .bind(columns.holders)
        .bind(columns.attempts)
        .bind(columns.causes)
        .bind(columns.errors)
        .bind(columns.took)
        .bind(columns.days);
    insert.execute(connection).await.map(drop)
}
