//! Looking at schedules and when they fire, and enqueuing the job of one by hand.

use super::{Asker, Connection, OperationError, traced::traced};
use crate::{
    config::ScheduleSettings,
    job::JobId,
    postgres::{Hold, LEFT_FOR, Looked},
    schedule::{Moment, Overlap},
};
use serde::{Deserialize, Serialize};
use time::{Duration as Span, OffsetDateTime, macros::format_description};
use utoipa::ToSchema;

/// What became of a schedule's job that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It was enqueued.
    Enqueued(JobId),
    /// It wasn't: this one is unfinished, and `overlap` is `skip`.
    Overlapped(JobId),
    /// It wasn't: others were enqueuing it all the time.
    Busy,
}

/// How often a job is tried to be enqueued that a daemon enqueues in the same moment.
const TRIES: usize = 5;

/// Instants to come that are shown of each.
const NEXT_SHOWN: usize = 3;

/// The schedules of a configuration.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleList {
    /// The database's time, to which ages refer.
    #[schema(format = DateTime)]
    pub now: String,
    /// The schedules, as the configuration has them.
    pub schedules: Vec<ScheduleState>,
}

/// A schedule, and how far it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleState {
    /// Its name.
    pub name: String,
    /// When it fires.
    pub cron: String,
    /// By which zone's clock.
    pub timezone: String,
    /// What runs its job.
    pub kind: String,
    /// Where its job waits.
    pub queue: String,
    /// Whether a daemon has this schedule with this rule.
    pub active: bool,
    /// The last instant that enqueued a job.
    pub last_fire: Option<String>,
    /// The job that was enqueued last.
    pub last_job: Option<i64>,
    /// The instants to come.
    pub next: Vec<String>,
}

/// How far these schedules are, and when each fires next.
pub async fn list_schedules(
    connection: &mut Connection,
    schedules: &[ScheduleSettings],
) -> Result<ScheduleList, OperationError> {
    let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.to_string()).collect();
    let looked = look_at_schedules(connection, &names).await?;
    let now = Moment::of(looked.now);
    let state = |schedule: &ScheduleSettings| {
        let known = looked.rows.iter().find(|row| row.name == schedule.name.as_str());
        let active = known.filter(|row| row.rule == schedule.rule.text() && row.hold != Hold::Free);
        // Where its row is ahead of the clock, it waits for that.
        let from = active.map_or(now, |row| row.done_until.max(now));
        ScheduleState {
            name: schedule.name.to_string(),
            cron: schedule.rule.cron().to_owned(),
            timezone: schedule.rule.zone().name().to_owned(),
            kind: schedule.kind.to_string(),
            queue: schedule.queue.to_string(),
            active: active.is_some(),
            last_fire: known.and_then(|row| row.last_fire).map(|at| at.to_string()),
            last_job: known.and_then(|row| row.last_job),
            next: schedule.rule.next(from, NEXT_SHOWN).iter().map(Moment::to_string).collect(),
        }
    };
    Ok(ScheduleList { now: exact(looked.now), schedules: schedules.iter().map(state).collect() })
}

/// The moment with microseconds, as all other lists have it; instants of schedules are whole seconds.
fn exact(seconds: f64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    let since = Span::checked_seconds_f64(seconds);
    let at = since.and_then(|since| OffsetDateTime::UNIX_EPOCH.checked_add(since));
    let at = at.and_then(|at| at.format(form).ok());
    at.unwrap_or_else(|| Moment::of(seconds).to_string())
}

/// How far these schedules are; what no daemon has had yet isn't there.
pub async fn look_at_schedules(
    connection: &mut Connection,
    names: &[String],
) -> Result<Looked, OperationError> {
    let rows = sqlx::query_as(include_str!("../sql/schedule_look.sql"))
        .persistent(false)
        .bind(names.to_vec())
        .bind(LEFT_FOR.as_secs_f64());
    let rows = traced("SELECT legwork.schedule", rows.fetch_all(connection)).await;
    let rows = rows.map_err(OperationError::LookAtSchedules)?;
    Ok(Looked::of(rows))
}

/// What the row of a schedule's job says of where it comes from; who enqueues it may add a trace.
pub fn metadata_of(schedule: &ScheduleSettings) -> String {
    serde_json::json!({ "schedule": schedule.name.as_str() }).to_string()
}

/// Enqueues a schedule's job now with this metadata, by its overlap rule. Its own instants come as if nothing had been.
pub async fn run_schedule(
    connection: &mut Connection,
    schedule: &ScheduleSettings,
    metadata: &str,
    asker: &Asker,
) -> Result<Ran, OperationError> {
    let failed = OperationError::RunSchedule;
    let known = sqlx::query(include_str!("../sql/schedule_known.sql")).persistent(false);
    let known = known.bind(schedule.name.as_str());
    traced("INSERT legwork.schedule", known.execute(&mut *connection)).await.map_err(failed)?;
    for _ in 0..TRIES {
        let looked = look_at_schedules(connection, &[schedule.name.to_string()]).await?;
        let last_job = looked.rows.first().and_then(|row| row.last_job);
        let run = sqlx::query_as(include_str!("../sql/schedule_run.sql"))
            .persistent(false)
            .bind(schedule.name.as_str())
            .bind(schedule.overlap == Overlap::Skip)
            .bind(schedule.kind.as_str())
            .bind(schedule.payload.as_str())
            .bind(schedule.queue.as_str())
            .bind(schedule.priority)
            .bind(metadata)
            .bind(last_job)
            .bind(asker.actor.as_deref())
            .bind(asker.reason.as_deref())
            .bind(asker.request_id.as_deref())
            .fetch_optional(&mut *connection);
        let ran: Option<(Option<i64>, Option<i64>)> =
            traced("UPDATE legwork.schedule", run).await.map_err(failed)?;
        match ran {
            Some((Some(job), _)) => return Ok(Ran::Enqueued(JobId(job))),
            Some((None, Some(job))) => return Ok(Ran::Overlapped(JobId(job))),
            Some((None, None)) | None => {}
        }
    }
    Ok(Ran::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_with_microseconds() {
        assert_eq!(exact(1_772_366_400.25), "2026-03-01T12:00:00.250000Z");
        assert!(exact(f64::INFINITY).starts_with('9'), "the last there is");
    }
}
