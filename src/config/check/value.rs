//! Settings that a program put together, held to what a file is held to: bounds, contradictions, names.
//!
//! What their types can't hold otherwise (names, rate limits, backoffs, functions, secrets, patterns) isn't looked at
//! again. Contradictions stand here once, for files as well.

use super::{admin, canary, collector_url, command, filter, http, section, sql};
use crate::{
    config::{
        bounds::{Amount, outside},
        form::duration_text,
        json,
        reader::At,
        settings::{
            CircuitSettings, HandlerSettings, KindSettings, QueueSettings, Retentions,
            ScheduleSettings, Settings, Shutdown,
        },
    },
    job::{KindPolicy, Retention},
};
use ::config::ValueKind;
use std::{collections::BTreeSet, time::Duration};

/// Fewest heartbeats that fit in a lease: two may be lost.
const HEARTBEATS_PER_LEASE: u32 = 3;

/// What is wrong with a daemon's name.
pub(crate) fn misnamed(name: &str) -> Option<String> {
    const NAME_MAX_BYTES: usize = 128;
    let bytes = name.len();
    let fits = (1..=NAME_MAX_BYTES).contains(&bytes);
    (!fits).then(|| format!("a daemon's name has 1 to {NAME_MAX_BYTES} bytes, this one {bytes}"))
}

pub(super) fn short_lease(heartbeat_interval: Duration, lease_ttl: Duration) -> Option<String> {
    let least = heartbeat_interval.saturating_mul(HEARTBEATS_PER_LEASE);
    (lease_ttl < least).then(|| {
        format!(
            "a lease lasts at least {HEARTBEATS_PER_LEASE} heartbeats, and lease_ttl = {} is less \
             than {HEARTBEATS_PER_LEASE} × heartbeat_interval = {}",
            duration_text(lease_ttl),
            duration_text(least),
        )
    })
}

/// Whether somebody would kill the daemon before its shutdown is over.
pub(crate) fn killed_early(shutdown: &Shutdown) -> Option<String> {
    let given = shutdown.stop_timeout.filter(|given| *given < shutdown.bound())?;
    Some(format!(
        "the daemon would be killed after {}, and a whole shutdown takes up to grace = {} + \
         cancel_grace = {} + {} for the last verdicts + {} for the rest = {}: lower grace, or \
         raise stop_timeout together with TimeoutStopSec or terminationGracePeriodSeconds",
        duration_text(given),
        duration_text(shutdown.grace),
        duration_text(shutdown.cancel_grace),
        duration_text(Shutdown::FLUSH),
        duration_text(Shutdown::LAST),
        duration_text(shutdown.bound()),
    ))
}

/// Everything that is wrong with them but the database's URL, [`killed_early`] and a missing handler, which depend on
/// what else the program says; each in the words of a file's mistake.
pub(crate) fn mistakes_of(settings: &Settings) -> Vec<String> {
    let mut found = Found::default();
    found.sections(settings);
    found.policy(section("retry"), &settings.retry);
    let Retentions { completed, cancelled, discarded } = settings.retention;
    for (key, kept) in
        [("completed", completed), ("cancelled", cancelled), ("discarded", discarded)]
    {
        found.kept(section("retention"), key, kept);
    }
    found.twice("queue", settings.queues.iter().map(|queue| queue.name.as_str()));
    settings.queues.iter().for_each(|queue| found.queue(queue));
    found.twice("kind", settings.kinds.iter().map(|kind| kind.name.as_str()));
    settings.kinds.iter().for_each(|kind| found.kind(kind));
    if let Some(why) = canary::not_served(settings) {
        found.note(section("canary"), "queue", &why);
    }
    found.0.extend(canary::taken(settings));
    found.twice("schedule", settings.schedules.iter().map(|schedule| schedule.name.as_str()));
    settings.schedules.iter().for_each(|schedule| found.schedule(schedule));
    found.0
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn note(&mut self, at: At<'_>, key: &str, why: &str) {
        self.0.push(format!("{}: {why}", at.label(key)));
    }

    fn hold(&mut self, at: At<'_>, key: &str, given: Amount) {
        if let Some(why) = outside(&format!("{}.{key}", at.section), given) {
            self.note(at, key, &why);
        }
    }

    fn sections(&mut self, settings: &Settings) {
        let Settings {
            database,
            daemon,
            shutdown,
            claim,
            complete,
            admin: port,
            log,
            metrics,
            canary,
            tracing,
            ..
        } = settings;
        let count = |count: usize| Amount::Count(u64::try_from(count).unwrap_or(u64::MAX));
        let given = [
            ("database", "connect_timeout", Amount::Time(database.connect_timeout)),
            ("database", "statement_timeout", Amount::Time(database.statement_timeout)),
            ("database", "sql_connections", Amount::Count(database.sql_connections.into())),
            ("daemon", "heartbeat_interval", Amount::Time(daemon.heartbeat_interval)),
            ("daemon", "lease_ttl", Amount::Time(daemon.lease_ttl)),
            ("daemon", "runtime_threads", count(daemon.runtime_threads)),
            ("shutdown", "grace", Amount::Time(shutdown.grace)),
            ("shutdown", "cancel_grace", Amount::Time(shutdown.cancel_grace)),
            ("claim", "poll_interval", Amount::Time(claim.poll_interval)),
            ("claim", "poll_jitter", Amount::Number(claim.poll_jitter)),
            ("claim", "batch", Amount::Count(claim.batch.into())),
            ("complete", "flush_interval", Amount::Time(complete.flush_interval)),
            ("complete", "flush_max_rows", count(complete.flush_max_rows)),
            ("metrics", "max_kinds", count(metrics.max_kinds)),
            ("canary", "interval", Amount::Time(canary.interval)),
            ("tracing", "sample_ratio", Amount::Number(tracing.sample_ratio)),
            ("tracing", "parent_max_delay", Amount::Time(tracing.parent_max_delay)),
        ];
        let before = self.0.len();
        for (name, key, amount) in given {
            self.hold(section(name), key, amount);
        }
        if let Some(given) = shutdown.stop_timeout {
            self.hold(section("shutdown"), "stop_timeout", Amount::Time(given));
        }
        // Values are compared only where each of them is right.
        let sound = self.0.len() == before;
        let short = short_lease(daemon.heartbeat_interval, daemon.lease_ttl).filter(|_| sound);
        let of_daemon = [("name", misnamed(&daemon.name)), ("lease_ttl", short)];
        for (key, why) in of_daemon {
            if let Some(why) = why {
                self.note(section("daemon"), key, &why);
            }
        }
        for (key, why) in admin::wrong(port) {
            self.note(section("admin"), key, &why);
        }
        let collector = tracing.otlp.as_ref().map(|otlp| collector_url(otlp.traces.as_str(), true));
        if let Some(Err(why)) = collector {
            self.note(section("tracing"), "otlp_endpoint", &why);
        }
        if let Err(why) = filter::check(&log.filter) {
            self.note(section("log"), "filter", &why);
        }
    }

    fn kept(&mut self, at: At<'_>, key: &str, retention: Retention) {
        if let Retention::For(time) = retention {
            self.hold(at, key, Amount::Time(time));
        }
    }

    fn policy(&mut self, at: At<'_>, policy: &KindPolicy) {
        let KindPolicy { max_attempts, backoff: _, timeout, max_rescues, max_snoozes } = policy;
        self.hold(at, "max_attempts", Amount::Count((*max_attempts).into()));
        self.hold(at, "timeout", Amount::Time(*timeout));
        self.hold(at, "max_rescues", Amount::Count((*max_rescues).into()));
        if let Some(most) = max_snoozes {
            self.hold(at, "max_snoozes", Amount::Count((*most).into()));
        }
    }

    fn queue(&mut self, queue: &QueueSettings) {
        let at = At { section: "queue", item: Some(queue.name.as_str()) };
        self.hold(at, "concurrency", Amount::Count(queue.concurrency.into()));
        let Retentions { completed, cancelled, discarded } = queue.retention;
        for kept in [completed, cancelled, discarded] {
            self.kept(at, "retention", kept);
        }
    }

    fn kind(&mut self, kind: &KindSettings) {
        let at = At { section: "kind", item: Some(kind.name.as_str()) };
        self.policy(at, &kind.policy);
        let size = |bytes: usize| Amount::Size(u64::try_from(bytes).unwrap_or(u64::MAX));
        let wrong = match &kind.handler {
            HandlerSettings::Noop | HandlerSettings::Sleep | HandlerSettings::Rust => Vec::new(),
            HandlerSettings::Command(settings) => {
                self.hold(at, "kill_grace", Amount::Time(settings.kill_grace));
                self.hold(at, "max_output", size(settings.max_output));
                command::wrong(settings)
            }
            HandlerSettings::Http(settings) => {
                self.hold(at, "connect_timeout", Amount::Time(settings.connect_timeout));
                self.hold(at, "response_timeout", Amount::Time(settings.response_timeout));
                self.hold(at, "max_result", size(settings.max_result));
                let CircuitSettings { failures, open_for } = settings.circuit;
                self.hold(at, "circuit.failures", Amount::Count(failures.into()));
                self.hold(at, "circuit.open_for", Amount::Time(open_for));
                if let Some(time) = settings.callback.as_ref().and_then(|it| it.timeout) {
                    self.hold(at, "callback_timeout", Amount::Time(time));
                }
                http::wrong(settings)
            }
            HandlerSettings::Sql(settings) => {
                let role = settings.role.as_deref().and_then(|role| sql::role(role).err());
                role.map(|why| ("role", why)).into_iter().collect()
            }
        };
        for (key, why) in wrong {
            self.note(at, key, &why);
        }
    }

    fn schedule(&mut self, schedule: &ScheduleSettings) {
        let at = At { section: "schedule", item: Some(schedule.name.as_str()) };
        self.hold(at, "priority", Amount::Signed(schedule.priority));
        self.hold(at, "jitter", Amount::Time(schedule.jitter));
        if let Err(why) = json::text(&ValueKind::String(schedule.payload.clone())) {
            self.note(at, "payload", &why);
        }
    }

    fn twice<'a>(&mut self, list: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names.filter(|name| !seen.insert(*name)) {
            self.0.push(format!("[[{list}]] {name:?} is listed twice"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        CallbackSettings, HttpSettings,
        keys::{Form, KEYS},
        settings::CommandSettings,
    };
    use crate::{
        job::{KindName, QueueName, ScheduleName},
        schedule::{CatchUp, Overlap, Rule, Zone},
    };

    const FAR: Duration = Duration::MAX;

    fn policy() -> KindPolicy {
        let backoff = Settings::default().retry.backoff;
        let many = u16::MAX;
        KindPolicy {
            max_attempts: many,
            backoff,
            timeout: FAR,
            max_rescues: many,
            max_snoozes: Some(many),
        }
    }

    fn kind(name: &str, handler: HandlerSettings) -> KindSettings {
        let name = KindName::new(name).expect("a name");
        KindSettings { policy: policy(), ..KindSettings::new(name, handler) }
    }

    /// Everything that can be too large is.
    fn excessive() -> Settings {
        let ages = Retentions {
            completed: Retention::For(FAR),
            cancelled: Retention::For(FAR),
            discarded: Retention::For(FAR),
        };
        let mut settings = Settings { retry: policy(), retention: ages, ..Settings::default() };
        let Settings {
            database, daemon, shutdown, claim, complete, metrics, canary, tracing, ..
        } = &mut settings;
        (database.connect_timeout, database.statement_timeout) = (FAR, FAR);
        database.sql_connections = u32::MAX;
        (daemon.heartbeat_interval, daemon.lease_ttl) = (FAR, FAR);
        daemon.runtime_threads = usize::MAX;
        (shutdown.grace, shutdown.cancel_grace, shutdown.stop_timeout) = (FAR, FAR, Some(FAR));
        (claim.poll_interval, claim.poll_jitter, claim.batch) = (FAR, f64::NAN, u32::MAX);
        (complete.flush_interval, complete.flush_max_rows) = (FAR, usize::MAX);
        metrics.max_kinds = usize::MAX;
        canary.interval = FAR;
        (tracing.sample_ratio, tracing.parent_max_delay) = (f64::INFINITY, FAR);
        settings.queues[0].concurrency = u32::MAX;
        settings.queues[0].retention = ages;
        let command = CommandSettings {
            command: vec!["/bin/sh".into()],
            kill_grace: FAR,
            max_output: usize::MAX,
            ..CommandSettings::default()
        };
        let http = HttpSettings {
            connect_timeout: FAR,
            response_timeout: FAR,
            max_result: usize::MAX,
            circuit: CircuitSettings { failures: u32::MAX, open_for: FAR },
            callback: Some(CallbackSettings {
                base: "https://legwork.example.org/".parse().expect("a URL"),
                timeout: Some(FAR),
            }),
            ..HttpSettings::new("https://app.example.org/".parse().expect("a URL"))
        };
        settings.kinds.push(kind("program", HandlerSettings::Command(command)));
        settings.kinds.push(kind("request", HandlerSettings::Http(Box::new(http))));
        settings.schedules.push(ScheduleSettings {
            name: ScheduleName::new("nightly").expect("a name"),
            rule: Rule::new("0 3 * * *", Zone::utc()).expect("it fires"),
            kind: KindName::new("program").expect("a name"),
            queue: QueueName::new("default").expect("a name"),
            payload: "{}".into(),
            priority: i16::MAX,
            catch_up: CatchUp::Last,
            overlap: Overlap::Skip,
            jitter: FAR,
        });
        settings
    }

    #[test]
    fn every_bound_of_a_file_holds_for_a_value() {
        assert_eq!(mistakes_of(&Settings::default()), [""; 0]);
        let found = mistakes_of(&excessive());
        let is_bounded = |form| {
            matches!(
                form,
                Form::Duration { .. }
                    | Form::Size { .. }
                    | Form::Count { .. }
                    | Form::Signed { .. }
                    | Form::Cap { .. }
                    | Form::Number { .. }
                    | Form::Concurrency
                    | Form::Retention
            )
        };
        for key in KEYS.iter().filter(|key| is_bounded(key.form)) {
            // A backoff can't be made out of bounds.
            if key.path.contains(".backoff.") {
                continue;
            }
            let item = ["default", "program", "request", "nightly"];
            let labels = item.map(|item| At { section: key.section(), item: Some(item) });
            let plain = At { section: key.section(), item: None };
            let mut labels = labels.iter().chain([&plain]).map(|at| at.label(key.name()));
            let is_held = labels.any(|label| {
                found
                    .iter()
                    .any(|why| why.starts_with(&format!("{label}: ")) && why.contains(" isn't "))
            });
            assert!(is_held, "{} isn't held:\n{}", key.path, found.join("\n"));
        }
    }

    #[test]
    fn what_a_handler_or_schedule_is_given_is_read_as_from_a_file() {
        let mut settings = excessive();
        settings.schedules[0].payload = "no JSON".into();
        settings.log.filter = "inof".into();
        settings.admin.allow_hosts = vec!["host:80".into()];
        if let HandlerSettings::Command(command) = &mut settings.kinds[0].handler {
            command.command = vec!["sh".into()];
            command.cwd = Some("here".into());
            command.env = vec![("LD_PRELOAD".into(), "/x".into())];
        }
        if let HandlerSettings::Http(http) = &mut settings.kinds[1].handler {
            http.url = "https://127.0.0.1/".parse().expect("a URL");
            http.headers = vec![("Host".into(), "b".into())];
            let base = "ftp://legwork.example.org/".parse().expect("a URL");
            http.callback = Some(CallbackSettings { base, timeout: None });
        }
        let said = mistakes_of(&settings).join("\n");
        for expected in [
            "[[schedule]] \"nightly\".payload: this isn't JSON",
            "admin.allow_hosts: \"host:80\" isn't a host's name",
            "log.filter: \"inof\" isn't a level",
            "\"program\".command: \"sh\" isn't an absolute path",
            "\"program\".cwd: \"here\" isn't an absolute path",
            "\"program\".env: LD_PRELOAD can't be given",
            "\"request\".url: ",
            "\"request\".headers: Host can't be given",
            "\"request\".async: \"ftp\" isn't http or https",
        ] {
            assert!(said.contains(expected), "{expected} isn't in\n{said}");
        }
    }
}
