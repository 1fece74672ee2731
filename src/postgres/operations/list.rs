//! Pages of jobs, newest first.
//!
//! A page begins behind a job, never at an offset, so that it costs the same wherever it starts and shows
//! nothing twice while jobs come and go. What it costs is bounded twice: by its own length, and by how many
//! jobs are looked at for it, since a filter may meet one in a million. So a page may be short, even empty, and
//! have a next one all the same.

use super::{Connection, DELAY_MAX, OperationError, jobs::present, traced::traced};
use crate::{
    job::{JobId, KindName, QueueName, State},
    postgres::moment::{NoMoment, moment, timestamp_text},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{str::FromStr, time::Duration};
use time::OffsetDateTime;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

/// Longest page, in jobs; at 4 KiB of tags each it is 4 MiB at worst.
pub const PAGE_MAX: u32 = 1000;

/// Most bytes of payloads on a page, as far as they aren't its first job's, which may have 1 MiB alone.
pub(super) const PAGE_PAYLOADS_MAX_BYTES: i64 = 4 * 1024 * 1024;

/// Which jobs; what is absent doesn't narrow.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// In this queue.
    pub queue: Option<QueueName>,
    /// Of this kind.
    pub kind: Option<KindName>,
    /// In this state.
    pub state: Option<State>,
    /// With this tag.
    pub tag: Option<String>,
    /// Enqueued after this.
    pub created_after: Option<Since>,
    /// Enqueued before this.
    pub created_before: Option<Since>,
    /// With these texts at these places of the payload: keys and places of lists, joined by dots.
    pub payload: Vec<(String, String)>,
    /// Older than this one: the last id of the page before.
    pub after: Option<JobId>,
}

/// A moment, as people think of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This one.
    Moment(OffsetDateTime),
    /// So long ago, by the database's clock.
    Ago(Duration),
}

/// A text that is neither a moment nor a time; what is to be written in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSince {
    /// It isn't written as either.
    #[error(
        "a moment such as 2026-03-01T12:00:00Z, or a time of ten years at most such as 90s, 2h30m or 7d"
    )]
    Unreadable,
    /// A moment that couldn't be shown.
    #[error("a moment that is in the years 0000 to 9999 in UTC")]
    OutsideYears,
}

impl FromStr for Since {
    type Err = NotSince;

    fn from_str(text: &str) -> Result<Self, NotSince> {
        match moment(text) {
            Ok(at) => Ok(Self::Moment(at)),
            Err(NoMoment::OutsideYears) => Err(NotSince::OutsideYears),
            Err(NoMoment::Unreadable) => {
                let time = humantime::parse_duration(text).ok();
                let time = time.filter(|time| *time <= DELAY_MAX);
                time.map(Self::Ago).ok_or(NotSince::Unreadable)
            }
        }
    }
}

/// How much of the jobs is wanted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Most jobs on the page; at most [`PAGE_MAX`].
    pub jobs: u32,
    /// Most jobs that are looked at for it.
    pub looks: u32,
    /// Whether their payloads are.
    pub payloads: bool,
}

impl From<u32> for Extent {
    /// So many jobs, looked for as far as somebody at a terminal wants to wait: a million are looked at in a second or
    /// two.
    fn from(jobs: u32) -> Self {
        Self { jobs, looks: 1_000_000, payloads: false }
    }
}

/// One page, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Where the next page starts (`after`); absent on the last one.
    #[serde(default)]
    pub next: Option<i64>,
}

/// What a listing shows of a job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its number.
    pub id: i64,
    /// One of the seven states.
    #[schema(schema_with = states)]
    pub state: String,
    /// Where it waits or waited.
    pub queue: String,
    /// What runs it.
    pub kind: String,
    /// −2 … 2, lower runs first.
    pub priority: i16,
    /// Charged attempts that ended.
    pub attempt: i16,
    /// Its own limit; absent is the kind's.
    pub max_attempts: Option<i16>,
    /// Not before this moment.
    pub run_at: Option<String>,
    /// When it was enqueued.
    pub created_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Why it was discarded or cancelled.
    pub reason: Option<String>,
    /// For people to filter by.
    pub tags: Vec<Option<String>>,
    /// Its input; absent where it wasn't asked for.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value)]
    pub payload: Option<Box<RawValue>>,
}

/// The seven words.
pub(super) fn states() -> Object {
    let words = State::ALL.map(State::as_str);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

/// One page of jobs.
pub async fn list_jobs(
    connection: &mut Connection,
    filter: &JobFilter,
    extent: impl Into<Extent>,
) -> Result<JobPage, OperationError> {
    let extent = extent.into();
    let needs_payload = extent.payloads || !filter.payload.is_empty();
    let statement = if needs_payload {
        include_str!("../sql/list_jobs_with_payload.sql")
    } else {
        include_str!("../sql/list_jobs.sql")
    };
    let (after, created_ago) = parts(filter.created_after);
    let (before, created_before_ago) = parts(filter.created_before);
    let mut query = sqlx::query_scalar(statement)
        .persistent(false)
        .bind(filter.queue.as_ref().map(QueueName::as_str))
        .bind(filter.kind.as_ref().map(KindName::as_str))
        .bind(filter.state.map(State::as_str))
        .bind(filter.tag.as_deref())
        .bind(filter.after.map_or(i64::MAX, |id| id.0))
        .bind(i64::from(extent.jobs.clamp(1, PAGE_MAX)))
        .bind(i64::from(extent.looks.max(1)))
        .bind(after)
        .bind(created_ago)
        .bind(before)
        .bind(created_before_ago);
    if needs_payload {
        let (keys, values): (Vec<_>, Vec<_>) = filter.payload.iter().cloned().unzip();
        query = query.bind(keys).bind(values).bind(extent.payloads).bind(PAGE_PAYLOADS_MAX_BYTES);
    }
    let page = traced("SELECT legwork.jobs", query.fetch_one(connection));
    let why = if needs_payload { OperationError::ListPayloads } else { OperationError::ListJobs };
    let json: String = page.await.map_err(why)?;
    let mut page: JobPage = serde_json::from_str(&json).map_err(OperationError::Decode)?;
    if !extent.payloads {
        page.jobs.iter_mut().for_each(|job| job.payload = None);
    }
    Ok(page)
}

/// As the statement takes it: a moment, or seconds.
pub(super) fn parts(since: Option<Since>) -> (Option<String>, Option<f64>) {
    match since {
        None => (None, None),
        Some(Since::Moment(at)) => (Some(timestamp_text(at)), None),
        Some(Since::Ago(time)) => (None, Some(time.as_secs_f64())),
    }
}
