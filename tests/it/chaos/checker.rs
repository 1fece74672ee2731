//! Says which promises a run broke: a pure function of its [`History`].
//!
//! Each rule is a file of its own, with histories made by hand that keep it and such that break it;
//! `docs/chaos.md` explains them in the order below. The checker knows what producers, handlers and
//! the driver wrote down and what a trigger saw, and nothing that a daemon says of itself, so it
//! can't believe a bug. It doesn't look for the reason of a violation: it shows the lines.

mod attempts;
mod counts;
mod duplicates;
mod fencing;
mod harm;
mod lost;
mod moves;
mod overlap;
mod quiet;
mod record;
mod shutdown;
mod story;
mod transitions;
mod unexpected;
mod view;

use std::collections::BTreeSet;
use std::fmt;

use self::counts::Counts;
use self::view::View;
use super::history::History;

/// What a run is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    Record,
    Lost,
    Unexpected,
    Duplicates,
    Overlap,
    Fencing,
    Transitions,
    Attempts,
    Shutdown,
    QuietEnd,
}

impl Rule {
    /// Every rule, in the order of reports and of `docs/chaos.md`.
    #[cfg(test)]
    const ALL: [Self; 10] = [
        Self::Record,
        Self::Lost,
        Self::Unexpected,
        Self::Duplicates,
        Self::Overlap,
        Self::Fencing,
        Self::Transitions,
        Self::Attempts,
        Self::Shutdown,
        Self::QuietEnd,
    ];

    /// Its name, in reports and in `docs/chaos.md`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Lost => "lost",
            Self::Unexpected => "unexpected",
            Self::Duplicates => "duplicates",
            Self::Overlap => "overlap",
            Self::Fencing => "fencing",
            Self::Transitions => "transitions",
            Self::Attempts => "attempts",
            Self::Shutdown => "shutdown",
            Self::QuietEnd => "quiet end",
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub rule: Rule,
    /// Whom it concerns: a job with its uid, a daemon, or the whole run.
    pub about: String,
    /// What is wrong, as a sentence.
    pub says: String,
    /// The lines that show it, each with its file and number.
    pub evidence: Vec<String>,
}

/// What the checker has to say about a run.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub violations: Vec<Violation>,
    pub counts: Counts,
}

/// Holds a run to every rule.
pub(crate) fn check(history: &History) -> Report {
    let view = View::of(history);
    let rules = [
        record::violations,
        lost::violations,
        unexpected::violations,
        duplicates::violations,
        overlap::violations,
        fencing::violations,
        transitions::violations,
        attempts::violations,
        shutdown::violations,
        quiet::violations,
    ];
    let violations = rules.iter().flat_map(|rule| rule(&view)).collect();
    Report { violations, counts: Counts::of(&view) }
}

impl Report {
    /// The rules that were broken.
    pub(crate) fn broken(&self) -> BTreeSet<Rule> {
        self.violations.iter().map(|violation| violation.rule).collect()
    }
}

/// How many violations of one rule are printed: one bug breaks a rule for many jobs, and the first
/// of them tell it.
const SHOWN_MAX: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in self.broken() {
            let of_rule = || self.violations.iter().filter(|violation| violation.rule == rule);
            for violation in of_rule().take(SHOWN_MAX) {
                writeln!(f, "{violation}")?;
            }
            let hidden = of_rule().count().saturating_sub(SHOWN_MAX);
            if hidden > 0 {
                writeln!(f, "{}: and {hidden} more\n", rule.name())?;
            }
        }
        match self.violations.len() {
            0 => writeln!(f, "no violation")?,
            1 => writeln!(f, "1 violation")?,
            many => writeln!(f, "{many} violations")?,
        }
        write!(f, "{}", self.counts)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}: {}", self.rule.name(), self.about, self.says)?;
        self.evidence.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{Event, Outcome, Verb};
    use super::story::Story;
    use super::*;

    /// A run with something of everything.
    fn eventful() -> Story {
        let failed = Story::plain().enqueued("u2").enqueued("u3").rolled_back("u4");
        let failed = failed.cut_at_commit("u5").inserted("u5").does("u1", "d1", Outcome::Retry);
        let killed = failed.runs("u2", "d1").killed("d1").declared_dead("d1").rescued("u2");
        let stopped = killed.started_again("d1").runs("u3", "d2").told_to_stop("d2").released("u3");
        let back = stopped.exits("d2", Some(0)).promoted("u1").does("u1", "d1", Outcome::Ok);
        let cut = back.does("u2", "d1", Outcome::Snooze).promoted("u2").postgres(Verb::PgRestart);
        let done = cut.does("u2", "d1", Outcome::Ok).does("u3", "d1", Outcome::Ok);
        done.does("u5", "d1", Outcome::Discard).drained()
    }

    #[test]
    fn an_eventful_run_that_broke_nothing_is_clean_and_counted() {
        let report = eventful().report();
        insta::assert_snapshot!(report, @r"
        no violation
        enqueues: 3 acknowledged, 1 rolled back, 1 unknown of which 1 exist
        runs: 8, interrupted 1, lease_lost 1, retry 1, snooze 1
        leases: 1 rescued, 1 released, 0 results came to nothing, 0 overlaps after a rescue
        faults: pg_restart 1 sigkill 1 sigterm 1 start 3
        slowest stop: 100 ms
        ");
    }

    #[test]
    fn a_violation_reads_as_a_sentence_with_the_lines_that_show_it() {
        let story = Story::plain().runs("u1", "d1").says("u1", Outcome::Ok).declared_dead("d1");
        let story = story.rescued("u1").told_to_stop("d1").exits("d1", Some(0));
        let report = story.does("u1", "d2", Outcome::Ok).drained().report();
        insta::assert_snapshot!(report.violations[0], @r#"
        duplicates: job 100 (u1): it ran again under token 2: it was rescued, and nothing had happened to its daemon
            events.jsonl:5 {"e":"start","uid":"u1","job":100,"token":1,"attempt":1,"daemon":"d1"}
            events.jsonl:6 {"e":"end","uid":"u1","job":100,"token":1,"outcome":"ok"}
            events.jsonl:7 {"e":"fault","verb":"sigterm","daemon":"d1","boot":null}
            events.jsonl:8 {"e":"exit","daemon":"d1","boot":null,"code":0,"took_ms":100,"bound_ms":4000}
            events.jsonl:9 {"e":"start","uid":"u1","job":100,"token":2,"attempt":2,"daemon":"d2"}
            events.jsonl:10 {"e":"end","uid":"u1","job":100,"token":2,"outcome":"ok"}
            transitions.jsonl:3 {"seq":12,"job":100,"uid":"u1","op":"update","from":"running","to":"available","token_before":1,"token":1,"holder_before":1000,"holder":null,"holder_died":true,"attempt":1,"rescues":1,"snoozes":0,"result_token":null,"at_us":3000}
        "#);
    }

    #[test]
    fn the_page_has_a_row_for_each_rule_and_each_cause() {
        let page = include_str!("../../../docs/chaos.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let rules = Rule::ALL.map(Rule::name);
        let causes = duplicates::Cause::ALL.map(duplicates::Cause::name);
        for name in rules.into_iter().chain(causes) {
            let named = |row: &&&str| {
                row.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{name}`")))
            };
            assert_eq!(rows.iter().filter(named).count(), 1, "{name}");
        }
    }

    #[test]
    fn of_one_rule_only_so_many_violations_are_printed() {
        let uids: Vec<String> = (10..25).map(|number| format!("u{number}")).collect();
        let story = uids.iter().fold(Story::plain(), |story, uid| story.acknowledged(uid));
        let printed = story.report().to_string();
        assert_eq!(printed.matches("there is no trace of it").count(), SHOWN_MAX);
        assert!(printed.contains("lost: and 5 more"), "{printed}");
    }

    /// What nobody misses: producers don't know without their answer, a job that was rolled back
    /// left no other trace, nor did a handler that was killed or interrupted, and here Postgres's
    /// restart was of no account.
    fn is_spared(gone: &Event, rest: &History) -> bool {
        match gone {
            Event::Ok { .. } | Event::Unknown { .. } | Event::Fail { .. } => true,
            Event::Fault { verb, .. } => *verb == Verb::PgRestart,
            Event::Invoke { uid, .. } => uid == "u4",
            Event::Start { job, token, .. } => {
                let ours = |(j, t): (&i64, &i64)| (j, t) == (job, token);
                let ends = |event: &Event| matches!(event, Event::End { job, token, .. } if ours((job, token)));
                !rest.events.iter().any(ends)
            }
            Event::Exit { code, .. } => code.is_none(),
            Event::End { .. } | Event::Drained {} => false,
        }
    }

    #[test]
    fn a_record_that_lacks_a_line_is_not_clean() {
        let whole = eventful().history();
        let clean = |history: &History| check(history).violations.is_empty();
        assert!(clean(&whole), "{}", check(&whole));
        for at in 0..whole.events.len() {
            let mut history = whole.clone();
            let gone = history.events.remove(at);
            let clean = clean(&history);
            assert_eq!(clean, is_spared(&gone, &history), "without line {}: {gone:?}", at + 1);
        }
        for at in 0..whole.transitions.len() {
            let mut history = whole.clone();
            let gone = history.transitions.remove(at);
            assert!(!clean(&history), "without {gone:?}");
        }
        for at in 0..whole.jobs.len() {
            let mut history = whole.clone();
            let gone = history.jobs.remove(at);
            assert!(!clean(&history), "without {gone:?}");
        }
    }
}
