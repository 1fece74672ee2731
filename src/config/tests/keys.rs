//! Every key: that file and environment set it, that its effect shows, and that `default.toml` and
//! the reference say what the code does.

use super::{Files, load_with};
use crate::config::{
    Settings, default_file,
    documented::{Documented, documented},
    keys::{HANDLER_KEYS, KEYS, Key},
    overlay::variable_of,
};
use std::fmt::Write as _;

/// A value of each key that isn't its default; names are what the others are found by.
const OTHERS: &[(&str, &str)] = &[
    ("database.url", "postgres:///other"),
    ("database.pooler", "transaction"),
    ("database.direct_url", "postgres:///direct"),
    ("database.connect_timeout", "7s"),
    ("database.statement_timeout", "7s"),
    ("database.allow_plaintext", "true"),
    ("database.sql_connections", "7"),
    ("daemon.name", "other"),
    ("daemon.heartbeat_interval", "7s"),
    ("daemon.lease_ttl", "70s"),
    ("daemon.runtime_threads", "7"),
    ("shutdown.grace", "7s"),
    ("shutdown.cancel_grace", "7s"),
    ("shutdown.stop_timeout", "70s"),
    ("claim.poll_interval", "7s"),
    ("claim.poll_jitter", "0.7"),
    ("claim.notify", "false"),
    ("claim.batch", "7"),
    ("complete.flush_interval", "7ms"),
    ("complete.flush_max_rows", "7"),
    ("retry.max_attempts", "7"),
    ("retry.timeout", "7s"),
    ("retry.max_rescues", "7"),
    ("retry.max_snoozes", "7"),
    ("retry.backoff.base", "7s"),
    ("retry.backoff.factor", "7.5"),
    ("retry.backoff.max", "7h"),
    ("retry.backoff.jitter", "0.7"),
    ("retention.completed", "none"),
    ("retention.cancelled", "none"),
    ("retention.discarded", "70d"),
    ("admin.listen", "off"),
    ("admin.allow_hosts", "[\"metrics.example.org\"]"),
    ("admin.callback_url", "http://legwork.example.org:9464"),
    ("log.format", "json"),
    ("log.filter", "warn,legwork=trace"),
    ("metrics.max_kinds", "7"),
    ("profiling.heap", "on"),
    ("canary.enabled", "true"),
    ("canary.interval", "7s"),
    ("canary.queue", "x"),
    ("tracing.otlp_endpoint", "http://collector.example.org:4318"),
    ("tracing.sample_ratio", "0.7"),
    ("tracing.parent_max_delay", "7m"),
    ("queue.concurrency", "7*cpus"),
    ("queue.rate_limit", "7/s burst 7"),
    ("queue.retention", "none"),
    ("kind.handler", "sleep"),
    ("kind.timeout", "7s"),
    ("kind.max_attempts", "7"),
    ("kind.max_rescues", "7"),
    ("kind.max_snoozes", "7"),
    ("kind.backoff.base", "7s"),
    ("kind.backoff.factor", "7.5"),
    ("kind.backoff.max", "7h"),
    ("kind.backoff.jitter", "0.7"),
    ("kind.rate_limit", "7/h"),
    ("kind.command", "[\"/bin/ls\", \"-l\"]"),
    ("kind.env", "{ A = \"b\" }"),
    ("kind.pass_env", "[\"PATH\"]"),
    ("kind.cwd", "/"),
    ("kind.kill_grace", "7s"),
    ("kind.max_output", "7KiB"),
    ("kind.url", "https://other.example.org/jobs"),
    ("kind.headers", "{ A = \"b\" }"),
    ("kind.allow_hosts", "[\"10.0.0.0/8\"]"),
    ("kind.connect_timeout", "7s"),
    ("kind.response_timeout", "7s"),
    ("kind.max_result", "7KiB"),
    ("kind.circuit.failures", "7"),
    ("kind.circuit.open_for", "7s"),
    ("kind.function", "other.function"),
    ("kind.role", "other"),
    ("schedule.cron", "7 7 * * *"),
    ("schedule.timezone", "Asia/Tokyo"),
    ("schedule.kind", "other"),
    ("schedule.queue", "other"),
    ("schedule.payload", "{ a = 7 }"),
    ("schedule.priority", "-2"),
    ("schedule.catch_up", "all"),
    ("schedule.overlap", "allow"),
    ("schedule.jitter", "7s"),
];

/// Seen by tests of their own: what names an entry or a file, and what lifts a refusal.
const ELSEWHERE: [&str; 13] = [
    "database.url_file",
    "database.direct_url_file",
    "admin.token_file",
    "admin.operator_token_file",
    "admin.viewer_token_file",
    "queue.name",
    "kind.name",
    "kind.unsafe_shell",
    "kind.secret_file",
    "kind.ca_file",
    "kind.async",
    "kind.callback_timeout",
    "schedule.name",
];

/// As the file has it: what is no number, switch, list or table is in quotes.
fn literal(value: &str) -> String {
    let plain = value.parse::<f64>().is_ok() || value.parse::<bool>().is_ok();
    if plain || value.starts_with(['[', '{']) { value.into() } else { format!("{value:?}") }
}

/// A file with a queue and a kind `x`, and one key set in it.
fn file(set: Option<(&Key, &str)>) -> String {
    let line = |section: &str| match set {
        Some((key, value)) if key.section() == section => {
            format!("{} = {}\n", key.name(), literal(value))
        }
        _ => String::new(),
    };
    let is = |path: &str| set.is_some_and(|(key, _)| key.path == path);
    let owner = set.and_then(|(key, _)| owner(key));
    let handler = match owner {
        _ if is("kind.handler") => String::new(),
        owner => format!("handler = {:?}\n", owner.map_or("noop", |owner| owner.handler)),
    };
    let needed = owner.filter(|owner| !is(&format!("kind.{}", owner.needs)));
    let needed = needed.map(|owner| format!("{} = {}\n", owner.needs, literal(owner.value)));
    let needed = needed.unwrap_or_default();
    let (queue, kind, schedule) = (line("queue"), line("kind"), line("schedule"));
    let cron = if is("schedule.cron") { "" } else { "cron = \"0 3 * * *\"\n" };
    let enqueued = if is("schedule.kind") { "" } else { "kind = \"x\"\n" };
    let section = match set {
        Some((key, _)) if !["queue", "kind", "schedule"].contains(&key.section()) => {
            format!("[{}]\n{}", key.section(), line(key.section()))
        }
        _ => String::new(),
    };
    format!(
        "{section}[[queue]]\nname = \"x\"\n{queue}[[kind]]\nname = \"x\"\n{handler}{needed}{kind}\
         [[schedule]]\nname = \"x\"\n{cron}{enqueued}{schedule}"
    )
}

/// A handler, and the key without which it is nothing.
pub(super) struct Owner {
    pub(super) handler: &'static str,
    pub(super) needs: &'static str,
    value: &'static str,
}

pub(super) const OWNERS: [Owner; 3] = [
    Owner { handler: "command", needs: "command", value: "[\"/bin/ls\"]" },
    Owner { handler: "http", needs: "url", value: "https://example.org/jobs" },
    Owner { handler: "sql", needs: "function", value: "app.f" },
];

/// The handler that alone obeys a key.
fn owner(key: &Key) -> Option<&'static Owner> {
    let name = key.path.strip_prefix("kind.")?;
    let (handler, _) = HANDLER_KEYS.iter().find(|(_, keys)| keys.contains(&name))?;
    OWNERS.iter().find(|owner| owner.handler == *handler)
}

pub(super) fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
    let variables = [&[("PATH", "/bin")], variables].concat();
    let loaded = load_with(text, &variables);
    loaded.unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}")).settings
}

/// A key, a value of it that isn't its default, and files without and with it.
pub(super) struct Change {
    pub(super) key: &'static Key,
    value: &'static str,
    pub(super) before: String,
    pub(super) after: String,
}

/// Each key that a value alone can change.
pub(super) fn changes() -> impl Iterator<Item = Change> {
    KEYS.iter().filter(|key| !ELSEWHERE.contains(&key.path)).map(|key| {
        let other = OTHERS.iter().find(|(path, _)| *path == key.path);
        let (_, value) = other.unwrap_or_else(|| panic!("{} is set by no test", key.path));
        let before = match owner(key) {
            Some(owner) if owner.needs == key.name() => file(Some((key, owner.value))),
            Some(_) => file(Some((key, value)))
                .replace(&format!("{} = {}\n", key.name(), literal(value)), ""),
            None if key.path == "kind.handler" => file(Some((key, "noop"))),
            None => file(None),
        };
        Change { key, value, before, after: file(Some((key, value))) }
    })
}

#[test]
fn every_key_is_set_by_file_and_by_environment_and_its_effect_shows() {
    for Change { key, value, before, after } in changes() {
        let by_file = settings(&after, &[]);
        let variable = variable_of(key.path).replace("__NAME__", "__X__");
        // JSON is JSON there, and no table of TOML.
        let text = if key.path == "schedule.payload" { "{\"a\":7}" } else { value };
        let by_variable = settings(&before, &[(&variable, text)]);
        assert_eq!(by_file, by_variable, "{}: file and {variable}", key.path);
        assert_ne!(by_file, settings(&before, &[]), "{} has no effect", key.path);
    }
}

#[test]
fn the_default_file_has_every_key_once_in_the_order_of_the_table_and_with_its_range() {
    let documented = documented();
    let paths: Vec<_> = documented.iter().map(|key| key.path.as_str()).collect();
    assert_eq!(paths, KEYS.iter().map(|key| key.path).collect::<Vec<_>>());
    for (documented, key) in documented.iter().zip(KEYS) {
        let range = format!("({})", key.form.range());
        assert!(documented.sentence.contains(&range), "{documented:?} lacks {range}");
    }
}

#[test]
fn the_default_file_is_right_with_all_its_examples() {
    let files = Files::new();
    let written = [
        ("/run/secrets/database-url", "postgres:///app"),
        ("/run/secrets/database-direct-url", "postgres:///app"),
        ("/run/secrets/webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("/run/secrets/admin-token", "a-token-of-32-bytes-for-everything"),
        ("/run/secrets/operator-token", "a-token-of-32-bytes-to-steer-jobs"),
        ("/run/secrets/viewer-token", "a-token-of-32-bytes-to-look-at-it"),
        ("/etc/legwork/ca.pem", super::http::AUTHORITY),
    ];
    for Owner { handler, .. } in OWNERS {
        let text =
            written.iter().enumerate().fold(examples_of(handler), |text, (n, (name, content))| {
                let path = files.write(&n.to_string(), content);
                text.replace(name, &path.display().to_string())
            });
        let settings = settings(&text, &[]);
        let (queues, kinds, schedules) = (settings.queues, settings.kinds, settings.schedules);
        assert_eq!((queues.len(), kinds.len(), schedules.len()), (1, 1, 1), "{handler}");
    }
}

/// `default.toml` with its examples switched on, those of one handler and not those of others.
pub(super) fn examples_of(handler: &str) -> String {
    let others: Vec<_> = HANDLER_KEYS.iter().filter(|(owner, _)| *owner != handler).collect();
    let line = |line: &str| {
        let bare = line.strip_prefix("# ").unwrap_or_default();
        let name = bare.split(" = ").next().unwrap_or_default();
        if others.iter().any(|(_, keys)| keys.contains(&name)) {
            return String::new();
        }
        let key = bare.contains(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c));
        match bare {
            _ if bare.contains("url = \"postgres:") => String::new(),
            _ if name == "handler" => format!("handler = {handler:?}"),
            _ if key || bare.starts_with("[[") => bare.to_owned(),
            _ => line.to_owned(),
        }
    };
    default_file().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_has_a_row_for_every_key_and_no_other() {
    let mut rows = String::new();
    for (key, Documented { default, sentence, .. }) in KEYS.iter().zip(documented()) {
        let range = key.form.range();
        let sentence = sentence.replace(&format!(" ({range})"), "");
        let default = default.map_or_else(|| "—".into(), |default| format!("`{default}`"));
        writeln!(rows, "| `{}` | {default} | {range} | {sentence} |", key.path).expect("written");
    }
    let page = include_str!("../../../docs/configuration.md");
    let reference = page.split("\n## ").find(|part| part.starts_with("Reference"));
    let lines = reference.expect("a section Reference").lines();
    let written: Vec<_> = lines.filter(|line| line.starts_with("| `")).collect();
    assert_eq!(
        written,
        rows.lines().collect::<Vec<_>>(),
        "put these rows into docs/configuration.md:\n{rows}"
    );
}
