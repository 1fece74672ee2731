//! Claiming, as one statement on a session of its own.

use super::{Connector, DbError, Session};
use crate::{
    claimer::{ClaimError, ClaimRequest, ClaimSource},
    job::{ClaimedJob, JobId, KindName, Lease},
};
use futures::FutureExt;
use sqlx::{Row, postgres::PgRow};
use std::time::Duration;
use tokio::sync::Mutex;

/// Claims from Postgres. Claimers take turns on one connection: one alone saturates the index, and
/// four at once are slower than two.
pub struct PostgresClaims {
    session: Mutex<Session>,
}

impl PostgresClaims {
    /// A session with the planner held to the one right plan.
    pub fn new(connector: Connector) -> Self {
        let setup = include_str!("sql/claim_session.sql");
        Self { session: Mutex::new(Session::new(connector, "claim", Some(setup))) }
    }
}

impl ClaimSource for PostgresClaims {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<ClaimedJob>, ClaimError> {
        let rows = claim(&mut *self.session.lock().await, request).await;
        let rows = rows.map_err(|error| ClaimError(error.into()))?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            jobs.push(decode(row, request).map_err(|error| ClaimError(error.into()))?);
        }
        // UPDATE returns rows in heap order.
        jobs.sort_unstable_by_key(|job| (job.priority, job.seq));
        Ok(jobs)
    }
}

async fn claim(session: &mut Session, request: &ClaimRequest) -> Result<Vec<PgRow>, DbError> {
    let request = request.clone();
    session
        .run(move |connection| {
            async move {
                let kinds: Vec<&str> = request.kinds.iter().map(KindName::as_str).collect();
                sqlx::query(include_str!("sql/claim.sql"))
                    .bind(request.holder)
                    .bind(request.queue.as_str())
                    .bind(&request.probe.levels)
                    .bind(&request.probe.marks)
                    .bind(kinds)
                    .bind(i64::from(request.most))
                    .fetch_all(connection)
                    .await
            }
            .boxed()
        })
        .await
}

/// Types are those of the statement, so they aren't compared again for each value of each row.
fn decode(row: &PgRow, request: &ClaimRequest) -> Result<ClaimedJob, sqlx::Error> {
    let small = |index: usize| -> Result<u16, sqlx::Error> {
        Ok(u16::try_from(row.try_get_unchecked::<i16, _>(index)?).unwrap_or(0))
    };
    let kind: &str = row.try_get_unchecked(8)?;
    Ok(ClaimedJob {
        lease: Lease {
            job: JobId(row.try_get_unchecked(0)?),
            token: row.try_get_unchecked(2)?,
            holder: request.holder,
        },
        seq: row.try_get_unchecked(1)?,
        priority: row.try_get_unchecked(3)?,
        charged: small(4)?,
        rescues: small(5)?,
        snoozes: small(6)?,
        max_attempts: row
            .try_get_unchecked::<Option<i16>, _>(7)?
            .and_then(|attempts| u16::try_from(attempts).ok()),
        queue: request.queue.clone(),
        kind: known_kind(kind, request)?,
        payload: row.try_get_unchecked(9)?,
        timeout: row.try_get_unchecked::<Option<f64>, _>(10)?.map(seconds),
        expired: row.try_get_unchecked(11)?,
        waited: seconds(row.try_get_unchecked(12)?),
        metadata: row.try_get_unchecked(13)?,
    })
}

/// The name that the request holds already, instead of another copy for each job.
fn known_kind(kind: &str, request: &ClaimRequest) -> Result<KindName, sqlx::Error> {
    let known = request.kinds.iter().find(|known| known.as_str() == kind);
    known.cloned().ok_or_else(|| sqlx::Error::Decode(format!("unasked kind {kind:?}").into()))
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
}
