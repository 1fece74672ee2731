//! How jobs end in the database: one fenced statement a flush, the cheapest that can tell what history is to
//! keep of them.

use super::Fence;
use crate::completer::Final;
use sqlx::PgExecutor;

/// What history is to tell of jobs that end together.
pub(super) enum Ends {
    /// Nothing of any.
    Untold,
    /// The same of each, but for how long it ran.
    Alike(End, Vec<Option<i32>>),
    /// Something of its own of each.
    Each(History),
}

/// What history adds to a job.
#[derive(PartialEq, Eq)]
pub(super) struct End {
    outcome: &'static str,
    reason: Option<&'static str>,
    charge: i16,
    days: i32,
}

impl Ends {
    pub(super) fn of(rows: &[&Final]) -> Self {
        if rows.iter().all(|row| row.days.is_none()) {
            return Self::Untold;
        }
        #[cfg(legwork_seeded_bugs)]
        if crate::seeded::has(crate::seeded::Bug::FinishWithoutToken) {
            return Self::Each(History::of(rows));
        }
        let mut ends = rows.iter().map(|row| End::of(row));
        match ends.next().flatten() {
            Some(first) if ends.all(|end| end.as_ref() == Some(&first)) => {
                Self::Alike(first, durations(rows))
            }
            _ => Self::Each(History::of(rows)),
        }
    }

    /// Of one job that is completed.
    pub(super) fn completed(result: Option<String>, days: Option<i32>, duration_ms: i32) -> Self {
        let (outcome, reason, charge) = ("completed", None, 1);
        let durations = vec![Some(duration_ms)];
        match (days, result) {
            (None, _) => Self::Untold,
            (Some(days), None) => Self::Alike(End { outcome, reason, charge, days }, durations),
            (Some(days), result) => Self::Each(History {
                outcomes: vec![outcome],
                reasons: vec![reason],
                results: vec![result],
                charges: vec![charge],
                days: vec![Some(days)],
                durations,
            }),
        }
    }

    /// The name of the statement that writes them.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Untold => "finish_without_history",
            Self::Alike(..) => "finish_alike",
            Self::Each(_) => "finish",
        }
    }

    /// Ends these jobs; gives those that were ours.
    pub(super) async fn write<'c>(
        self,
        connection: impl PgExecutor<'c>,
        fence: Fence,
    ) -> Result<Vec<i64>, sqlx::Error> {
        match self {
            Self::Untold => finish_without_history(connection, fence).await,
            Self::Alike(end, durations) => finish_alike(connection, fence, (end, durations)).await,
            Self::Each(history) => finish(connection, fence, history).await,
        }
    }
}

impl End {
    /// `None` where there is a result, or nothing is kept.
    fn of(row: &Final) -> Option<Self> {
        let (outcome, reason) = (row.outcome(), row.reason());
        let charge = i16::from(row.settled.charged);
        let days = row.days.filter(|_| row.result().is_none())?;
        Some(Self { outcome, reason, charge, days })
    }
}

/// What history adds to the fence, as columns.
pub(super) struct History {
    outcomes: Vec<&'static str>,
    reasons: Vec<Option<&'static str>>,
    results: Vec<Option<String>>,
    charges: Vec<i16>,
    days: Vec<Option<i32>>,
    durations: Vec<Option<i32>>,
}

fn durations(rows: &[&Final]) -> Vec<Option<i32>> {
    rows.iter().map(|row| row.settled.duration_ms()).collect()
}

impl History {
    fn of(rows: &[&Final]) -> Self {
        Self {
            outcomes: rows.iter().map(|row| row.outcome()).collect(),
            reasons: rows.iter().map(|row| row.reason()).collect(),
            results: rows.iter().map(|row| row.result().map(Into::into)).collect(),
            charges: rows.iter().map(|row| i16::from(row.settled.charged)).collect(),
            days: rows.iter().map(|row| row.days).collect(),
            durations: durations(rows),
        }
    }
}

async fn finish<'c>(
    connection: impl PgExecutor<'c>,
    fence: Fence,
    history: History,
) -> Result<Vec<i64>, sqlx::Error> {
    let statement = include_str!("../sql/finish.sql");
    #[cfg(legwork_seeded_bugs)]
    let statement = if crate::seeded::has(crate::seeded::Bug::FinishWithoutToken) {
        include_str!("../sql/seeded_finish.sql")
    } else {
        statement
    };
    sqlx::query_scalar(statement)
        .bind(fence.ids)
        .bind(fence.tokens)
        .bind(fence.holders)
        .bind(history.outcomes)
        .bind(history.reasons)
        .bind(history.results)
        .bind(history.charges)
        .bind(history.days)
        .bind(fence.places)
        .bind(history.durations)
        .fetch_one(connection)
        .await
}

async fn finish_alike<'c>(
    connection: impl PgExecutor<'c>,
    fence: Fence,
    (end, durations): (End, Vec<Option<i32>>),
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(include_str!("../sql/finish_alike.sql"))
        .bind(fence.ids)
        .bind(fence.tokens)
        .bind(fence.holders)
        .bind(fence.places)
        .bind(end.outcome)
        .bind(end.reason)
        .bind(end.charge)
        .bind(end.days)
        .bind(durations)
        .fetch_one(connection)
        .await
}

async fn finish_without_history<'c>(
    connection: impl PgExecutor<'c>,
    fence: Fence,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(include_str!("../sql/finish_without_history.sql"))
        .bind(fence.ids)
        .bind(fence.tokens)
        .bind(fence.holders)
        .bind(fence.places)
        .fetch_one(connection)
        .await
}
