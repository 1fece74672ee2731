//! Looking at schedules, and enqueuing the job of one by hand.

use super::{Connection, OperationError};
use crate::{
    config::ScheduleSettings,
    job::JobId,
    postgres::{LEFT_FOR, Looked},
    schedule::Overlap,
};

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

/// How far these schedules are; what no daemon has had yet isn't there.
pub async fn look_at_schedules(
    connection: &mut Connection,
    names: &[String],
) -> Result<Looked, OperationError> {
    let rows = sqlx::query_as(include_str!("../sql/schedule_look.sql"))
        .persistent(false)
        .bind(names.to_vec())
        .bind(LEFT_FOR.as_secs_f64());
    let rows = rows.fetch_all(connection).await.map_err(OperationError::LookAtSchedules)?;
    Ok(Looked::of(rows))
}

/// Enqueues a schedule's job now, by its overlap rule. Its own instants come as if nothing had been.
pub async fn run_schedule(
    connection: &mut Connection,
    schedule: &ScheduleSettings,
) -> Result<Ran, OperationError> {
    let failed = OperationError::RunSchedule;
    let known = sqlx::query(include_str!("../sql/schedule_known.sql")).persistent(false);
    let known = known.bind(schedule.name.as_str());
    known.execute(&mut *connection).await.map_err(failed)?;
    let metadata = serde_json::json!({ "schedule": schedule.name.as_str() }).to_string();
    for _ in 0..TRIES {
        let looked = look_at_schedules(connection, &[schedule.name.to_string()]).await?;
        let last_job = looked.rows.first().and_then(|row| row.last_job);
        let ran: Option<(Option<i64>, Option<i64>)> =
            sqlx::query_as(include_str!("../sql/schedule_run.sql"))
                .persistent(false)
                .bind(schedule.name.as_str())
                .bind(schedule.overlap == Overlap::Skip)
                .bind(schedule.kind.as_str())
                .bind(schedule.payload.as_str())
                .bind(schedule.queue.as_str())
                .bind(schedule.priority)
                .bind(metadata.as_str())
                .bind(last_job)
                .fetch_optional(&mut *connection)
                .await
                .map_err(failed)?;
        match ran {
            Some((Some(job), _)) => return Ok(Ran::Enqueued(JobId(job))),
            Some((None, Some(job))) => return Ok(Ran::Overlapped(JobId(job))),
            Some((None, None)) | None => {}
        }
    }
    Ok(Ran::Busy)
}
