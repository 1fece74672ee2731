//! Verdicts, as fenced single statements; failed attempts by COPY.

mod ends;
mod inserted;

use super::{Connector, DbError, Session, held::Held};
use crate::{
    completer::{Back, Failure, Final, OutcomeSink, Settled, SinkError, milliseconds},
    job::{JobId, Lease, Place},
};
use ends::Ends;
use futures::FutureExt;
use sqlx::{PgConnection, PgExecutor, postgres::PgDatabaseError};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// SQLSTATE of a row for which no partition exists.
const NO_PARTITION: &str = "23514";
/// What is partitioned by days.
const HISTORY: [&str; 2] = ["finished", "failed_attempt"];
/// SQLSTATE of a record that is there already: its first COPY was answered too late to learn of it.
const DUPLICATE: &str = "23505";

/// Writes verdicts to Postgres, on a session of its own.
pub struct PostgresOutcomes {
    session: Mutex<Session>,
    held: Arc<Held>,
}

/// The three columns of every fence, and where the rows lay.
#[derive(Default)]
struct Fence {
    ids: Vec<i64>,
    tokens: Vec<i64>,
    holders: Vec<i64>,
    places: Vec<Option<Place>>,
}

impl Fence {
    fn of<'s>(rows: impl Iterator<Item = &'s Settled>) -> Self {
        let mut fence = Self::default();
        for row in rows {
            fence.ids.push(row.lease.job.0);
            fence.tokens.push(row.lease.token);
            fence.holders.push(row.lease.holder);
            fence.places.push(row.place);
        }
        fence
    }
}

impl PostgresOutcomes {
    /// Connects at the first verdict. Leases that are settled leave `held`.
    pub fn new(connector: Connector, held: Arc<Held>) -> Self {
        let setup = include_str!("sql/completer_session.sql");
        Self { session: Mutex::new(Session::new(connector, "completer", Some(setup))), held }
    }

    /// After an error: makes those of these days that are missing, so that the next try finds them.
    async fn judge(&self, session: &mut Session, error: DbError, days: Vec<i32>) -> SinkError {
        if lacks_a_partition(&error) {
            return match session.run("make_days", |c| make_days(c, days).boxed()).await {
                // No row is to blame for the day that it ends on: it mustn't go back and run again.
                Err(why)
                    if why.blames_the_rows()
                        || (why.may_be_a_row_or_the_moment() && !why.was_ended()) =>
                {
                    SinkError::Stuck(why.into())
                }
                // The rows came to nothing, whatever becomes of the days.
                Err(why) => SinkError::Unavailable { sent: false, source: why.into() },
                Ok(()) => SinkError::Unavailable { sent: false, source: error.into() },
            };
        }
        if error.blames_the_rows() {
            SinkError::Refused(error.into())
        } else if error.may_be_a_row_or_the_moment() {
            SinkError::Stuck(error.into())
        } else {
            // A server that refuses a statement hasn't done it. One that goes may have.
            let sent = error.is_of_the_session() && !matches!(error, DbError::Connect(_));
            SinkError::Unavailable { sent, source: error.into() }
        }
    }

    async fn answer(
        &self,
        session: &mut Session,
        (ids, tokens): (Vec<i64>, Vec<i64>),
        written: Result<Vec<i64>, DbError>,
        days: Vec<i32>,
    ) -> Result<Vec<JobId>, SinkError> {
        match written {
            Ok(written) => {
                self.held.settled(&ids, &tokens);
                Ok(written.into_iter().map(JobId).collect())
            }
            Err(error) => Err(self.judge(session, error, days).await),
        }
    }
}

impl OutcomeSink for PostgresOutcomes {
    async fn record(&self, rows: &[Failure]) -> Result<(), SinkError> {
        let session = &mut *self.session.lock().await;
        let today = session.run("today", |c| {
            sqlx::query_scalar::<_, i32>(include_str!("sql/today.sql")).fetch_one(c).boxed()
        });
        let copied = match today.await {
            Ok(today) => {
                let text = failures_as_text(rows, today);
                session
                    .run("copy_failed_attempts", move |connection| {
                        connection.copy(include_str!("sql/copy_failed_attempts.sql"), text).boxed()
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let copied = match copied {
            Err(error) if inserted::instead_of_copy(&error) => inserted::write(session, rows).await,
            copied => copied,
        };
        match copied {
            Err(error) if error.sqlstate().as_deref() == Some(DUPLICATE) && rows.len() == 1 => {
                Ok(())
            }
            Err(error) => {
                let days = rows.iter().map(|row| row.days).collect();
                Err(self.judge(session, error, days).await)
            }
            Ok(()) => Ok(()),
        }
    }

    async fn finish(&self, rows: &[Final]) -> Result<Vec<JobId>, SinkError> {
        let mut rows: Vec<&Final> = rows.iter().collect();
        rows.sort_unstable_by_key(|row| row.settled.lease.job);
        let session = &mut *self.session.lock().await;
        let fence = Fence::of(rows.iter().map(|row| &row.settled));
        let leases = (fence.ids.clone(), fence.tokens.clone());
        let ends = Ends::of(&rows);
        let written =
            session.run(ends.operation(), |connection| ends.write(connection, fence).boxed()).await;
        let days = rows.iter().filter_map(|row| row.days).collect();
        self.answer(session, leases, written, days).await
    }

    async fn put_back(&self, rows: &[Back]) -> Result<Vec<JobId>, SinkError> {
        let mut rows: Vec<&Back> = rows.iter().collect();
        rows.sort_unstable_by_key(|row| row.settled.lease.job);
        let session = &mut *self.session.lock().await;
        let fence = Fence::of(rows.iter().map(|row| &row.settled));
        let leases = (fence.ids.clone(), fence.tokens.clone());
        let delays: Vec<f64> = rows.iter().map(|row| row.delay_seconds).collect();
        let charges: Vec<i16> = rows.iter().map(|row| i16::from(row.settled.charged)).collect();
        let snoozed: Vec<i16> = rows.iter().map(|row| i16::from(row.snoozed)).collect();
        let written = session.run("put_back", move |connection| {
            sqlx::query_scalar(include_str!("sql/put_back.sql"))
                .bind(fence.ids)
                .bind(fence.tokens)
                .bind(fence.holders)
                .bind(delays)
                .bind(charges)
                .bind(snoozed)
                .fetch_all(connection)
                .boxed()
        });
        let written = written.await;
        self.answer(session, leases, written, Vec::new()).await
    }

    async fn release(&self, rows: &[Settled]) -> Result<Vec<JobId>, SinkError> {
        let mut rows: Vec<&Settled> = rows.iter().collect();
        rows.sort_unstable_by_key(|row| row.lease.job);
        let session = &mut *self.session.lock().await;
        let fence = Fence::of(rows.into_iter());
        let leases = (fence.ids.clone(), fence.tokens.clone());
        let statement = include_str!("sql/release.sql");
        #[cfg(legwork_seeded_bugs)]
        let statement = if crate::seeded::has(crate::seeded::Bug::ReleaseLowersToken) {
            include_str!("sql/seeded_release.sql")
        } else {
            statement
        };
        let written = session.run("release", move |connection| {
            sqlx::query_scalar(statement)
                .bind(fence.ids)
                .bind(fence.tokens)
                .bind(fence.holders)
                .fetch_all(connection)
                .boxed()
        });
        let written = written.await;
        self.answer(session, leases, written, Vec::new()).await
    }

    async fn locked(&self, jobs: &[JobId]) -> Result<Vec<JobId>, SinkError> {
        let jobs: Vec<i64> = jobs.iter().map(|job| job.0).collect();
        let session = &mut *self.session.lock().await;
        let statement = sqlx::query_scalar::<_, i64>(include_str!("sql/locked_jobs.sql"));
        let statement = statement.bind(jobs);
        match session.run("locked_jobs", |c| statement.fetch_all(c).boxed()).await {
            Ok(locked) => Ok(locked.into_iter().map(JobId).collect()),
            Err(error) => Err(self.judge(session, error, Vec::new()).await),
        }
    }

    async fn taken(&self, leases: &[Lease]) -> Result<Vec<JobId>, SinkError> {
        let session = &mut *self.session.lock().await;
        let column = |of: fn(&Lease) -> i64| leases.iter().map(of).collect::<Vec<_>>();
        let statement = sqlx::query_scalar::<_, i64>(include_str!("sql/taken.sql"))
            .bind(column(|lease| lease.job.0))
            .bind(column(|lease| lease.token))
            .bind(column(|lease| lease.holder));
        match session.run("taken", |c| statement.fetch_all(c).boxed()).await {
            Ok(taken) => Ok(taken.into_iter().map(JobId).collect()),
            Err(error) => Err(self.judge(session, error, Vec::new()).await),
        }
    }
}

/// A CHECK that a row breaks has the same SQLSTATE, but a name; so may have what a trigger or a function
/// raises, but it names no table, or one of somebody else's.
pub(super) fn lacks_a_partition(error: &DbError) -> bool {
    matches!(error, DbError::Statement(error) if is_without_a_partition(error))
}

pub(super) fn is_without_a_partition(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(refusal) = error else { return false };
    let schema = refusal.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::schema);
    refusal.code().as_deref() == Some(NO_PARTITION)
        && refusal.constraint().is_none()
        && schema == Some("legwork")
        && refusal.table().is_some_and(|table| HISTORY.contains(&table))
}

/// Completes one job inside of the caller's transaction; `false` when the lease is gone. The end is the
/// same as a flush's: fence, history, retention.
pub(super) async fn complete(
    connection: &mut PgConnection,
    lease: Lease,
    result: Option<String>,
    (days, took): (Option<i32>, Duration),
) -> Result<bool, sqlx::Error> {
    let fence = Fence {
        ids: vec![lease.job.0],
        tokens: vec![lease.token],
        holders: vec![lease.holder],
        places: vec![None],
    };
    let written =
        Ends::completed(result, days, milliseconds(took)).write(connection, fence).await?;
    Ok(!written.is_empty())
}

pub(super) async fn make_days<'c>(
    connection: impl PgExecutor<'c>,
    days: Vec<i32>,
) -> Result<(), sqlx::Error> {
    let made = sqlx::query(include_str!("sql/make_days.sql")).bind(days);
    made.execute(connection).await.map(drop)
}

/// COPY's text format: tabs between columns, a line each, backslashes for what would end them. Public
/// for the benchmark of it.
pub fn failures_as_text(rows: &[Failure], today: i32) -> String {
    let mut text = String::new();
    for Failure { settled, days } in rows {
        let Some(failure) = &settled.failure else { continue };
        let lease = settled.lease;
        // Writing into a String can't fail.
        write!(
            text,
            "{}\t{}\t{}\t{}\t{}\t",
            lease.job.0,
            lease.token,
            lease.holder,
            settled.attempt,
            failure.cause.as_str()
        )
        .ok();
        escape(failure.error.as_str(), &mut text);
        let day = time::Date::from_ordinal_date(2000, 1)
            .map(|epoch| epoch.saturating_add(time::Duration::days(i64::from(today + days))));
        let day = day.map(|day| day.to_string()).unwrap_or_default();
        match settled.duration_ms() {
            Some(took) => write!(text, "\t{took}\t{day}"),
            None => write!(text, "\t\\N\t{day}"),
        }
        .ok();
        text.push('\n');
    }
    text
}

fn escape(value: &str, into: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            c => into.push(c),
        }
    }
}
