//! The samples: one of everything that can become of a job, and how each should end.

use crate::{
    config::{
        CommandSettings, Egress, FunctionName, HandlerSettings, HttpSettings, KindSettings,
        ScheduleSettings, SqlSettings,
    },
    job::{Backoff, KindName, QueueName, ScheduleName, State},
    postgres::{ObservedJob, enqueue::NewJob},
    schedule::{CatchUp, Overlap, Rule},
};
use std::{net::SocketAddr, time::Duration};
use time::OffsetDateTime;

/// A job that the demo enqueues.
pub(super) struct Sample {
    /// Which; its job carries it as a tag.
    pub(super) name: String,
    kind: &'static str,
    payload: &'static str,
    /// From now.
    delay: Option<Duration>,
    /// How it should end.
    pub(super) ends: State,
    /// Charged attempts that it should have by then.
    pub(super) attempts: i16,
}

/// The tag of the sample that the demo cancels once it runs.
const CANCELLED: &str = "cancelled";

/// The kind that the demo's schedule enqueues each second.
pub(super) const TICK: &str = "tick";

/// Kinds that are programs; their jobs have a queue of their own, so that there are two to watch.
const PROGRAMS: [&str; 2] = ["echo", "fails"];

impl Sample {
    /// Its row; the schedule's sample is enqueued by the daemon.
    pub(super) fn job(&self) -> Option<NewJob> {
        (self.kind != TICK).then(|| NewJob {
            payload: Some(self.payload.into()),
            tags: vec![self.name.clone()],
            queue: PROGRAMS.contains(&self.kind).then(programs),
            run_at: self.delay.map(|delay| OffsetDateTime::now_utc() + delay),
            ..NewJob::new(kind(self.kind))
        })
    }

    /// Whether this is its row.
    fn has(&self, row: &ObservedJob) -> bool {
        row.tags.contains(&self.name) || (self.kind == TICK && row.kind == TICK)
    }
}

/// A name that is known to be one.
pub(super) fn kind(name: &str) -> KindName {
    KindName::new(name).unwrap_or_else(|error| unreachable!("{name}: {error}"))
}

/// The queue of the programs.
pub(super) fn programs() -> QueueName {
    QueueName::new("programs").unwrap_or_else(|error| unreachable!("programs: {error}"))
}

/// Every sample.
pub(super) fn all() -> Vec<Sample> {
    let sample = |name: &str, kind, payload, ends, attempts| Sample {
        name: name.into(),
        kind,
        payload,
        delay: None,
        ends,
        attempts,
    };
    let mut samples: Vec<_> = (1..=20)
        .map(|n| sample(&format!("plain {n}"), "noop", "{}", State::Completed, 1))
        .collect();
    samples.extend([
        sample("a program", "echo", r#"{"hello":"world"}"#, State::Completed, 1),
        sample("a program that fails", "fails", "{}", State::Discarded, 2),
        sample("a webhook", "order", r#"{"order":17}"#, State::Completed, 1),
        sample("a webhook that is busy", "busy", "{}", State::Completed, 1),
        sample("a webhook that is gone", "gone", "{}", State::Discarded, 1),
        sample("a function", "book", r#"{"amount":3}"#, State::Completed, 1),
        sample("a function that refuses", "book", r#"{"amount":-1}"#, State::Discarded, 1),
        sample("some work", "sleep", r#"{"seconds":1}"#, State::Completed, 1),
        sample("flaky", "flaky", "{}", State::Completed, 2),
        sample("panics", "panics", "{}", State::Discarded, 2),
        sample("put off once", "not_yet", "{}", State::Completed, 1),
        sample("bad payload", "picky", r#"{"order":"none"}"#, State::Discarded, 1),
        sample("too slow", "too_slow", r#"{"seconds":600}"#, State::Discarded, 2),
        sample(CANCELLED, "sleep", r#"{"seconds":600}"#, State::Cancelled, 0),
        sample("nobody serves it", "unserved", "{}", State::Available, 0),
    ]);
    let scheduled = sample("in two seconds", "noop", "{}", State::Completed, 1);
    samples.push(Sample { delay: Some(Duration::from_secs(2)), ..scheduled });
    samples.push(sample("by the schedule", TICK, "{}", State::Completed, 1));
    samples
}

/// The kinds that the demo's daemon serves; `unserved` isn't among them. Webhooks go to `receiver`.
pub(super) fn kinds(receiver: SocketAddr) -> Vec<KindSettings> {
    let of = |name, handler| KindSettings::new(kind(name), handler);
    let command = |program: &str| {
        let command = vec![program.into()];
        HandlerSettings::Command(CommandSettings { command, ..CommandSettings::default() })
    };
    let webhook = |path: &str| {
        let url = format!("http://{receiver}{path}").parse();
        let url = url.unwrap_or_else(|error| unreachable!("{path}: {error}"));
        let egress = Egress::allowing(["127.0.0.1"]).unwrap_or_default();
        HandlerSettings::Http(Box::new(HttpSettings { egress, ..HttpSettings::new(url) }))
    };
    let function = FunctionName::new("public.book").unwrap_or_else(|error| unreachable!("{error}"));
    let mut kinds = vec![
        of("noop", HandlerSettings::Noop),
        of("sleep", HandlerSettings::Sleep),
        of("too_slow", HandlerSettings::Sleep),
        of("echo", command("/bin/cat")),
        of("fails", command("/bin/false")),
        of("order", webhook("/orders")),
        of("busy", webhook("/busy")),
        of("gone", webhook("/gone")),
        of("book", HandlerSettings::Sql(SqlSettings { function, role: None })),
        of(TICK, HandlerSettings::Noop),
        of("flaky", HandlerSettings::Rust),
        of("panics", HandlerSettings::Rust),
        of("not_yet", HandlerSettings::Rust),
        of("picky", HandlerSettings::Rust),
    ];
    let second = Duration::from_secs(1);
    for settings in &mut kinds {
        settings.policy.max_attempts = 2;
        if let Ok(backoff) = Backoff::new(second, 1.0, second, 0.0) {
            settings.policy.backoff = backoff;
        }
        if settings.name.as_str() == "too_slow" {
            settings.policy.timeout = second;
        }
    }
    kinds
}

/// A job each second.
pub(super) fn schedule() -> Option<ScheduleSettings> {
    Some(ScheduleSettings {
        name: ScheduleName::new("each_second").ok()?,
        rule: Rule::parse("* * * * * *", "UTC").ok()?,
        kind: kind(TICK),
        queue: QueueName::new("default").ok()?,
        payload: "{}".into(),
        priority: 0,
        catch_up: CatchUp::Last,
        overlap: Overlap::Allow,
        jitter: Duration::ZERO,
    })
}

/// What drips in while somebody watches.
pub(super) fn trickle() -> Vec<NewJob> {
    let mut jobs = vec![NewJob::new(kind("noop")); 5];
    jobs.push(NewJob { payload: Some(r#"{"seconds":0.4}"#.into()), ..NewJob::new(kind("sleep")) });
    jobs.push(NewJob { queue: Some(programs()), ..NewJob::new(kind("echo")) });
    jobs.push(NewJob::new(kind("order")));
    jobs.push(NewJob { payload: Some(r#"{"amount":1}"#.into()), ..NewJob::new(kind("book")) });
    jobs
}

/// Jobs that the demo cancels: those with the tag, once they run.
pub(super) fn to_be_cancelled(rows: &[ObservedJob]) -> impl Iterator<Item = i64> {
    let wanted = |row: &&ObservedJob| row.tags.iter().any(|tag| tag == CANCELLED);
    rows.iter().filter(wanted).filter(|row| row.state == "running").map(|row| row.id)
}

/// The row of a sample.
pub(super) fn row_of<'r>(sample: &Sample, rows: &'r [ObservedJob]) -> Option<&'r ObservedJob> {
    rows.iter().find(|row| sample.has(row))
}

/// Whether every sample is where it should be, or over.
pub(super) fn have_ended(samples: &[Sample], rows: &[ObservedJob]) -> bool {
    let is_final = |state: &str| State::ALL.iter().any(|s| s.is_final() && s.as_str() == state);
    samples.iter().all(|sample| {
        let state = row_of(sample, rows).map(|row| row.state.as_str());
        state.is_some_and(|state| state == sample.ends.as_str() || is_final(state))
    })
}
