//! Whether the daemon lives and is ready, from memory alone.
//!
//! The rooms report here; probes read here. Nothing on this path asks the database, so a probe
//! answers while the database is down. Liveness depends on the supervisor's tick and on nothing
//! else: it fails only where a restart would help. Readiness names every reason it fails for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many intervals the supervisor's tick may be late before the daemon counts as hung.
pub const TICKS_BEFORE_DEAD: u32 = 3;

/// Where the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet claiming.
    Starting,
    /// Claims and runs jobs.
    Ready,
    /// Stops; no longer claims.
    Draining,
    /// Has stopped.
    Stopped,
}

impl Phase {
    /// The word that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of one check at the moment of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which check.
    pub name: &'static str,
    /// Why it fails; nothing where it is well.
    pub failing: Option<String>,
}

/// The daemon's health. Shared by `Arc`.
#[derive(Debug)]
pub struct Health {
    tick_interval: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    ticked: Instant,
    checks: Vec<Arc<State>>,
    warnings: BTreeMap<&'static str, String>,
}

impl Health {
    /// A daemon that starts now, whose supervisor promises a [`Health::tick`] each `tick_interval`.
    pub fn new(tick_interval: Duration) -> Arc<Self> {
        let inner = Inner {
            phase: Phase::Starting,
            ticked: Instant::now(),
            checks: Vec::new(),
            warnings: BTreeMap::new(),
        };
        Arc::new(Self { tick_interval, inner: Mutex::new(inner) })
    }

    /// A check that fails until it is first reported well, and again whenever its room says so.
    pub fn check(&self, name: &'static str) -> Check {
        self.add(name, None)
    }

    /// A check that also fails when nothing was reported for `max_age`: for loops, which can hang.
    pub fn fresh_check(&self, name: &'static str, max_age: Duration) -> Check {
        self.add(name, Some(max_age))
    }

    fn add(&self, name: &'static str, max_age: Option<Duration>) -> Check {
        let failing = Some("nothing reported yet".into());
        let report = Report { at: Instant::now(), failing, told: None };
        let state = Arc::new(State { name, max_age, report: Mutex::new(report) });
        self.inner().checks.push(Arc::clone(&state));
        Check(state)
    }

    /// Something that people should look at and that is no reason to send the daemon no jobs; nothing
    /// takes it back. Text without secrets.
    pub fn warn(&self, about: &'static str, warning: Option<String>) {
        let warnings = &mut self.inner().warnings;
        match warning {
            Some(warning) => drop(warnings.insert(about, warning)),
            None => drop(warnings.remove(about)),
        }
    }

    /// What people should look at, each with what it is about.
    pub fn warnings(&self) -> BTreeMap<&'static str, String> {
        self.inner().warnings.clone()
    }

    /// The supervisor's loop went round.
    pub fn tick(&self) {
        self.inner().ticked = Instant::now();
    }

    /// The daemon's life went on. It never goes back.
    pub fn enter(&self, phase: Phase) {
        let mut inner = self.inner();
        inner.phase = inner.phase.max(phase);
    }

    /// Where the daemon is.
    pub fn phase(&self) -> Phase {
        self.inner().phase
    }

    /// Why the daemon should be restarted; nothing where it lives.
    pub fn dead(&self) -> Option<String> {
        let age = self.inner().ticked.elapsed();
        let limit = self.tick_interval * TICKS_BEFORE_DEAD;
        let late = || format!("the supervisor last ticked {:.1} s ago", age.as_secs_f64());
        (age > limit).then(late)
    }

    /// Whether the daemon has started.
    pub fn started(&self) -> bool {
        self.phase() > Phase::Starting
    }

    /// Every check as it stands, in the order of registration.
    pub fn checks(&self) -> Vec<Checked> {
        self.inner().checks.iter().map(|state| state.checked()).collect()
    }

    /// Whether the daemon takes jobs: it is in its ready phase and no check fails.
    pub fn ready(&self) -> bool {
        self.phase() == Phase::Ready && self.checks().iter().all(|check| check.failing.is_none())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    name: &'static str,
    max_age: Option<Duration>,
    report: Mutex<Report>,
}

#[derive(Debug)]
struct Report {
    at: Instant,
    failing: Option<String>,
    /// Whether the log last said that it is well; nothing where it has said neither.
    told: Option<bool>,
}

impl State {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checked(&self) -> Checked {
        let report = self.report();
        let age = report.at.elapsed();
        let stale = self.max_age.is_some_and(|max| age > max);
        let failing = match &report.failing {
            None if stale => Some(format!("nothing reported for {:.1} s", age.as_secs_f64())),
            failing => failing.clone(),
        };
        Checked { name: self.name, failing }
    }
}

/// The handle by which a room reports one check.
#[derive(Debug, Clone)]
pub struct Check(Arc<State>);

impl Check {
    /// It is well.
    pub fn ok(&self) {
        self.say(None);
    }

    /// It fails, for this reason. Text without secrets: probes show it to anybody.
    pub fn failing(&self, reason: impl Into<String>) {
        self.say(Some(&reason.into()));
    }

    /// Each change is one line; that the reason of a failure is another is none.
    fn say(&self, failing: Option<&str>) {
        let mut report = self.0.report();
        let told = report.told.replace(failing.is_none());
        report.at = Instant::now();
        report.failing = failing.map(str::to_owned);
        drop(report);
        let (event, check) = (super::events::HEALTH_CHANGED, self.0.name);
        match (told, failing) {
            (None | Some(true), Some(reason)) => {
                tracing::warn!(event, check, reason, "readiness: {check} failed: {reason}");
            }
            (None, None) => tracing::info!(event, check, "readiness: {check} is well"),
            (Some(false), None) => {
                tracing::info!(event, check, "readiness: {check} is well again");
            }
            (Some(true), None) | (Some(false), Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_a_late_tick_ends_liveness() {
        let health = Health::new(SECOND);
        health.check("pool").failing("the database is down");
        health.enter(Phase::Draining);
        tokio::time::advance(3 * SECOND).await;
        assert_eq!(health.dead(), None);
        tokio::time::advance(SECOND).await;
        assert_eq!(health.dead().as_deref(), Some("the supervisor last ticked 4.0 s ago"));
        health.tick();
        assert_eq!(health.dead(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_is_ready_once_every_check_was_reported_well() {
        let health = Health::new(SECOND);
        let (pool, listener) = (health.check("pool"), health.check("listener"));
        health.enter(Phase::Ready);
        pool.ok();
        assert!(!health.ready(), "the listener hasn't reported yet");
        listener.ok();
        assert!(health.ready());
        pool.failing("refused");
        let reasons: Vec<_> = health.checks().into_iter().filter_map(|c| c.failing).collect();
        assert_eq!((health.ready(), reasons), (false, vec!["refused".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_no_longer_reports_fails_its_check() {
        let health = Health::new(SECOND);
        let claimers = health.fresh_check("claimers", 2 * SECOND);
        health.enter(Phase::Ready);
        claimers.ok();
        tokio::time::advance(2 * SECOND).await;
        assert!(health.ready());
        tokio::time::advance(SECOND).await;
        let failing = health.checks().remove(0).failing;
        assert_eq!(failing.as_deref(), Some("nothing reported for 3.0 s"));
    }

    #[tokio::test]
    async fn life_never_goes_back() {
        let health = Health::new(SECOND);
        health.enter(Phase::Draining);
        health.enter(Phase::Ready);
        assert_eq!(health.phase(), Phase::Draining);
        assert!(health.started() && !health.ready());
    }
}
