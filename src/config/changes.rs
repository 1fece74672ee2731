//! What of another configuration a running daemon can take over, and what needs a restart. Pure.
//!
//! Taken over is what is served and how: queues, kinds, schedules, retention, the log's filter, the
//! admin port's tokens and heap profiling. What shapes sessions, threads and the tasks beside the jobs' way stays as it was at the start, and is named.

use super::settings::{Admin, KindSettings, Log, QueueSettings, ScheduleSettings, Settings};
use crate::job::KindName;

impl Settings {
    /// These, with what can be taken over from others while the daemon runs.
    #[must_use]
    pub fn with_changes_of(&self, other: &Self) -> Self {
        let Self { retry, retention, queues, kinds, schedules, log, admin, profiling, .. } =
            other.clone();
        let log = Log { filter: log.filter, ..self.log.clone() };
        let Admin { callback_url, tokens, .. } = admin;
        let admin = Admin { callback_url, tokens, ..self.admin.clone() };
        let taken = Self {
            retry,
            retention,
            queues,
            kinds,
            schedules,
            admin,
            log,
            profiling,
            ..self.clone()
        };
        taken.with_canary_kind()
    }

    /// The same, with what counts of others while a daemon ends: who may ask its port, and what it logs.
    #[must_use]
    pub fn with_port_of(&self, other: &Self) -> Self {
        let log = Log { filter: other.log.filter.clone(), ..self.log.clone() };
        let admin = Admin { tokens: other.admin.tokens.clone(), ..self.admin.clone() };
        Self { admin, log, ..self.clone() }
    }

    /// The keys in which others differ from these, as mistakes name them.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut keys: Vec<String> = sections(self, other)
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| key.to_owned())
            .collect();
        keys.extend(listed(
            "queue",
            (self.queues.as_slice(), other.queues.as_slice()),
            |q: &QueueSettings| q.name.as_str(),
            |a, b| {
                // What follows [retention] in both is told of there.
                let follows = a.retention == self.retention && b.retention == other.retention;
                of_queue((a, b), follows)
            },
        ));
        keys.extend(listed(
            "kind",
            (self.kinds.as_slice(), other.kinds.as_slice()),
            |k: &KindSettings| k.name.as_str(),
            of_kind,
        ));
        // It comes and goes with `canary.enabled`, which is named already.
        keys.retain(|key| !key.contains(KindName::CANARY));
        let schedules = (self.schedules.as_slice(), other.schedules.as_slice());
        keys.extend(listed(
            "schedule",
            schedules,
            |s: &ScheduleSettings| s.name.as_str(),
            |a, b| vec![("", a != b)],
        ));
        keys
    }
}

/// Keys of the file's sections, and whether they differ. Of `[retry]`, whose keys are the kinds'
/// defaults, each kind tells.
#[expect(clippy::float_cmp, reason = "written differently is different")]
fn sections(a: &Settings, b: &Settings) -> [(&'static str, bool); 39] {
    macro_rules! differ {
        ($($key:literal: $section:ident . $($field:ident).+),* $(,)?) => {
            [$(($key, a.$section.$($field).+ != b.$section.$($field).+)),*]
        };
    }
    differ![
        "database.url": database.url,
        "database.pooler": database.pooler,
        "database.direct_url": database.direct_url,
        "database.connect_timeout": database.connect_timeout,
        "database.statement_timeout": database.statement_timeout,
        "database.allow_plaintext": database.allow_plaintext,
        "database.sql_connections": database.sql_connections,
        "daemon.name": daemon.name,
        "daemon.heartbeat_interval": daemon.heartbeat_interval,
        "daemon.lease_ttl": daemon.lease_ttl,
        "daemon.runtime_threads": daemon.runtime_threads,
        "shutdown.grace": shutdown.grace,
        "shutdown.cancel_grace": shutdown.cancel_grace,
        "shutdown.stop_timeout": shutdown.stop_timeout,
        "claim.poll_interval": claim.poll_interval,
        "claim.poll_jitter": claim.poll_jitter,
        "claim.notify": claim.notify,
        "claim.batch": claim.batch,
        "complete.flush_interval": complete.flush_interval,
        "complete.flush_max_rows": complete.flush_max_rows,
        "retention.completed": retention.completed,
        "retention.cancelled": retention.cancelled,
        "retention.discarded": retention.discarded,
        "admin.listen": admin.listen,
        "admin.allow_hosts": admin.allow_hosts,
        "admin.callback_url": admin.callback_url,
        "admin.token_file": admin.tokens.admin,
        "admin.operator_token_file": admin.tokens.operator,
        "admin.viewer_token_file": admin.tokens.viewer,
        "log.format": log.format,
        "log.filter": log.filter,
        "metrics.max_kinds": metrics.max_kinds,
        "profiling.heap": profiling.heap,
        "canary.enabled": canary.enabled,
        "canary.interval": canary.interval,
        "canary.queue": canary.queue,
        "tracing.otlp_endpoint": tracing.otlp,
        "tracing.sample_ratio": tracing.sample_ratio,
        "tracing.parent_max_delay": tracing.parent_max_delay,
    ]
}

type Keys = Vec<(&'static str, bool)>;

fn of_queue((a, b): (&QueueSettings, &QueueSettings), follows_retention: bool) -> Keys {
    vec![
        (".concurrency", a.concurrency != b.concurrency),
        (".rate_limit", a.rate_limit != b.rate_limit),
        (".retention", a.retention != b.retention && !follows_retention),
    ]
}

fn of_kind(a: &KindSettings, b: &KindSettings) -> Keys {
    let (p, q) = (&a.policy, &b.policy);
    vec![
        (".handler (or a key of it)", a.handler != b.handler),
        (".timeout", p.timeout != q.timeout),
        (".max_attempts", p.max_attempts != q.max_attempts),
        (".max_rescues", p.max_rescues != q.max_rescues),
        (".max_snoozes", p.max_snoozes != q.max_snoozes),
        (".backoff", p.backoff != q.backoff),
        (".rate_limit", a.rate_limit != b.rate_limit),
    ]
}

/// What differs in a list: entries that only one has, and keys of those that both have.
fn listed<T>(
    list: &str,
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> &str,
    keys: impl Fn(&T, &T) -> Keys,
) -> Vec<String> {
    let entry = |item: &T| format!("[[{list}]] {:?}", name(item));
    let missing = |from: &[T], item: &T| !from.iter().any(|other| name(other) == name(item));
    let mut differ = Vec::new();
    for item in before {
        match after.iter().find(|other| name(other) == name(item)) {
            None => differ.push(format!("{} (removed)", entry(item))),
            Some(other) => {
                let keys = keys(item, other).into_iter().filter(|(_, differs)| *differs);
                differ.extend(keys.map(|(key, _)| format!("{}{key}", entry(item))));
            }
        }
    }
    let added = after.iter().filter(|item| missing(before, item));
    differ.extend(added.map(|item| format!("{} (added)", entry(item))));
    differ
}
