//! What a program says of its queues and kinds, held to the bounds that a file is held to.

use crate::{
    config::{Amount, Mistakes, QueueSettings, Settings, out_of_bounds},
    job::{Backoff, QueueName, Retention},
};
use std::time::Duration;

/// What a queue is allowed. What isn't said is what `legwork.toml` has by default.
#[derive(Debug, Clone, Default)]
#[must_use = "hand it to `DaemonBuilder::queue`"]
pub struct QueueOptions {
    concurrency: Option<u32>,
    rate_limit: Option<String>,
    keep_completed: Option<Retention>,
}

impl QueueOptions {
    /// This many jobs at once.
    pub fn concurrency(jobs: u32) -> Self {
        Self { concurrency: Some(jobs), ..Self::default() }
    }

    /// At most so many starts: `100/s`, `30/m burst 5`.
    pub fn rate_limit(mut self, limit: impl Into<String>) -> Self {
        self.rate_limit = Some(limit.into());
        self
    }

    /// How long its completed jobs are kept.
    pub fn keep_completed(mut self, retention: Retention) -> Self {
        self.keep_completed = Some(retention);
        self
    }
}

/// What the jobs of a kind may take. What isn't said is what `[retry]` has.
#[derive(Debug, Clone, Default)]
#[must_use = "hand it to `DaemonBuilder::kind`"]
pub struct KindOptions {
    max_attempts: Option<u16>,
    timeout: Option<Duration>,
    backoff: Option<Backoff>,
    max_rescues: Option<u16>,
    max_snoozes: Option<u16>,
    rate_limit: Option<String>,
}

impl KindOptions {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// 1 … 1000 attempts, where the job says nothing.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How long an attempt may take, where the job says nothing.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How long to wait after a failure.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// How many dead daemons a job may leave behind.
    pub fn max_rescues(mut self, rescues: u16) -> Self {
        self.max_rescues = Some(rescues);
        self
    }

    /// How often a job may be put off.
    pub fn max_snoozes(mut self, snoozes: u16) -> Self {
        self.max_snoozes = Some(snoozes);
        self
    }

    /// At most so many starts: `100/s`, `30/m burst 5`.
    pub fn rate_limit(mut self, limit: impl Into<String>) -> Self {
        self.rate_limit = Some(limit.into());
        self
    }

    /// What is out of bounds.
    fn wrong(&self) -> Vec<String> {
        let count = |key, given: Option<u16>| out_of_bounds(key, Amount::Count(given?.into()));
        let time = |key, given: Option<Duration>| out_of_bounds(key, Amount::Time(given?));
        let found = [
            count("kind.max_attempts", self.max_attempts),
            time("kind.timeout", self.timeout),
            count("kind.max_rescues", self.max_rescues),
            count("kind.max_snoozes", self.max_snoozes),
        ];
        found.into_iter().flatten().collect()
    }
}

/// Adds queues to the settings, or changes those that are listed.
pub(super) fn add_queues(
    settings: &mut Settings,
    queues: &[(String, QueueOptions)],
    lists_queues: bool,
    mistakes: &mut Mistakes,
) {
    const PLACE: Option<&str> = Some("Daemon::builder().queue");
    if !queues.is_empty() && !lists_queues {
        settings.queues.clear();
    }
    let mut seen: Vec<&str> = Vec::new();
    for (name, options) in queues {
        let mut refuse = |why: String| mistakes.push(format!("queue {name:?}: {why}"), PLACE);
        if seen.contains(&name.as_str()) {
            refuse("it is named twice".into());
            continue;
        }
        seen.push(name);
        let queue = match QueueName::new(name) {
            Ok(queue) => queue,
            Err(error) => {
                refuse(error.to_string());
                continue;
            }
        };
        let listed = settings.queues.iter().position(|listed| listed.name == queue);
        let at = listed.unwrap_or_else(|| {
            settings.queues.push(QueueSettings::new(queue, settings.retention));
            settings.queues.len() - 1
        });
        let queue = &mut settings.queues[at];
        if let Some(jobs) = options.concurrency {
            if let Some(why) = out_of_bounds("queue.concurrency", Amount::Count(jobs.into())) {
                refuse(why);
            }
            queue.concurrency = jobs;
        }
        match options.rate_limit.as_deref().map(str::parse).transpose() {
            Ok(limit) => queue.rate_limit = limit.or(queue.rate_limit),
            Err(error) => refuse(format!("rate_limit: {error}")),
        }
        if let Some(retention) = options.keep_completed {
            if let Retention::For(time) = retention
                && let Some(why) = out_of_bounds("queue.retention", Amount::Time(time))
            {
                refuse(why);
            }
            queue.retention.completed = retention;
        }
    }
}

/// Sets the limits of kinds that have a handler.
pub(super) fn limit_kinds(
    settings: &mut Settings,
    kinds: &[(String, KindOptions)],
    mistakes: &mut Mistakes,
) {
    const PLACE: Option<&str> = Some("Daemon::builder().kind");
    for (name, options) in kinds {
        let mut refuse = |why: String| mistakes.push(format!("kind {name:?}: {why}"), PLACE);
        let Some(kind) = settings.kinds.iter_mut().find(|kind| kind.name.as_str() == name) else {
            refuse("it has no handler".into());
            continue;
        };
        options.wrong().into_iter().for_each(&mut refuse);
        match options.rate_limit.as_deref().map(str::parse).transpose() {
            Ok(limit) => kind.rate_limit = limit.or(kind.rate_limit),
            Err(error) => refuse(format!("rate_limit: {error}")),
        }
        let policy = &mut kind.policy;
        policy.max_attempts = options.max_attempts.unwrap_or(policy.max_attempts);
        policy.timeout = options.timeout.unwrap_or(policy.timeout);
        policy.backoff = options.backoff.unwrap_or(policy.backoff);
        policy.max_rescues = options.max_rescues.unwrap_or(policy.max_rescues);
        policy.max_snoozes = options.max_snoozes.or(policy.max_snoozes);
    }
}
