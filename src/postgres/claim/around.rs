//! Claiming round a row that the database refuses to give.
//!
//! A claim names no rows, so one that can't be updated fails every claim that reaches it. Once that has
//! happened, jobs are looked for first and then claimed by name, without those that were refused before;
//! a minute later the plain claim is tried again.

use super::super::{
    DbError, Session,
    apart::{self, Parted},
};
use crate::{claimer::ClaimRequest, job::KindName};
use futures::FutureExt;
use sqlx::postgres::PgRow;
use std::time::Duration;
use tokio::time::Instant;

/// How long a refused job is left alone.
const REST: Duration = Duration::from_mins(1);
/// Refused jobs that are gone round; with more of them claims fail as they are.
const MOST: usize = 1000;

/// Jobs that were refused, and when.
#[derive(Default)]
pub(super) struct Refused(Vec<(i64, Instant)>);

impl Refused {
    /// Whether the plain claim may be tried.
    pub(super) fn is_empty(&mut self) -> bool {
        self.0.retain(|(_, since)| since.elapsed() < REST);
        self.0.is_empty()
    }

    /// Whether there are too many to go round.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    fn add(&mut self, jobs: impl Iterator<Item = i64>) {
        let now = Instant::now();
        self.0.extend(jobs.map(|job| (job, now)));
    }

    fn has(&self, job: i64) -> bool {
        self.0.iter().any(|(refused, _)| *refused == job)
    }
}

/// Claims what the request asks for, but no job that is refused.
pub(super) async fn claim(
    session: &mut Session,
    request: &ClaimRequest,
    refused: &mut Refused,
) -> Result<Vec<PgRow>, DbError> {
    let most = request.most as usize;
    let mut claimed = Vec::new();
    while claimed.len() < most && !refused.is_full() {
        let wanted = most - claimed.len();
        let mut jobs = claimable(session, request, wanted + refused.0.len()).await?;
        let is_all = jobs.len() < wanted + refused.0.len();
        jobs.retain(|job| !refused.has(*job));
        jobs.truncate(wanted);
        let Parted { rows, refused: more, .. } = take(session, request, jobs).await?;
        let is_stuck = rows.is_empty() && more.is_empty();
        refused.add(more.iter().map(|(job, _)| *job));
        claimed.extend(rows);
        if is_all || is_stuck {
            break;
        }
    }
    Ok(claimed)
}

async fn claimable(
    session: &mut Session,
    request: &ClaimRequest,
    most: usize,
) -> Result<Vec<i64>, DbError> {
    let kinds: Vec<String> = request.kinds.iter().map(KindName::to_string).collect();
    let query = sqlx::query_scalar(include_str!("../sql/claimable.sql"))
        .bind(request.queue.to_string())
        .bind(request.probe.levels.clone())
        .bind(request.probe.marks.clone())
        .bind(kinds)
        .bind(i64::try_from(most).unwrap_or(i64::MAX));
    session.run("claimable", |connection| query.fetch_all(connection).boxed()).await
}

async fn take(
    session: &mut Session,
    request: &ClaimRequest,
    jobs: Vec<i64>,
) -> Result<Parted, DbError> {
    let (holder, queue) = (request.holder, request.queue.to_string());
    let statement = |part| {
        let query = sqlx::query(include_str!("../sql/claim_these.sql"));
        query.bind(holder).bind(queue.clone()).bind(part)
    };
    apart::all_but_the_refused(session, "claim_these", jobs, statement).await
}
