//! Histories made by hand, told as what happened: `Story::plain().runs("u1", "d1").killed("d1")`.
//!
//! A story keeps a model of the rows, so that each change follows from the one before as it would
//! in the database, and a test bends just the one thing that it is about. It has no opinion on what
//! may happen.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, Rule, Violation, check};
use crate::chaos::history::{Event, History, JobAtEnd, Op, Outcome, State, Transition, Verb};

/// A history in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    history: History,
    /// The newest change of each uid's row.
    rows: BTreeMap<String, Transition>,
    /// Boot ids of daemons, and those which were declared dead.
    boots: BTreeMap<String, i64>,
    dead: BTreeSet<i64>,
    reasons: BTreeMap<String, String>,
    at_end: Vec<(String, Bend)>,
    vanished: BTreeSet<String>,
    /// The database's clock, in microseconds.
    now_us: i64,
}

/// What a test does to a job's end.
type Bend = fn(&mut JobAtEnd);

/// What every job of a story may be tried.
const MAX_ATTEMPTS: u16 = 5;

impl Story {
    /// Two daemons, d1 and d2, and a job, u1, that was acknowledged.
    pub(super) fn plain() -> Self {
        Self::default().started_again("d1").started_again("d2").enqueued("u1")
    }

    /// What it comes to.
    pub(super) fn history(&self) -> History {
        let mut jobs: Vec<JobAtEnd> = Vec::new();
        for (key, row) in self.rows.iter().filter(|(key, _)| !self.vanished.contains(*key)) {
            // A row that left the live table and didn't come into history is nowhere.
            let Some(state) = row.to else { continue };
            let (job, attempt, token) = (row.job, row.attempt, row.token);
            let (uid, reason) = (row.uid.clone(), self.reasons.get(key).cloned());
            jobs.push(JobAtEnd { job, uid, state, reason, attempt, token });
        }
        for (uid, bend) in &self.at_end {
            bend(jobs.iter_mut().find(|job| job.uid == *uid).expect("a job of the story"));
        }
        History { jobs, ..self.history.clone() }
    }

    pub(super) fn report(&self) -> Report {
        check(&self.history())
    }

    /// Fails unless the checker says so of this rule.
    pub(super) fn breaks(&self, rule: Rule, says: &str) {
        let report = self.report();
        let said = |violation: &&Violation| violation.rule == rule && violation.says.contains(says);
        let found = report.violations.iter().find(said);
        assert!(
            found.is_some(),
            "{rule:?} should say {says:?}, and here is what is said:\n{report}"
        );
    }

    /// Fails if the checker finds anything.
    pub(super) fn keeps_every_rule(&self) {
        let report = self.report();
        assert!(report.violations.is_empty(), "{report}");
    }

    fn event(mut self, event: Event) -> Self {
        self.history.events.push(event);
        self
    }
}

/// Producers.
impl Story {
    pub(super) fn invoked(self, uid: &str) -> Self {
        self.event(Event::Invoke { uid: uid.to_owned(), max_attempts: MAX_ATTEMPTS })
    }

    pub(super) fn enqueued(self, uid: &str) -> Self {
        self.invoked(uid).inserted(uid).event(Event::Ok { uid: uid.to_owned() })
    }

    /// Without a row.
    pub(super) fn acknowledged(self, uid: &str) -> Self {
        self.invoked(uid).event(Event::Ok { uid: uid.to_owned() })
    }

    pub(super) fn rolled_back(self, uid: &str) -> Self {
        self.invoked(uid).event(Event::Fail { uid: uid.to_owned() })
    }

    pub(super) fn cut_at_commit(self, uid: &str) -> Self {
        self.invoked(uid).event(Event::Unknown { uid: uid.to_owned() })
    }

    /// The row alone.
    pub(super) fn inserted(self, uid: &str) -> Self {
        let job = 100 + i64::try_from(self.rows.len()).expect("a short story");
        let row = Transition {
            seq: 0,
            job,
            uid: uid.to_owned(),
            op: Op::Insert,
            from: None,
            to: Some(State::Available),
            token_before: None,
            token: 0,
            holder_before: None,
            holder: None,
            holder_died: None,
            attempt: 0,
            rescues: 0,
            snoozes: 0,
            result_token: None,
            at_us: 0,
        };
        self.noted(row)
    }

    /// A second row of an enqueue.
    pub(super) fn inserted_again(mut self, uid: &str) -> Self {
        let twin = Transition { job: 500, seq: self.next_seq(), ..self.row(uid).clone() };
        self.rows.insert(format!("{uid} again"), twin.clone());
        self.history.transitions.push(twin);
        self
    }
}

/// Rows.
impl Story {
    fn next_seq(&self) -> i64 {
        i64::try_from(self.history.transitions.len()).expect("a short story") + 10
    }

    fn noted(mut self, mut row: Transition) -> Self {
        self.now_us += 1000;
        (row.seq, row.at_us) = (self.next_seq(), self.now_us);
        self.rows.insert(row.uid.clone(), row.clone());
        self.history.transitions.push(row);
        self
    }

    fn row(&self, uid: &str) -> &Transition {
        self.rows.get(uid).expect("a job of the story")
    }

    /// The next change of a row, which `how` makes of the one before.
    pub(super) fn changed(self, uid: &str, how: impl FnOnce(&mut Transition)) -> Self {
        let before = self.row(uid).clone();
        let holder_died = before.holder.map(|holder| self.dead.contains(&holder));
        let mut row = Transition {
            op: Op::Update,
            from: before.to,
            token_before: Some(before.token),
            holder_before: before.holder,
            holder_died,
            ..before
        };
        how(&mut row);
        self.noted(row)
    }

    /// Bends the newest change.
    pub(super) fn last_change(mut self, how: impl FnOnce(&mut Transition)) -> Self {
        let last = self.history.transitions.last_mut().expect("a change");
        let uid = last.uid.clone();
        how(last);
        let bent = last.clone();
        if let Some(row) = self.rows.get_mut(&uid) {
            *row = bent;
        }
        self
    }

    /// Takes the newest change out of the record.
    pub(super) fn last_change_unseen(mut self) -> Self {
        self.history.transitions.pop();
        self
    }

    /// Takes every change out of the record.
    pub(super) fn unseen_by_the_trigger(mut self) -> Self {
        self.history.transitions.clear();
        self
    }

    pub(super) fn claimed(self, uid: &str, daemon: &str) -> Self {
        let boot = self.boots.get(daemon).copied();
        self.changed(uid, |row| {
            row.token += 1;
            row.holder = boot;
            row.to = Some(State::Running);
        })
    }

    pub(super) fn promoted(self, uid: &str) -> Self {
        self.changed(uid, |row| row.to = Some(State::Available))
    }

    pub(super) fn retried(self, uid: &str) -> Self {
        self.given_back(uid, |row| {
            row.to = Some(State::Retryable);
            row.attempt += 1;
        })
    }

    pub(super) fn snoozed(self, uid: &str) -> Self {
        self.given_back(uid, |row| {
            row.to = Some(if row.attempt > 0 { State::Retryable } else { State::Scheduled });
            row.snoozes += 1;
        })
    }

    pub(super) fn released(self, uid: &str) -> Self {
        self.given_back(uid, |_| {})
    }

    pub(super) fn rescued(self, uid: &str) -> Self {
        self.given_back(uid, |row| {
            row.attempt += 1;
            row.rescues += 1;
        })
    }

    fn given_back(self, uid: &str, how: impl FnOnce(&mut Transition)) -> Self {
        self.changed(uid, |row| {
            row.holder = None;
            row.to = Some(State::Available);
            how(row);
        })
    }

    pub(super) fn asked_to_stop(self, uid: &str) -> Self {
        self.changed(uid, |_| {})
    }

    /// Into history, by the result of the current lease.
    pub(super) fn completed(self, uid: &str) -> Self {
        let token = self.row(uid).token;
        self.completed_by(uid, Some(token))
    }

    /// Into history, by a result that names this token.
    pub(super) fn completed_by(self, uid: &str, token: Option<i64>) -> Self {
        self.finished(uid, State::Completed, 1).last_change(|row| row.result_token = token)
    }

    /// Charged where a handler decided it.
    pub(super) fn discarded(mut self, uid: &str, reason: &str) -> Self {
        self.reasons.insert(uid.to_owned(), reason.to_owned());
        let refused = matches!(reason, "rescues_exhausted" | "expired")
            || (reason == "attempts_exhausted" && !self.ran(uid));
        self.finished(uid, State::Discarded, i64::from(!refused))
    }

    fn ran(&self, uid: &str) -> bool {
        let row = self.row(uid);
        let current = |event: &Event| matches!(event, Event::Start { job, token, .. } if (*job, *token) == (row.job, row.token));
        self.history.events.iter().any(current)
    }

    pub(super) fn cancelled(self, uid: &str) -> Self {
        self.finished(uid, State::Cancelled, 0)
    }

    fn finished(self, uid: &str, state: State, charge: i64) -> Self {
        let gone = self.changed(uid, |row| {
            row.op = Op::Delete;
            row.to = None;
        });
        gone.changed(uid, |row| {
            row.op = Op::Finished;
            (row.from, row.to) = (None, Some(state));
            (row.token_before, row.holder_before, row.holder_died) = (None, None, None);
            row.attempt += charge;
        })
    }

    pub(super) fn redriven(self, uid: &str) -> Self {
        self.changed(uid, |row| {
            row.op = Op::Insert;
            (row.from, row.to) = (None, Some(State::Available));
            (row.token_before, row.holder_before, row.holder_died) = (None, None, None);
            (row.holder, row.attempt, row.rescues, row.snoozes) = (None, 0, 0, 0);
            row.result_token = None;
        })
    }

    /// Neither live nor in history at the end.
    pub(super) fn vanishes(mut self, uid: &str) -> Self {
        self.vanished.insert(uid.to_owned());
        self
    }

    /// Bends how a job stands at the end.
    pub(super) fn at_end(mut self, uid: &str, bend: Bend) -> Self {
        self.at_end.push((uid.to_owned(), bend));
        self
    }
}

/// Handlers.
impl Story {
    /// A start under the newest lease, even where that was lost meanwhile.
    pub(super) fn starts(self, uid: &str) -> Self {
        let mut changes = self.history.transitions.iter().rev().filter(|change| change.uid == uid);
        let claim = changes.find(|change| change.to == Some(State::Running)).expect("a claim");
        let mut boots = self.boots.iter();
        let daemon = boots.find(|(_, boot)| Some(**boot) == claim.holder).expect("a daemon").0;
        let (token, attempt, daemon) = (claim.token, claim.attempt + 1, daemon.clone());
        self.starts_as(uid, token, attempt, &daemon)
    }

    pub(super) fn starts_as(self, uid: &str, token: i64, attempt: i64, daemon: &str) -> Self {
        let job = self.rows.get(uid).map_or(999, |row| row.job);
        let (uid, daemon) = (uid.to_owned(), daemon.to_owned());
        self.event(Event::Start { uid, job, token, attempt, daemon })
    }

    /// An end under the current token.
    pub(super) fn says(self, uid: &str, outcome: Outcome) -> Self {
        let token = self.row(uid).token;
        self.says_as(uid, token, outcome)
    }

    pub(super) fn says_as(self, uid: &str, token: i64, outcome: Outcome) -> Self {
        let (job, uid) = (self.row(uid).job, uid.to_owned());
        self.event(Event::End { uid, job, token, outcome })
    }

    /// Claimed and started.
    pub(super) fn runs(self, uid: &str, daemon: &str) -> Self {
        self.claimed(uid, daemon).starts(uid)
    }

    /// Claimed, started, ended, and the verdict written.
    pub(super) fn does(self, uid: &str, daemon: &str, outcome: Outcome) -> Self {
        let ended = self.runs(uid, daemon).says(uid, outcome);
        match outcome {
            Outcome::Ok => ended.completed(uid),
            Outcome::Retry => ended.retried(uid),
            Outcome::Snooze => ended.snoozed(uid),
            Outcome::Discard => ended.discarded(uid, "permanent_error"),
        }
    }
}

/// The driver.
impl Story {
    fn fault(self, verb: Verb, daemon: Option<&str>) -> Self {
        self.event(Event::Fault { verb, daemon: daemon.map(str::to_owned), boot: None })
    }

    /// A process of this name, under a boot id of its own.
    pub(super) fn started_again(mut self, daemon: &str) -> Self {
        let boot = i64::try_from(self.history.events.len()).expect("a short story") + 1000;
        self.boots.insert(daemon.to_owned(), boot);
        self.fault(Verb::Start, Some(daemon))
    }

    pub(super) fn sent(self, daemon: &str, signal: Verb) -> Self {
        self.fault(signal, Some(daemon))
    }

    /// Killed, and seen dead.
    pub(super) fn killed(self, daemon: &str) -> Self {
        self.sent(daemon, Verb::Sigkill).exits(daemon, None)
    }

    pub(super) fn stopped(self, daemon: &str) -> Self {
        self.sent(daemon, Verb::Sigstop)
    }

    /// It goes on as who it was; what it finds out about its lease is no part of the story.
    pub(super) fn continued(self, daemon: &str) -> Self {
        self.sent(daemon, Verb::Sigcont)
    }

    pub(super) fn told_to_stop(self, daemon: &str) -> Self {
        self.sent(daemon, Verb::Sigterm)
    }

    pub(super) fn exits(self, daemon: &str, code: Option<i32>) -> Self {
        self.exits_in(daemon, code, 100, 4000)
    }

    pub(super) fn exits_in(
        self,
        daemon: &str,
        code: Option<i32>,
        took_ms: u64,
        bound_ms: u64,
    ) -> Self {
        let daemon = daemon.to_owned();
        self.event(Event::Exit { daemon, boot: None, code, took_ms, bound_ms })
    }

    /// To every daemon's sessions.
    pub(super) fn postgres(self, verb: Verb) -> Self {
        self.fault(verb, None)
    }

    /// Its row has `died_at`.
    pub(super) fn declared_dead(mut self, daemon: &str) -> Self {
        self.dead.extend(self.boots.get(daemon));
        self
    }

    /// Ten seconds pass.
    pub(super) fn later(mut self) -> Self {
        self.now_us += 10_000_000;
        self
    }

    pub(super) fn drained(self) -> Self {
        self.event(Event::Drained {})
    }
}
