//! Takes a statement about many jobs apart where the database refuses some of them.
//!
//! Nothing that we write breaks a rule of ours, but an operator may add a trigger or a constraint to
//! `legwork.job`, and one row that meets it would then hold up every other for ever. So halves are
//! tried in turn, down to the row that is to blame: it is told of and left as it is. The completer does
//! the same with verdicts.

use super::{DbError, Session};
use crate::telemetry::events;
use futures::FutureExt;
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

/// What came of it.
#[derive(Default)]
pub(super) struct Parted {
    /// What the statements returned.
    pub(super) rows: Vec<PgRow>,
    /// How many jobs they changed.
    pub(super) changed: u64,
    /// Jobs that the database refuses, each with why.
    pub(super) refused: Vec<(i64, DbError)>,
}

impl Parted {
    /// What one statement did by itself.
    pub(super) fn of(rows: Vec<PgRow>) -> Self {
        Self { changed: rows.len() as u64, rows, refused: Vec::new() }
    }

    /// How many of so many are as they were: refused, or just then in somebody else's hands. The next
    /// look has to start behind them, or a page full of them would be all that is ever looked at.
    pub(super) fn left_of(&self, looked_at: usize) -> i64 {
        i64::try_from(looked_at.saturating_sub(self.rows.len())).unwrap_or(i64::MAX)
    }
}

/// Does `statement` to all of these jobs but those that the database refuses, and tells of those.
pub(super) async fn all_but_the_refused(
    session: &mut Session,
    operation: &'static str,
    jobs: Vec<i64>,
    statement: impl Fn(Vec<i64>) -> Query<'static, Postgres, PgArguments>,
) -> Result<Parted, DbError> {
    let parted = take_apart(session, operation, jobs, statement).await?;
    for (job, error) in &parted.refused {
        say_refused(*job, error);
    }
    Ok(parted)
}

/// The same for one who knows another statement for the refused.
pub(super) async fn take_apart(
    session: &mut Session,
    operation: &'static str,
    jobs: Vec<i64>,
    statement: impl Fn(Vec<i64>) -> Query<'static, Postgres, PgArguments>,
) -> Result<Parted, DbError> {
    let mut parted = Parted::default();
    let mut parts = vec![jobs];
    while let Some(mut part) = parts.pop().filter(|part| !part.is_empty()) {
        let query = statement(part.clone());
        match session.run(operation, |connection| query.fetch_all(connection).boxed()).await {
            Ok(rows) => {
                parted.changed += rows.len() as u64;
                parted.rows.extend(rows);
            }
            Err(error) if !error.blames_the_rows() => return Err(error),
            Err(error) if part.len() == 1 => parted.refused.push((part[0], error)),
            Err(_) => {
                let right = part.split_off(part.len() / 2);
                parts.extend([right, part]);
            }
        }
    }
    Ok(parted)
}

fn say_refused(job: i64, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(
        event = events::JOB_REFUSED,
        error,
        job.id = job,
        "the database refuses to change this job, and it is left as it is"
    );
}
