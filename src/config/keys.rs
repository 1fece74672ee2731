//! Every key that a file, the environment or a flag may set, with its form and its bounds.
//!
//! One table serves the unknown-key check, the suggestions, the ranges in refusals, the reading of
//! text from the environment, and the tests that hold `default.toml` and the reference to it. A key
//! stands here exactly if it has an effect.

use std::time::Duration;

/// What may stand in a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// Any text of one line.
    Text,
    /// A name of a queue or kind.
    Name,
    /// `true` or `false`.
    Switch,
    /// `250ms`, `5s`, `10m`, `24h`, `30d`.
    Duration { min: Duration, max: Duration },
    /// `64KiB`, in bytes.
    Size { min: u64, max: u64 },
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A whole number that may be below nothing.
    Signed { min: i16, max: i16 },
    /// A whole number, or `none` for no bound.
    Cap { min: u64, max: u64 },
    /// A number.
    Number { min: f64, max: f64 },
    /// A number, `cpus` or `N*cpus`.
    Concurrency,
    /// A duration or `none`.
    Retention,
    /// `100/s burst 20`.
    RateLimit,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `host:port` with a numeric host, or `off`.
    Address,
    /// `tracing`'s filter syntax.
    Filter,
    /// A connection URL; never shown whole.
    Url,
    /// An absolute path.
    Path,
    /// An absolute path, or a list of them.
    Paths,
    /// Where requests go.
    HttpUrl,
    /// A list of texts.
    Words,
    /// A table of texts.
    Pairs,
    /// Any value, or JSON as text.
    Json,
    /// `0 3 * * *`
    Cron,
    /// `Europe/Berlin`
    Zone,
}

/// A key and its form. Of lists the path leaves the name out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// `section.key`.
    pub(super) path: &'static str,
    /// What may stand there.
    pub(super) form: Form,
}

impl Key {
    /// The section or list in which it stands.
    pub(super) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// Its name there.
    pub(super) fn name(&self) -> &'static str {
        tail(self.path)
    }
}

/// Handlers that this binary has.
pub(super) const HANDLERS: &[&str] = &["noop", "sleep", "rust", "command", "http", "sql"];
/// What becomes of instants that were missed.
pub(super) const CATCH_UPS: &[&str] = &["last", "none", "all"];
/// What becomes of an instant while the job before is unfinished.
pub(super) const OVERLAPS: &[&str] = &["skip", "allow"];
/// Most jobs that a queue may run at once.
pub(super) const CONCURRENCY_MAX: u64 = 10_000;

const fn key(path: &'static str, form: Form) -> Key {
    Key { path, form }
}

const fn time(path: &'static str, min_ms: u64, max_s: u64) -> Key {
    let (min, max) = (Duration::from_millis(min_ms), Duration::from_secs(max_s));
    Key { path, form: Form::Duration { min, max } }
}

const fn count(path: &'static str, min: u64, max: u64) -> Key {
    Key { path, form: Form::Count { min, max } }
}

const fn number(path: &'static str, min: f64, max: f64) -> Key {
    Key { path, form: Form::Number { min, max } }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

const SNOOZES: Form = Form::Cap { min: 0, max: 10_000 };

/// All of them, in the order of `default.toml`.
pub(super) const KEYS: &[Key] = &[
    key("database.url", Form::Url),
    key("database.url_file", Form::Path),
    key("database.pooler", Form::OneOf(&["none", "transaction"])),
    key("database.direct_url", Form::Url),
    key("database.direct_url_file", Form::Path),
    time("database.connect_timeout", 100, 10 * MINUTE),
    time("database.statement_timeout", 100, HOUR),
    key("database.allow_plaintext", Form::Switch),
    count("database.sql_connections", 1, 1000),
    key("daemon.name", Form::Text),
    time("daemon.heartbeat_interval", 50, 5 * MINUTE),
    time("daemon.lease_ttl", 150, HOUR),
    count("daemon.runtime_threads", 0, 1024),
    time("shutdown.grace", 0, DAY),
    time("shutdown.cancel_grace", 0, 10 * MINUTE),
    time("shutdown.stop_timeout", 1000, 2 * DAY),
    time("claim.poll_interval", 10, MINUTE),
    number("claim.poll_jitter", 0.0, 0.9),
    key("claim.notify", Form::Switch),
    count("claim.batch", 1, 1000),
    time("complete.flush_interval", 1, 10),
    count("complete.flush_max_rows", 1, 2000),
    count("retry.max_attempts", 1, 1000),
    time("retry.timeout", 1, 30 * DAY),
    count("retry.max_rescues", 0, 1000),
    key("retry.max_snoozes", SNOOZES),
    time("retry.backoff.base", 0, 30 * DAY),
    number("retry.backoff.factor", 1.0, 10.0),
    time("retry.backoff.max", 0, 30 * DAY),
    number("retry.backoff.jitter", 0.0, 1.0),
    key("retention.completed", Form::Retention),
    key("retention.cancelled", Form::Retention),
    key("retention.discarded", Form::Retention),
    key("admin.listen", Form::Address),
    key("admin.allow_hosts", Form::Words),
    key("admin.callback_url", Form::HttpUrl),
    key("admin.token_file", Form::Paths),
    key("admin.operator_token_file", Form::Paths),
    key("admin.viewer_token_file", Form::Paths),
    key("log.format", Form::OneOf(&["auto", "json", "pretty"])),
    key("log.filter", Form::Filter),
    count("metrics.max_kinds", 1, 10_000),
    key("profiling.heap", Form::OneOf(&["off", "armed", "on"])),
    key("canary.enabled", Form::Switch),
    time("canary.interval", 1000, HOUR),
    key("canary.queue", Form::Name),
    key("tracing.otlp_endpoint", Form::HttpUrl),
    number("tracing.sample_ratio", 0.0, 1.0),
    time("tracing.parent_max_delay", 0, 30 * DAY),
    key("queue.name", Form::Name),
    key("queue.concurrency", Form::Concurrency),
    key("queue.rate_limit", Form::RateLimit),
    key("queue.retention", Form::Retention),
    key("kind.name", Form::Name),
    key("kind.handler", Form::OneOf(HANDLERS)),
    key("kind.timeout", time("", 1, 30 * DAY).form),
    count("kind.max_attempts", 1, 1000),
    count("kind.max_rescues", 0, 1000),
    key("kind.max_snoozes", SNOOZES),
    time("kind.backoff.base", 0, 30 * DAY),
    number("kind.backoff.factor", 1.0, 10.0),
    time("kind.backoff.max", 0, 30 * DAY),
    number("kind.backoff.jitter", 0.0, 1.0),
    key("kind.rate_limit", Form::RateLimit),
    key("kind.command", Form::Words),
    key("kind.env", Form::Pairs),
    key("kind.pass_env", Form::Words),
    key("kind.cwd", Form::Path),
    time("kind.kill_grace", 0, 10 * MINUTE),
    key("kind.max_output", Form::Size { min: 1024, max: 16 * 1024 * 1024 }),
    key("kind.unsafe_shell", Form::Switch),
    key("kind.url", Form::HttpUrl),
    key("kind.headers", Form::Pairs),
    key("kind.secret_file", Form::Paths),
    key("kind.ca_file", Form::Path),
    key("kind.allow_hosts", Form::Words),
    time("kind.connect_timeout", 10, MINUTE),
    time("kind.response_timeout", 10, DAY),
    key("kind.max_result", Form::Size { min: 0, max: 1024 * 1024 }),
    count("kind.circuit.failures", 0, 10_000),
    time("kind.circuit.open_for", 10, HOUR),
    key("kind.async", Form::Switch),
    time("kind.callback_timeout", 10, 30 * DAY),
    key("kind.function", Form::Text),
    key("kind.role", Form::Text),
    key("schedule.name", Form::Name),
    key("schedule.cron", Form::Cron),
    key("schedule.timezone", Form::Zone),
    key("schedule.kind", Form::Name),
    key("schedule.queue", Form::Name),
    key("schedule.payload", Form::Json),
    key("schedule.priority", Form::Signed { min: -2, max: 2 }),
    key("schedule.catch_up", Form::OneOf(CATCH_UPS)),
    key("schedule.overlap", Form::OneOf(OVERLAPS)),
    time("schedule.jitter", 0, HOUR),
];

/// Keys that one handler alone obeys; the first is the one without which it is nothing.
pub(super) const HANDLER_KEYS: &[(&str, &[&str])] = &[
    ("command", &["command", "env", "pass_env", "cwd", "kill_grace", "max_output", "unsafe_shell"]),
    (
        "http",
        &[
            "url",
            "headers",
            "secret_file",
            "ca_file",
            "allow_hosts",
            "connect_timeout",
            "response_timeout",
            "max_result",
            "circuit.failures",
            "circuit.open_for",
            "async",
            "callback_timeout",
        ],
    ),
    ("sql", &["function", "role"]),
];

/// The form of a key, if there is such a key.
pub(super) fn form_of(path: &str) -> Option<Form> {
    KEYS.iter().find(|key| key.path == path).map(|key| key.form)
}

/// Whether keys stand below this path.
pub(super) fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// What was probably meant by an unknown path: the nearest of its section, else the same key of
/// another.
pub(super) fn nearest(path: &str) -> Option<&'static str> {
    const ALIKE: f64 = 0.6;
    let (section, name) = path.split_once('.').unwrap_or((path, ""));
    let elsewhere = || {
        if matches!(section, "queue" | "kind" | "schedule") {
            return None;
        }
        let same = |key: &&Key| key.path.split_once('.').is_some_and(|(_, key)| key == name);
        KEYS.iter().find(same).map(|key| key.path)
    };
    let siblings = KEYS.iter().filter(|key| key.path.split('.').next() == Some(section));
    closest(path, siblings.map(|key| key.path), ALIKE)
        .filter(|near| strsim::normalized_damerau_levenshtein(tail(near), name) >= ALIKE)
        .or_else(elsewhere)
        .or_else(|| closest(path, KEYS.iter().map(|key| key.path), 0.75))
}

fn tail(path: &'static str) -> &'static str {
    path.split_once('.').map_or(path, |(_, tail)| tail)
}

/// The section that was probably meant.
pub(super) fn nearest_section(name: &str) -> Option<&'static str> {
    closest(name, KEYS.iter().filter_map(|key| key.path.split('.').next()), 0.6)
}

/// The likest of these words, if it is alike at all (0 = nothing, 1 = the same).
pub(crate) fn closest<'a>(
    word: &str,
    words: impl Iterator<Item = &'a str>,
    alike: f64,
) -> Option<&'a str> {
    words
        .map(|other| (strsim::normalized_damerau_levenshtein(word, other), other))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}
