//! Each effective value with its source, for `legwork config show`; secrets blotted out.

use super::{
    arguments,
    check::TOKENS,
    environment::Environment,
    file::Item,
    form,
    keys::{Form, KEYS, Key},
    reader::{At, DEFAULT, Reader},
    settings::{CircuitSettings, HttpSettings, Settings},
    tree::written,
};
use ::url::Url;
use config::{Value, ValueKind};
use serde::Serialize;

/// One key's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// As mistakes name it: `daemon.lease_ttl`, `[[kind]] "resize".timeout`.
    pub key: String,
    /// As the file would have it; a URL without its password, or without its path, and a command without what
    /// the names of its arguments call secret.
    pub value: String,
    /// `default`, `legwork.toml:12`, `environment LEGWORK_…`, `flag --…`.
    pub source: String,
}

/// Keys of a list's entry that another section stands in for.
const INHERITED: [(&str, &str); 9] = [
    ("queue.retention", "retention.completed"),
    ("kind.timeout", "retry.timeout"),
    ("kind.max_attempts", "retry.max_attempts"),
    ("kind.max_rescues", "retry.max_rescues"),
    ("kind.max_snoozes", "retry.max_snoozes"),
    ("kind.backoff.base", "retry.backoff.base"),
    ("kind.backoff.factor", "retry.backoff.factor"),
    ("kind.backoff.max", "retry.backoff.max"),
    ("kind.backoff.jitter", "retry.backoff.jitter"),
];

/// What the listing is made from.
pub(super) struct Showing<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    /// Where the database's URL came from.
    pub(super) url_place: Option<&'a str>,
}

/// A URL up to its path, which may hold a secret, as its query may.
fn without_path(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return "\"…\"".into() };
    let rest = if url.path() == "/" && url.query().is_none() { "/" } else { "/…" };
    format!("\"{}{rest}\"", url.origin().ascii_serialization())
}

/// A program and its arguments; texts, as they were checked to be.
fn command(words: &[Value]) -> String {
    let words = words.iter().filter_map(|word| match &word.kind {
        ValueKind::String(word) => Some(word.as_str()),
        _ => None,
    });
    written(&ValueKind::Array(arguments::shown(words).into_iter().map(Value::from).collect()))
}

impl Showing<'_> {
    /// Every key in the order of the reference; lists entry by entry. Keys that say nothing are
    /// left out, but for the database's URL, which people look for.
    pub(super) fn all(&self, lists: [(&'static str, &[Item]); 3]) -> Vec<Shown> {
        let sections = KEYS.iter().filter(|key| !key.path.starts_with("database.url"));
        let mut shown = vec![self.url()];
        for key in sections.filter(|key| !matches!(key.section(), "queue" | "kind" | "schedule")) {
            shown.extend(self.one(At { section: key.section(), item: None }, key));
        }
        for (section, items) in lists {
            for item in items {
                let at = At { section, item: Some(&item.id) };
                let keys = KEYS.iter().filter(|key| key.section() == section);
                shown.extend(
                    keys.filter(|key| key.name() != "name").filter_map(|k| self.one(at, k)),
                );
            }
        }
        shown
    }

    fn url(&self) -> Shown {
        let url = self.settings.database.url.as_ref();
        let value = url.map_or_else(|| "none".into(), |url| format!("{:?}", url.redacted()));
        let source = self.url_place.unwrap_or(DEFAULT).to_owned();
        Shown { key: "database.url".into(), value, source }
    }

    /// The URL's own limit, where nothing else was said.
    fn connect_timeout(&self, key: &Key) -> Option<Shown> {
        let (of_url, source) = (self.settings.database.url.as_ref()?, self.url_place?);
        let limit = of_url.read().ok()?.connect_timeout()?;
        let holds = limit == self.settings.database.connect_timeout;
        let value = format!("{:?}", form::duration_text(limit));
        holds.then(|| Shown { key: key.path.into(), value, source: source.to_owned() })
    }

    fn one(&self, at: At<'_>, key: &Key) -> Option<Shown> {
        if key.path == "database.connect_timeout"
            && self.reader.place(at, key.name()) == Some(DEFAULT)
            && let Some(shown) = self.connect_timeout(key)
        {
            return Some(shown);
        }
        let own = self.reader.raw(at, key.name());
        let heir = INHERITED.iter().find(|(path, _)| *path == key.path).and_then(|(_, from)| {
            let (section, name) = from.split_once('.')?;
            self.reader.tree.get(&[section].into_iter().chain(name.split('.')).collect::<Vec<_>>())
        });
        let (value, source) = match own.or(heir) {
            Some(value) => (self.value(value, key), value.origin().unwrap_or(DEFAULT)),
            None => return self.token(key).or_else(|| self.by_default(at, key)),
        };
        Some(Shown { key: at.label(key.name()), value, source: source.to_owned() })
    }

    fn by_default(&self, at: At<'_>, key: &Key) -> Option<Shown> {
        let value = self.default(at, key)?;
        Some(Shown { key: at.label(key.name()), value, source: DEFAULT.into() })
    }

    /// A token of the admin port that comes from the service's credentials.
    fn token(&self, key: &Key) -> Option<Shown> {
        let tokens = &self.settings.admin.tokens;
        let held = [&tokens.admin, &tokens.operator, &tokens.viewer];
        let of = |(name, _): &(&str, &str)| key.path.strip_prefix("admin.") == Some(*name);
        let number = TOKENS.iter().position(of).filter(|number| !held[*number].is_empty())?;
        let source = format!("credential {}", TOKENS[number].1);
        Some(Shown { key: key.path.into(), value: "\"…\"".into(), source })
    }

    fn value(&self, value: &Value, key: &Key) -> String {
        let (text, form) = (written(&value.kind), key.form);
        if let ("kind.command", ValueKind::Array(words)) = (key.path, &value.kind) {
            return command(words);
        }
        if let (Form::HttpUrl, ValueKind::String(url)) = (form, &value.kind) {
            return without_path(url);
        }
        if let (Form::Json, ValueKind::String(json)) = (form, &value.kind) {
            // As of a table the names alone are shown: it may hold a secret.
            return format!("{} bytes of JSON", json.len());
        }
        let (Form::Concurrency, ValueKind::String(given)) = (form, &value.kind) else {
            return text;
        };
        match form::concurrency(given, self.environment.cpus()) {
            Some(jobs) if given.contains("cpus") => format!("{text} (now {jobs})"),
            _ => text,
        }
    }

    /// Defaults of lists' entries, which stand in no section.
    fn default(&self, at: At<'_>, key: &Key) -> Option<String> {
        let handler = self.reader.raw(at, "handler").map(|value| &value.kind);
        let is =
            |name: &str| matches!(handler, Some(ValueKind::String(handler)) if handler == name);
        let (command, http) = (is("command"), is("http"));
        let commands = super::settings::CommandSettings::default();
        match key.path {
            "queue.concurrency" => Some(super::defaults::CONCURRENCY.to_string()),
            "schedule.timezone" => Some("\"UTC\"".into()),
            "schedule.queue" => Some(format!("{:?}", super::defaults::default_queue().as_str())),
            "schedule.payload" => Some("{}".into()),
            "schedule.priority" => Some("0".into()),
            "schedule.catch_up" => Some("\"last\"".into()),
            "schedule.overlap" => Some("\"skip\"".into()),
            "schedule.jitter" => Some("\"0s\"".into()),
            "kind.kill_grace" if command => {
                Some(format!("{:?}", form::duration_text(commands.kill_grace)))
            }
            "kind.max_output" if command => {
                Some(format!("{:?}", form::size_text(commands.max_output as u64)))
            }
            "kind.connect_timeout" if http => {
                Some(format!("{:?}", form::duration_text(HttpSettings::CONNECT_TIMEOUT)))
            }
            "kind.response_timeout" if http => {
                Some(format!("{:?}", form::duration_text(HttpSettings::RESPONSE_TIMEOUT)))
            }
            "kind.max_result" if http => {
                Some(format!("{:?}", form::size_text(HttpSettings::MAX_RESULT as u64)))
            }
            "kind.circuit.failures" if http => {
                Some(CircuitSettings::default().failures.to_string())
            }
            "kind.circuit.open_for" if http => {
                Some(format!("{:?}", form::duration_text(CircuitSettings::default().open_for)))
            }
            _ => None,
        }
    }
}
