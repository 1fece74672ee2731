//! The merged tree into checked settings, contradictions included.
//!
//! Every key is read even where others were wrong; values are compared only where each of them was
//! right, so that one mistake isn't reported as two. It opens no port and asks no database; what it
//! looks at outside of the tree are the programs and secret files that the tree names.

mod admin;
mod authorities;
mod canary;
mod command;
mod connection;
mod filter;
mod http;
mod kind;
mod schedule;
mod secrets;
mod sql;
mod tracing;
mod value;

pub(super) use admin::{TOKENS, token_file};
pub(crate) use authorities::certificates;
pub(crate) use filter::{
    check as check_filter, doubts as filter_doubts, is_for_all as filter_is_for_all,
    silence as filter_silence,
};
pub(crate) use tracing::{collector_header, collector_url};
pub(crate) use value::{killed_early, misnamed, mistakes_of};

use self::value::short_lease;
use super::{
    environment::Environment,
    file::Item,
    form::duration_text,
    reader::{At, Reader},
    settings::{
        Claim, Complete, Daemon, HeapProfiling, Log, LogFormat, Metrics, Profiling, QueueSettings,
        Retentions, Settings, Shutdown,
    },
};
use crate::job::{Backoff, KindPolicy, QueueName};

/// What reading needs besides the tree.
pub(super) struct Given<'a> {
    pub(super) environment: &'a Environment,
    pub(super) queues: &'a [Item],
    pub(super) kinds: &'a [Item],
    pub(super) schedules: &'a [Item],
    /// The file may be read by everybody.
    pub(super) world_readable: bool,
    /// The program has no handlers of its own.
    pub(super) no_rust: bool,
}

/// What came out.
pub(super) struct Checked {
    pub(super) settings: Settings,
    /// Where the database's URL came from.
    pub(super) url_place: Option<String>,
    pub(super) warnings: Warnings,
}

/// What is allowed but should be known.
pub(super) type Warnings = Vec<String>;

pub(super) fn settings(reader: &mut Reader<'_>, given: &Given<'_>) -> Checked {
    let mut warnings = Warnings::new();
    let default = Settings::default();
    let (database, url_place) =
        connection::database(reader, given, &default.database, &mut warnings);
    let retention = retentions(reader, default.retention);
    let retry = policy(reader, section("retry"), &default.retry);
    let admin = admin::settings(reader, given, default.admin.listen, &mut warnings);
    let settings = Settings {
        database,
        daemon: daemon(reader, given.environment, default.daemon),
        shutdown: shutdown(reader, &default.shutdown),
        claim: claim(reader, &default.claim),
        complete: complete(reader, &default.complete),
        queues: given.queues.iter().filter_map(|item| queue(reader, item, retention)).collect(),
        kinds: kind::all(reader, given, (&retry, &admin), &mut warnings),
        schedules: schedule::all(reader, given, &mut warnings),
        retry,
        retention,
        admin,
        log: log(reader, default.log, &mut warnings),
        metrics: Metrics {
            max_kinds: reader.count(section("metrics"), "max_kinds", default.metrics.max_kinds),
        },
        profiling: profiling(reader),
        canary: canary::settings(reader, &default.canary),
        tracing: tracing::settings(reader, given.environment, &default.tracing, &mut warnings),
    };
    connection::functions_need_the_server(reader, &settings);
    canary::check(reader, &settings);
    warnings.extend(kind::cut_short(reader, &settings));
    warnings.extend(sql::short_of_connections(&settings));
    Checked { settings, url_place, warnings }
}

const fn section(section: &'static str) -> At<'static> {
    At { section, item: None }
}

fn daemon(reader: &mut Reader<'_>, environment: &Environment, default: Daemon) -> Daemon {
    let at = section("daemon");
    let fits = |name: &str| match name.replace("{hostname}", environment.hostname()) {
        name if name.contains(['{', '}']) => {
            Err(format!("{name:?} has braces: only {{hostname}} is filled in"))
        }
        name => misnamed(&name).map_or(Ok(()), Err),
    };
    let name = reader.text(at, "name", fits).unwrap_or(default.name);
    let heartbeat_interval = reader.duration(at, "heartbeat_interval", default.heartbeat_interval);
    let lease_ttl = reader.duration(at, "lease_ttl", default.lease_ttl);
    if reader.sound(at, &["heartbeat_interval", "lease_ttl"])
        && let Some(why) = short_lease(heartbeat_interval, lease_ttl)
    {
        let key = reader.culprit(at, "lease_ttl", "heartbeat_interval");
        reader.refuse(at, key, &why);
    }
    Daemon {
        name: name.replace("{hostname}", environment.hostname()),
        heartbeat_interval,
        lease_ttl,
        runtime_threads: reader.count(at, "runtime_threads", default.runtime_threads),
    }
}

fn shutdown(reader: &mut Reader<'_>, default: &Shutdown) -> Shutdown {
    let at = section("shutdown");
    let shutdown = Shutdown {
        grace: reader.duration(at, "grace", default.grace),
        cancel_grace: reader.duration(at, "cancel_grace", default.cancel_grace),
        stop_timeout: reader.duration_if_given(at, "stop_timeout"),
    };
    if reader.sound(at, &["grace", "cancel_grace", "stop_timeout"])
        && let Some(why) = killed_early(&shutdown)
    {
        reader.refuse(at, "stop_timeout", &why);
    }
    shutdown
}

fn claim(reader: &mut Reader<'_>, default: &Claim) -> Claim {
    let at = section("claim");
    Claim {
        poll_interval: reader.duration(at, "poll_interval", default.poll_interval),
        poll_jitter: reader.number(at, "poll_jitter", default.poll_jitter),
        notify: reader.switch(at, "notify", default.notify),
        batch: reader.count(at, "batch", default.batch),
    }
}

fn complete(reader: &mut Reader<'_>, default: &Complete) -> Complete {
    let at = section("complete");
    Complete {
        flush_interval: reader.duration(at, "flush_interval", default.flush_interval),
        flush_max_rows: reader.count(at, "flush_max_rows", default.flush_max_rows),
    }
}

fn retentions(reader: &mut Reader<'_>, default: Retentions) -> Retentions {
    let at = section("retention");
    Retentions {
        completed: reader.retention(at, "completed", default.completed),
        cancelled: reader.retention(at, "cancelled", default.cancelled),
        discarded: reader.retention(at, "discarded", default.discarded),
    }
}

fn log(reader: &mut Reader<'_>, default: Log, warnings: &mut Warnings) -> Log {
    let at = section("log");
    let format = match reader.one_of(at, "format") {
        Some("json") => LogFormat::Json,
        Some("pretty") => LogFormat::Pretty,
        _ => LogFormat::Auto,
    };
    let filter = reader.text(at, "filter", filter::check).unwrap_or(default.filter);
    warnings.extend(filter::doubts(&filter));
    Log { format, filter }
}

fn profiling(reader: &mut Reader<'_>) -> Profiling {
    let heap = match reader.one_of(section("profiling"), "heap") {
        Some("off") => HeapProfiling::Off,
        Some("on") => HeapProfiling::On,
        _ => HeapProfiling::Armed,
    };
    Profiling { heap }
}

/// A queue; one whose name was refused has nothing to be.
fn queue(reader: &mut Reader<'_>, item: &Item, retention: Retentions) -> Option<QueueSettings> {
    let at = At { section: "queue", item: Some(&item.id) };
    let name = QueueName::new(&item.id).ok();
    if name.is_none() {
        unnamed(reader, at);
    }
    let concurrency = reader.concurrency(at, "concurrency", super::defaults::CONCURRENCY);
    let rate_limit = reader.rate_limit(at, "rate_limit");
    let completed = reader.retention(at, "retention", retention.completed);
    let retention = Retentions { completed, ..retention };
    Some(QueueSettings { name: name?, concurrency, rate_limit, retention })
}

/// A name that isn't even text; the others were refused where the file was read.
fn unnamed(reader: &mut Reader<'_>, at: At<'_>) {
    reader.text(at, "name", |_| Ok(()));
}

/// The attempts of a kind, or of all kinds.
fn policy(reader: &mut Reader<'_>, at: At<'_>, default: &KindPolicy) -> KindPolicy {
    KindPolicy {
        max_attempts: reader.count(at, "max_attempts", default.max_attempts),
        backoff: backoff(reader, at, &default.backoff),
        timeout: reader.duration(at, "timeout", default.timeout),
        max_rescues: reader.count(at, "max_rescues", default.max_rescues),
        max_snoozes: reader.cap(at, "max_snoozes", default.max_snoozes),
    }
}

fn backoff(reader: &mut Reader<'_>, at: At<'_>, default: &Backoff) -> Backoff {
    const KEYS: [&str; 4] = ["backoff.base", "backoff.factor", "backoff.max", "backoff.jitter"];
    let base = reader.duration(at, KEYS[0], default.base());
    let factor = reader.number(at, KEYS[1], default.factor());
    let max = reader.duration(at, KEYS[2], default.max());
    let jitter = reader.number(at, KEYS[3], default.jitter());
    match Backoff::new(base, factor, max, jitter) {
        Ok(backoff) => backoff,
        Err(why) => {
            // Of a factor or a jitter that was refused the fallback is right; it hides nothing.
            if reader.sound(at, &[KEYS[0], KEYS[2]]) {
                let key = reader.culprit(at, KEYS[0], KEYS[2]);
                let (base, max) = (duration_text(base), duration_text(max));
                reader.refuse(at, key, &format!("{why} (base = {base}, max = {max})"));
            }
            *default
        }
    }
}
