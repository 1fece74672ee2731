//! `LEGWORK_SECTION__KEY` and flags, as layers over the file.
//!
//! Their values are text; what the key's form isn't text for is read as the file would have it. A
//! variable that looks like ours and isn't is refused, since a typo in a Deployment is as silent as
//! one in a file; but what others set under our name (a job's own variables, Kubernetes' service
//! links) is let through.

use super::{
    environment::Environment,
    file::{Item, converted, hint},
    keys::{Form, form_of, nearest},
    mistakes::Mistakes,
    reader::label,
    source::Flag,
    tree::Layer,
};
use crate::job::JobVariable;
use config::{Value, ValueKind};
use std::{collections::BTreeSet, ffi::OsStr};
use toml::de::DeValue;

const PREFIX: &str = "LEGWORK_";

/// OpenTelemetry's variables for where spans go. The first is a whole URL, the second, as the key, what
/// `/v1/traces` is put behind.
pub(super) const ENDPOINT_VARIABLES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The entries whose keys may be set.
pub(super) struct Items<'a> {
    pub(super) queues: &'a [Item],
    pub(super) kinds: &'a [Item],
    pub(super) schedules: &'a [Item],
    /// There are no others.
    pub(super) complete: bool,
}

/// The environment's layer.
pub(super) fn of_environment(
    environment: &Environment,
    items: &Items<'_>,
    mistakes: &mut Mistakes,
) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in environment.starting_with(PREFIX) {
        if foreign(name, value) {
            continue;
        }
        let place = format!("environment {name}");
        match variable(name, value, items) {
            Ok((path, text)) => set(&mut layer, &path, text, &place, mistakes),
            Err(why) => mistakes.push(why, Some(&place)),
        }
    }
    layer
}

/// What OpenTelemetry's variables name, which everybody in a container may be given: it holds where
/// nobody said anything of Legwork's own.
pub(super) fn of_standard_variables(environment: &Environment) -> Layer {
    let mut layer = Layer::default();
    let off =
        environment.text("OTEL_SDK_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true"));
    let mut named = ENDPOINT_VARIABLES.into_iter().filter(|_| !off);
    let first = named.find_map(|name| Some((name, environment.text(name)?)));
    if let Some((name, url)) = first {
        let place = format!("environment {name}");
        layer.set(&["tracing", "otlp_endpoint"], Value::new(Some(&place), url));
    }
    layer
}

/// The flags, laid over what one of them said already.
pub(super) fn of_flags(
    flags: &[Flag],
    mut layer: Layer,
    items: &Items<'_>,
    mistakes: &mut Mistakes,
) -> Layer {
    for Flag { flag, key, value } in flags.iter().filter(|flag| flag.key != "queues") {
        let place = format!("flag {flag}");
        let exact = |name: &str| name.to_owned();
        match resolved(key, ".", exact, items) {
            Ok(path) => set(&mut layer, &path, value, &place, mistakes),
            Err(why) => mistakes.push(why, Some(&place)),
        }
    }
    layer
}

/// A path in the tree: section, name for lists, keys. Empty where it can't be known.
type Path = Vec<String>;

fn variable<'v>(
    name: &str,
    value: &'v OsStr,
    items: &Items<'_>,
) -> Result<(Path, &'v str), String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    if !rest.contains("__") {
        let near = nearest(&rest.to_ascii_lowercase().replacen('_', ".", 1)).map(variable_of);
        let near = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
        return Err(format!("{name} names no key{near}"));
    }
    let text = value.to_str().ok_or_else(|| format!("{name} isn't UTF-8"))?;
    if text.is_empty() {
        return Err(format!("{name} is empty: give it a value or unset it"));
    }
    Ok((resolved(&rest.to_ascii_lowercase(), "__", folded, items)?, text))
}

/// Names have characters that variables can't have.
fn folded(name: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(fold).collect()
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    let key = match key.split_once('.') {
        Some((list @ ("queue" | "kind" | "schedule"), key)) => format!("{list}.NAME.{key}"),
        _ => key.to_owned(),
    };
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// Finds the key that a text with this separator means; `fold` makes names comparable.
fn resolved(
    text: &str,
    separator: &str,
    fold: impl Fn(&str) -> String,
    items: &Items<'_>,
) -> Result<Path, String> {
    let unknown = |key: &str| format!("there is no key {key:?}{}", hint(nearest(key)));
    let (section, rest) = text.split_once(separator).ok_or_else(|| unknown(text))?;
    let listed = match section {
        "queue" => items.queues,
        "kind" => items.kinds,
        "schedule" => items.schedules,
        _ => {
            let key = format!("{section}.{}", rest.replace(separator, "."));
            let known = form_of(&key).is_some();
            return if known { Ok(split(&key)) } else { Err(unknown(&key)) };
        }
    };
    let of_item = |item: &Item| {
        let key = rest.strip_prefix(&fold(&item.id))?.strip_prefix(separator)?;
        Some((item.id.clone(), key.replace(separator, ".")))
    };
    let found: Vec<_> = listed.iter().filter_map(of_item).collect();
    match found.as_slice() {
        [(name, key)] if key == "name" => Err(format!("{section} {name:?} is named in the file")),
        [(name, key)] if form_of(&format!("{section}.{key}")).is_some() => {
            Ok([section, name].map(str::to_owned).into_iter().chain(split(key)).collect())
        }
        [(_, key)] => Err(unknown(&format!("{section}.{key}"))),
        [] if !items.complete => Ok(Path::new()),
        [] => Err(nobody(section, listed)),
        [(one, _), (other, _), ..] => Err(format!("it could mean {section} {one:?} or {other:?}")),
    }
}

fn split(key: &str) -> Path {
    key.split('.').map(str::to_owned).collect()
}

fn nobody(section: &str, listed: &[Item]) -> String {
    const SHOWN: usize = 10;
    let names: Vec<_> = listed.iter().take(SHOWN).map(|item| item.id.as_str()).collect();
    match names.as_slice() {
        [] => format!("it names no {section}: none is listed"),
        names => format!("it names no {section} that is listed: {}", names.join(", ")),
    }
}

fn set(layer: &mut Layer, path: &[String], text: &str, place: &str, mistakes: &mut Mistakes) {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let known = match names.as_slice() {
        [list @ ("queue" | "kind" | "schedule"), _, key @ ..] => {
            format!("{list}.{}", key.join("."))
        }
        names => names.join("."),
    };
    let Some(form) = form_of(&known) else { return };
    match read(text, form, place) {
        Ok(kind) => layer.set(&names, Value::new(Some(&place.to_owned()), kind)),
        Err(why) => mistakes.push(format!("{}: {why}", label(&names)), Some(place)),
    }
}

/// Text as the file would have it; what can't be read so stays text, and its form refuses it.
fn read(text: &str, form: Form, place: &str) -> Result<ValueKind, String> {
    let as_text = || ValueKind::String(text.to_owned());
    Ok(match form {
        Form::Switch => text.parse().map_or_else(|_| as_text(), ValueKind::Boolean),
        Form::Count { .. } | Form::Cap { .. } => {
            text.parse().map_or_else(|_| as_text(), ValueKind::I64)
        }
        Form::Signed { .. } => text.parse().map_or_else(|_| as_text(), ValueKind::I64),
        Form::Number { .. } => text.parse().map_or_else(|_| as_text(), ValueKind::Float),
        Form::Words | Form::Pairs => match DeValue::parse(text) {
            Ok(value) => converted(value.get_ref(), place)?,
            Err(_) => as_text(),
        },
        _ => as_text(),
    })
}

/// Whether a variable that begins like ours is somebody else's: a job's own, which a program that calls
/// `legwork` hands on, or a service link.
fn foreign(name: &str, value: &OsStr) -> bool {
    let of_a_job = || JobVariable::ALL.iter().any(|variable| variable.name() == name);
    name == "LEGWORK_CONFIG" || of_a_job() || is_service_link(name, value)
}

/// What Kubernetes tells each container about a service called `legwork` or `legwork-…`: host, ports, and
/// the same in the form of Docker's links. `LEGWORK_ADMIN_PORT = 9999` is no such thing.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp://", "udp://", "sctp://"];
    let link = format!("_{}", name.strip_prefix(PREFIX).unwrap_or_default());
    let is_url = || {
        let value = value.to_string_lossy();
        PROTOCOLS.iter().any(|protocol| value.starts_with(protocol))
    };
    let of_a_service = link.ends_with("_SERVICE_HOST")
        || link.ends_with("_SERVICE_PORT")
        || link.contains("_SERVICE_PORT_")
        || (link.ends_with("_PORT") && is_url())
        || is_link_of_a_port(&link);
    of_a_service && !link.contains("__")
}

/// `…_PORT_80_TCP`, and `_PROTO`, `_PORT` and `_ADDR` behind it.
fn is_link_of_a_port(link: &str) -> bool {
    let Some((_, port)) = link.split_once("_PORT_") else { return false };
    let mut parts = port.split('_');
    let number = parts.next().unwrap_or_default();
    let protocol = parts.next().unwrap_or_default();
    let rest = parts.next();
    number.parse::<u16>().is_ok()
        && ["TCP", "UDP", "SCTP"].contains(&protocol)
        && rest.is_none_or(|rest| ["PROTO", "PORT", "ADDR"].contains(&rest))
        && parts.next().is_none()
}

/// `a=10,b=2`: the queues to serve and what each may run at once.
pub(super) fn queues(flags: &[Flag], mistakes: &mut Mistakes) -> Option<Vec<(Item, String)>> {
    let Flag { flag, value, .. } = flags.iter().rev().find(|flag| flag.key == "queues")?;
    let place = format!("flag {flag}");
    let entry = |text: &str| {
        let (name, concurrency) = text.trim().split_once('=')?;
        crate::job::QueueName::new(name).ok()?;
        let item = Item { id: name.to_owned(), place: Some(place.clone()) };
        Some((item, concurrency.to_owned()))
    };
    let entries: Option<Vec<(Item, String)>> = value.split(',').map(entry).collect();
    let twice = |entries: &[(Item, String)]| {
        let names: BTreeSet<&str> = entries.iter().map(|(item, _)| item.id.as_str()).collect();
        names.len() < entries.len()
    };
    if entries.as_deref().is_none_or(twice) {
        let why = format!("{value:?} isn't a list of queues: write name=10,other=2, each once");
        mistakes.push(why, Some(&place));
    }
    entries
}
