//! How far schedules are, and moving one on together with its job.

use super::Upkeep;
use crate::{
    config::ScheduleSettings,
    job::JobId,
    postgres::DbError,
    schedule::{Moment, Overlap},
    telemetry::spans::Sending,
};
use futures::FutureExt;
use std::time::Duration;

/// How long a schedule is left to others of its rule once its daemon has ended. They look for it in each of
/// their rounds: after two there is none.
pub const LEFT_FOR: Duration = Duration::from_secs(30);

/// How far a schedule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// The rule that holds.
    pub rule: String,
    /// Everything until then is dealt with.
    pub done_until: Moment,
    /// The last instant that enqueued a job.
    pub last_fire: Option<Moment>,
    /// The job that was enqueued last.
    pub last_job: Option<i64>,
    /// The daemon whose rule it is.
    pub daemon: Option<i64>,
    /// What is known of that daemon.
    pub hold: Hold,
}

/// Whether somebody has a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A daemon that lives.
    Held,
    /// A daemon that has just ended: others of the same rule go on with it.
    Left,
    /// Nobody, or nobody who comes back: whoever has the schedule may take it.
    Free,
}

/// How far schedules are, and what time it was; of schedules that aren't known there is no row.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// By the database's clock, in seconds since 1970.
    pub now: f64,
    /// The rows, by name.
    pub rows: Vec<ScheduleRow>,
}

/// As `schedule_look.sql` gives it.
pub(in crate::postgres) type Row = (
    f64,
    Option<String>,
    Option<String>,
    Option<f64>,
    Option<f64>,
    Option<i64>,
    Option<i64>,
    String,
);

impl Looked {
    pub(in crate::postgres) fn of(rows: Vec<Row>) -> Self {
        // The statement always gives one row.
        let now = rows.first().map_or(0.0, |row| row.0);
        let row = |(_, name, rule, done_until, last_fire, last_job, daemon, hold): Row| {
            Some(ScheduleRow {
                name: name?,
                rule: rule?,
                done_until: Moment::of(done_until?),
                last_fire: last_fire.map(Moment::of),
                last_job,
                daemon,
                hold: match &*hold {
                    "held" => Hold::Held,
                    "left" => Hold::Left,
                    _ => Hold::Free,
                },
            })
        };
        Self { now, rows: rows.into_iter().filter_map(row).collect() }
    }
}

/// Moving a schedule on, to an instant that enqueues or one that doesn't.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Which.
    pub schedule: &'a ScheduleSettings,
    /// How far it was, and what its last job was.
    pub from: (Moment, Option<i64>),
    /// How far it is then.
    pub to: Moment,
    /// Whether that instant enqueues.
    pub fires: bool,
    /// What its job's row says of the span in which it is enqueued.
    pub sending: Option<&'a Sending>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// Not done: the row isn't as it was, or the instant hasn't come by the database's clock.
    Elsewhere,
    /// Done, with this job.
    Enqueued(JobId),
    /// Done without a job: the one before is unfinished.
    Overlapped,
    /// Done without a job, as it was asked for.
    Passed,
}

impl Upkeep {
    /// Makes rules known; those that are new or changed go on from now.
    pub async fn adopt_schedules(
        &self,
        names: Vec<String>,
        rules: Vec<String>,
        daemon: i64,
    ) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("../sql/schedule_adopt.sql"));
        let statement = statement.bind(names).bind(rules).bind(daemon);
        self.brief().await.run("schedule_adopt", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Lets go of schedules of this daemon.
    pub async fn leave_schedules(&self, names: Vec<String>, daemon: i64) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("../sql/schedule_leave.sql"));
        let statement = statement.bind(names).bind(daemon);
        self.brief().await.run("schedule_leave", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// Takes a schedule whose daemon, as it was seen, is gone.
    pub async fn take_schedule(
        &self,
        (name, rule): (String, String),
        daemon: i64,
        seen: Option<i64>,
    ) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("../sql/schedule_take.sql"));
        let statement = statement.bind(name).bind(rule).bind(daemon).bind(seen);
        self.brief().await.run("schedule_take", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// How far these schedules are.
    pub async fn look_at_schedules(&self, names: Vec<String>) -> Result<Looked, DbError> {
        let statement = sqlx::query_as(include_str!("../sql/schedule_look.sql"));
        let statement = statement.bind(names).bind(LEFT_FOR.as_secs_f64());
        let mut session = self.brief().await;
        let rows = session.run("schedule_look", |c| statement.fetch_all(c).boxed()).await?;
        Ok(Looked::of(rows))
    }

    /// Moves a schedule on and enqueues its job, both or neither, and only from where it was.
    #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
    pub async fn step_schedule(&self, step: Step<'_>) -> Result<Stepped, DbError> {
        let Step { schedule, from: (from, last_job), to, fires, sending } = step;
        let metadata = serde_json::json!({
            "schedule": schedule.name.as_str(),
            "schedule_instant": to.to_string(),
        });
        let metadata = metadata.to_string();
        let traced = sending.and_then(|sending| sending.metadata(Some(&metadata)));
        let statement = sqlx::query_as(include_str!("../sql/schedule_fire.sql"))
            .bind(schedule.name.to_string())
            .bind(schedule.rule.text())
            .bind(from.0 as f64)
            .bind(to.0 as f64)
            .bind(fires)
            .bind(schedule.overlap == Overlap::Skip)
            .bind(schedule.kind.to_string())
            .bind(schedule.payload.clone())
            .bind(schedule.queue.to_string())
            .bind(schedule.priority)
            .bind(schedule.jitter.as_secs_f64())
            .bind(traced.unwrap_or(metadata))
            .bind(last_job);
        let mut session = self.brief().await;
        let done: Option<(Option<i64>, bool)> =
            session.run("schedule_fire", |c| statement.fetch_optional(c).boxed()).await?;
        Ok(match done {
            None => Stepped::Elsewhere,
            Some((Some(job), _)) => Stepped::Enqueued(JobId(job)),
            Some((None, true)) => Stepped::Overlapped,
            Some((None, false)) => Stepped::Passed,
        })
    }
}
