//! Enqueues the jobs of schedules when they are due, and wakes with the next of them.
//!
//! Any number of daemons run this at once: each instant is enqueued by whoever moves the schedule's row
//! on first, in the same statement. It goes by the database's clock, which it reads anew in each round;
//! between rounds it counts by a clock that never jumps. What is due when is decided in `schedule`.

use super::Rested;
use crate::{
    config::ScheduleSettings,
    heartbeat::Leases,
    postgres::{DbError, Hold, LEFT_FOR, Looked, ScheduleRow, Step, Stepped, Upkeep},
    schedule::Moment,
    telemetry::{
        Origin, events,
        metrics::{Metrics, ScheduleMetrics},
        spans::{Sending, Tracer},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How long it sleeps at most: a row that was deleted, or a clock that was set, is noticed by then.
const PAUSE_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(LEFT_FOR.as_secs() >= 2 * PAUSE_MAX.as_secs());
/// Two rounds are at least this far apart.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// How soon an instant is tried again that the database refused, or that another daemon moves on just now.
const AGAIN: Duration = Duration::from_secs(2);
/// How soon it looks whether the daemon is known to the database.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Most steps of all schedules in one round; the next round comes at once.
const STEPS_MAX: usize = 200;
/// A schedule that is further ahead than this of the database's clock is told of.
const AHEAD_SECONDS: i64 = 60;

/// The scheduler's state.
pub struct Scheduler {
    upkeep: Arc<Upkeep>,
    /// What the configuration says now.
    settings: watch::Receiver<Vec<ScheduleSettings>>,
    schedules: Vec<Schedule>,
    /// Those that the configuration has no more, and that others may have.
    dropped: Vec<String>,
    /// Who we are at the moment: whose rules are made known.
    leases: Leases,
    metrics: Arc<Metrics>,
    /// What makes spans, if anything does.
    tracer: Option<Arc<Tracer>>,
}

struct Schedule {
    settings: ScheduleSettings,
    rule: String,
    metrics: ScheduleMetrics,
    tracer: Option<Arc<Tracer>>,
    /// Whether this daemon's rule has been made known. Once, when it is read: two daemons with
    /// different files would otherwise take a schedule from each other all the time.
    adopted: bool,
    /// Why it does nothing, as far as that was told.
    stands: Option<&'static str>,
    /// Whether its last instant found the job before unfinished.
    overlapped: bool,
}

/// One round's doing.
struct Round {
    now: Moment,
    steps_left: usize,
    /// Something is due that couldn't be done now.
    again: bool,
}

impl Scheduler {
    /// For these schedules. The first round makes them known.
    pub fn new(
        upkeep: Arc<Upkeep>,
        mut settings: watch::Receiver<Vec<ScheduleSettings>>,
        leases: Leases,
        (metrics, tracer): (Arc<Metrics>, Option<Arc<Tracer>>),
    ) -> Self {
        settings.mark_changed();
        let (schedules, dropped) = (Vec::new(), Vec::new());
        Self { upkeep, settings, schedules, dropped, leases, metrics, tracer }
    }

    /// Goes over to what the configuration says now. A rule that is new here is made known; whatever
    /// is as it was goes on where it is.
    fn take_over(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.schedules);
        for settings in settings {
            let old = before.iter().position(|old| old.settings.name == settings.name);
            let old = old.map(|at| before.swap_remove(at));
            let schedule = match old {
                Some(old) if old.settings == settings => old,
                old => Schedule {
                    adopted: old
                        .is_some_and(|old| old.adopted && old.settings.rule == settings.rule),
                    rule: settings.rule.text(),
                    metrics: self.metrics.schedule(&settings.name, &settings.queue),
                    tracer: self.tracer.clone(),
                    settings,
                    stands: None,
                    overlapped: false,
                },
            };
            self.schedules.push(schedule);
        }
        self.dropped.extend(before.iter().map(|old| old.settings.name.to_string()));
        let has = |name: &String| self.schedules.iter().any(|s| s.settings.name.as_str() == name);
        self.dropped.retain(|name| !has(name));
    }

    /// Leaves to others what the configuration has no more; says whether there was anything.
    async fn let_go(&mut self) -> Result<bool, DbError> {
        let me = self.leases.now().filter(|_| !self.dropped.is_empty());
        if let Some(me) = me {
            self.upkeep.leave_schedules(self.dropped.clone(), me).await?;
            self.dropped.clear();
        }
        Ok(me.is_some())
    }

    /// Enqueues what is due; gives the time until more is.
    pub async fn round(&mut self) -> Result<Rested, DbError> {
        if self.settings.has_changed().unwrap_or(false) {
            self.take_over();
        }
        let asked = self.let_go().await?;
        if self.schedules.is_empty() {
            return Ok(Rested { pause: PAUSE_MAX, idle: !asked });
        }
        let Some(me) = self.leases.now() else { return Ok(Rested::idle(UNKNOWN)) };
        let looked = self.look(me).await?;
        let now = looked.now;
        let since = Instant::now();
        let mut round = Round { now: Moment::of(now), steps_left: STEPS_MAX, again: false };
        let mut next: Option<Moment> = None;
        for schedule in &mut self.schedules {
            let Some(row) =
                looked.rows.iter().find(|row| row.name == schedule.settings.name.as_str())
            else {
                continue;
            };
            if schedule.may_take(row) {
                let named = (row.name.clone(), schedule.rule.clone());
                self.upkeep.take_schedule(named, me, row.daemon).await?;
            }
            if row.rule != schedule.rule {
                match row.hold {
                    Hold::Free => round.again = true,
                    Hold::Left | Hold::Held => schedule.stand("superseded", row.done_until, None),
                }
                continue;
            }
            schedule.catch_up(&self.upkeep, row, &mut round).await?;
            let from = row.done_until.max(round.now);
            let own = schedule.settings.rule.next_after(from);
            next = [next, own].into_iter().flatten().min();
        }
        if round.steps_left == 0 {
            return Ok(Duration::ZERO.into());
        }
        let pause = next.map_or(PAUSE_MAX, |next| until(next, now).saturating_sub(since.elapsed()));
        let most = if round.again { AGAIN } else { PAUSE_MAX };
        Ok(pause.clamp(PAUSE_MIN, most).into())
    }

    /// How far the schedules are and what time it is, all of them being known.
    async fn look(&mut self, me: i64) -> Result<Looked, DbError> {
        loop {
            if self.schedules.iter().any(|schedule| !schedule.adopted) {
                self.adopt(me, |schedule| !schedule.adopted).await?;
                self.schedules.iter_mut().for_each(|schedule| schedule.adopted = true);
            }
            let names = self.schedules.iter().map(|s| s.settings.name.to_string()).collect();
            let looked = self.upkeep.look_at_schedules(names).await?;
            let known = |name: &str| looked.rows.iter().any(|row| row.name == name);
            if looked.rows.len() == self.schedules.len() {
                return Ok(looked);
            }
            self.adopt(me, |schedule| !known(schedule.settings.name.as_str())).await?;
        }
    }

    async fn adopt(&self, me: i64, which: impl Fn(&Schedule) -> bool) -> Result<(), DbError> {
        let these = || self.schedules.iter().filter(|schedule| which(schedule));
        let names = these().map(|schedule| schedule.settings.name.to_string()).collect();
        let rules = these().map(|schedule| schedule.rule.clone()).collect();
        self.upkeep.adopt_schedules(names, rules, me).await
    }
}

impl Schedule {
    /// Whether the daemon whose rule it is has left it to us: of those with its rule to the first, of others
    /// only once there is none of these.
    fn may_take(&self, row: &ScheduleRow) -> bool {
        match row.hold {
            Hold::Held => false,
            Hold::Left => row.rule == self.rule,
            Hold::Free => true,
        }
    }

    /// Does what is due of it.
    async fn catch_up(
        &mut self,
        upkeep: &Upkeep,
        row: &ScheduleRow,
        round: &mut Round,
    ) -> Result<(), DbError> {
        let now = round.now;
        if row.done_until.0 - now.0 > AHEAD_SECONDS {
            self.stand("ahead", row.done_until, None);
        } else if self.stands != Some("refused") {
            self.stands = None;
        }
        let Some(due) = self.settings.rule.due(self.settings.catch_up, row.done_until, now) else {
            return Ok(());
        };
        let mut from = (row.done_until, row.last_job);
        let fires = !due.fire.is_empty();
        let steps = if fires { due.fire } else { vec![due.last] };
        for (at, to) in steps.into_iter().enumerate() {
            if round.steps_left == 0 {
                return Ok(());
            }
            round.steps_left -= 1;
            let tracer = self.tracer.as_ref().filter(|_| fires);
            let sending =
                tracer.map(|tracer| tracer.sending(&Origin::default(), &self.settings.queue));
            let sending = sending.as_ref();
            let step = Step { schedule: &self.settings, from, to, fires, sending };
            let stepped = upkeep.step_schedule(step).await;
            if let Some(sending) = sending {
                end(sending, &stepped);
            }
            let stepped = match stepped {
                Err(error) if error.blames_the_rows() => {
                    self.stand("refused", to, Some(&error));
                    round.again = true;
                    return Ok(());
                }
                stepped => stepped?,
            };
            if stepped == Stepped::Elsewhere {
                round.again = true;
                return Ok(());
            }
            self.stands = None;
            if at == 0 && due.missed > 0 {
                self.missed(due.missed, to);
            }
            self.tell(stepped, to);
            let job = if let Stepped::Enqueued(job) = stepped { Some(job.0) } else { from.1 };
            from = (to, job);
        }
        Ok(())
    }

    fn tell(&mut self, stepped: Stepped, at: Moment) {
        let ScheduleSettings { name, kind, queue, .. } = &self.settings;
        match stepped {
            Stepped::Enqueued(job) => {
                self.overlapped = false;
                self.metrics.enqueued();
                tracing::info!(
                    event = events::SCHEDULE_FIRED,
                    schedule.name = %name,
                    schedule.instant = %at,
                    job.id = job.0,
                    job.kind = %kind,
                    job.queue = %queue,
                    "a schedule's job is enqueued"
                );
            }
            Stepped::Overlapped => {
                self.metrics.overlapped();
                // Each counts; the first of a row is told of.
                if !std::mem::replace(&mut self.overlapped, true) {
                    tracing::warn!(
                        event = events::SCHEDULE_SKIPPED,
                        schedule.name = %name,
                        schedule.instant = %at,
                        reason = "overlap",
                        instants = 1,
                        "a schedule's job is unfinished, and its instants pass until it is"
                    );
                }
            }
            Stepped::Passed | Stepped::Elsewhere => {}
        }
    }

    fn missed(&self, instants: usize, until: Moment) {
        self.metrics.missed(instants);
        tracing::warn!(
            event = events::SCHEDULE_SKIPPED,
            schedule.name = %self.settings.name,
            schedule.instant = %until,
            reason = "missed",
            instants,
            "instants of a schedule passed while no daemon looked"
        );
    }

    /// Says once why it does nothing.
    fn stand(&mut self, reason: &'static str, at: Moment, error: Option<&DbError>) {
        if self.stands.replace(reason) == Some(reason) {
            return;
        }
        let error = error.map(|error| error as &dyn std::error::Error);
        tracing::warn!(
            event = events::SCHEDULE_STANDS,
            schedule.name = %self.settings.name,
            schedule.instant = %at,
            reason,
            error,
            "a schedule does nothing"
        );
    }
}

/// Ends the span of a job, if there is one now.
fn end(sending: &Sending, stepped: &Result<Stepped, DbError>) {
    match stepped {
        Ok(Stepped::Enqueued(job)) => sending.sent(*job),
        Ok(Stepped::Elsewhere | Stepped::Overlapped | Stepped::Passed) => sending.forget(),
        Err(error) => sending.failed(error.sqlstate().as_deref().unwrap_or("no_answer")),
    }
}

/// How long it is from now until then.
#[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
fn until(then: Moment, now: f64) -> Duration {
    Duration::try_from_secs_f64((then.0 as f64 - now).max(0.0)).unwrap_or(PAUSE_MAX)
}
