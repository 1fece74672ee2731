//! Typed reading of the merged tree: one method for each form, each noting what is wrong.
//!
//! A value that can't be used is noted and replaced by the fallback, so that reading goes on to the
//! next one. It knows nothing about how values depend on one another; `check` does.

use super::{
    arguments, form, json,
    keys::{Form, form_of},
    mistakes::Mistakes,
    tree::{Tree, literal},
};
use crate::job::{RateLimit, Retention};
use config::{Value, ValueKind};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

/// The origin of what `default.toml` says.
pub(super) const DEFAULT: &str = "default";

/// A section, or one entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) section: &'static str,
    pub(super) item: Option<&'a str>,
}

impl At<'_> {
    /// The key as people find it.
    pub(super) fn label(&self, key: &str) -> String {
        let path: Vec<&str> = [self.section].into_iter().chain(self.item).chain([key]).collect();
        label(&path)
    }
}

/// A path in the tree as people find it: `daemon.lease_ttl`, `[[kind]] "resize".timeout`.
pub(super) fn label(path: &[&str]) -> String {
    match path {
        [list @ ("queue" | "kind" | "schedule"), number, key @ ..] if number.starts_with('#') => {
            format!("[[{list}]] {number}.{}", key.join("."))
        }
        [list @ ("queue" | "kind" | "schedule"), name, key @ ..] => {
            format!("[[{list}]] {name:?}.{}", key.join("."))
        }
        path => path.join("."),
    }
}

/// Reads, and remembers what was wrong.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) tree: &'a Tree,
    pub(super) mistakes: Mistakes,
    cpus: usize,
    /// Values may be missing that are there: nothing is to be made of what isn't.
    pub(super) broken: bool,
    faulty: BTreeSet<String>,
}

type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn new(tree: &'a Tree, cpus: usize, broken: bool, mistakes: Mistakes) -> Self {
        Self { tree, mistakes, cpus, broken, faulty: BTreeSet::new() }
    }

    /// The value as it was given, if it was.
    pub(super) fn raw(&self, at: At<'_>, key: &str) -> Option<&'a Value> {
        let path = at.item.into_iter().chain(key.split('.'));
        self.tree.get(&[at.section].into_iter().chain(path).collect::<Vec<_>>())
    }

    /// Where a value came from.
    pub(super) fn place(&self, at: At<'_>, key: &str) -> Option<&'a str> {
        self.raw(at, key)?.origin()
    }

    /// Of two keys that contradict each other, the one to change: the first unless only the other
    /// was given.
    pub(super) fn culprit<'k>(&self, at: At<'_>, one: &'k str, other: &'k str) -> &'k str {
        let given = |key| self.place(at, key).is_some_and(|place| place != DEFAULT);
        if given(one) || !given(other) { one } else { other }
    }

    /// Notes that a value can't be used.
    pub(super) fn refuse(&mut self, at: At<'_>, key: &str, why: &str) {
        let label = at.label(key);
        let place = self.place(at, key);
        self.mistakes.push(format!("{label}: {why}"), place);
        self.faulty.insert(label);
    }

    /// Whether nothing was wrong with these values, so that they can be compared.
    pub(super) fn sound(&self, at: At<'_>, keys: &[&str]) -> bool {
        !self.broken && keys.iter().all(|key| !self.faulty.contains(&at.label(key)))
    }

    fn read<T>(
        &mut self,
        at: At<'_>,
        key: &str,
        parse: impl FnOnce(&ValueKind, Form) -> Read<T>,
    ) -> Option<T> {
        let value = self.raw(at, key)?;
        let form = form_of(&format!("{}.{key}", at.section))?;
        match parse(&value.kind, form) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(at, key, &why);
                None
            }
        }
    }

    pub(super) fn duration(&mut self, at: At<'_>, key: &str, fallback: Duration) -> Duration {
        self.duration_if_given(at, key).unwrap_or(fallback)
    }

    pub(super) fn duration_if_given(&mut self, at: At<'_>, key: &str) -> Option<Duration> {
        let parse = |value: &ValueKind, form| {
            let time = parsed(value, form, form::duration)?;
            let inside = matches!(form, Form::Duration { min, max } if (min..=max).contains(&time));
            within(inside, value, form).map(|()| time)
        };
        self.read(at, key, parse)
    }

    pub(super) fn size(&mut self, at: At<'_>, key: &str, fallback: usize) -> usize {
        let parse = |value: &ValueKind, form| {
            let bytes = parsed(value, form, form::size)?;
            let inside = matches!(form, Form::Size { min, max } if (min..=max).contains(&bytes));
            within(inside, value, form)?;
            usize::try_from(bytes).map_err(|_| isnt(value, form))
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn count<T: TryFrom<u64>>(&mut self, at: At<'_>, key: &str, fallback: T) -> T {
        let parse = |value: &ValueKind, form| {
            let ValueKind::I64(number) = value else { return Err(isnt(value, form)) };
            let fits = |number: &u64| matches!(form, Form::Count { min, max } if (min..=max).contains(number));
            let number = u64::try_from(*number).ok().filter(fits);
            let number = number.and_then(|number| T::try_from(number).ok());
            number.ok_or_else(|| out_of_range(value, form))
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    /// A bound; `None` where it is `"none"`.
    pub(super) fn cap<T: TryFrom<u64>>(
        &mut self,
        at: At<'_>,
        key: &str,
        fallback: Option<T>,
    ) -> Option<T> {
        let parse = |value: &ValueKind, form| match value {
            ValueKind::String(text) if text == "none" => Ok(None),
            ValueKind::I64(number) => {
                let fits = |number: &u64| matches!(form, Form::Cap { min, max } if (min..=max).contains(number));
                let number = u64::try_from(*number).ok().filter(fits);
                let number = number.and_then(|number| T::try_from(number).ok());
                number.map(Some).ok_or_else(|| out_of_range(value, form))
            }
            _ => Err(isnt(value, form)),
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn signed(&mut self, at: At<'_>, key: &str, fallback: i16) -> i16 {
        let parse = |value: &ValueKind, form| {
            let ValueKind::I64(number) = value else { return Err(isnt(value, form)) };
            let fits = |number: &i16| matches!(form, Form::Signed { min, max } if (min..=max).contains(number));
            let number = i16::try_from(*number).ok().filter(fits);
            number.ok_or_else(|| out_of_range(value, form))
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    /// JSON, as text: of a text what it says, of any other value what it is.
    pub(super) fn json(&mut self, at: At<'_>, key: &str) -> Option<String> {
        self.read(at, key, |value, _| json::text(value))
    }

    pub(super) fn number(&mut self, at: At<'_>, key: &str, fallback: f64) -> f64 {
        let parse = |value: &ValueKind, form| {
            let number = match value {
                ValueKind::Float(number) => *number,
                // Small whole numbers are exact; larger ones are out of every range.
                ValueKind::I64(number) => i32::try_from(*number).map_or(f64::INFINITY, f64::from),
                _ => return Err(isnt(value, form)),
            };
            let inside = matches!(form, Form::Number { min, max } if (min..=max).contains(&number));
            within(inside, value, form).map(|()| number)
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn switch(&mut self, at: At<'_>, key: &str, fallback: bool) -> bool {
        let parse = |value: &ValueKind, form| match value {
            ValueKind::Boolean(value) => Ok(*value),
            _ => Err(isnt(value, form)),
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn concurrency(&mut self, at: At<'_>, key: &str, fallback: u32) -> u32 {
        let cpus = self.cpus;
        let parse = |value: &ValueKind, form| {
            let jobs = match value {
                ValueKind::I64(number) => u64::try_from(*number).ok(),
                ValueKind::String(text) => {
                    Some(form::concurrency(text, cpus).ok_or_else(|| isnt(value, form))?)
                }
                _ => return Err(isnt(value, form)),
            };
            let allowed = 1..=super::keys::CONCURRENCY_MAX;
            let jobs = jobs.filter(|jobs| allowed.contains(jobs));
            let jobs = jobs.and_then(|jobs| u32::try_from(jobs).ok());
            jobs.ok_or_else(|| out_of_range(value, form))
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn retention(&mut self, at: At<'_>, key: &str, fallback: Retention) -> Retention {
        let parse = |value: &ValueKind, form| parsed(value, form, form::retention);
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn rate_limit(&mut self, at: At<'_>, key: &str) -> Option<RateLimit> {
        self.read(at, key, |value, form| parsed(value, form, form::rate_limit))
    }

    pub(super) fn one_of(&mut self, at: At<'_>, key: &str) -> Option<&'static str> {
        let parse = |value: &ValueKind, form| {
            let Form::OneOf(words) = form else { return Err(isnt(value, form)) };
            parsed(value, form, |text| words.iter().find(|word| **word == text).copied())
        };
        self.read(at, key, parse)
    }

    /// Text of one line. `keep` says what is wrong with it, if anything is.
    pub(super) fn text(
        &mut self,
        at: At<'_>,
        key: &str,
        keep: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<String> {
        let parse = |value: &ValueKind, form| {
            let ValueKind::String(text) = value else { return Err(isnt(value, form)) };
            if text.chars().any(char::is_control) {
                return Err("control characters can't stand in it".into());
            }
            keep(text).map(|()| text.clone())
        };
        self.read(at, key, parse)
    }

    pub(super) fn address(
        &mut self,
        at: At<'_>,
        key: &str,
        fallback: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let parse = |value: &ValueKind, form| {
            let address = |text: &str| match text {
                "off" => Some(None),
                text => text.parse().ok().map(Some),
            };
            parsed(value, form, address)
        };
        self.read(at, key, parse).unwrap_or(fallback)
    }

    pub(super) fn words(&mut self, at: At<'_>, key: &str) -> Option<Vec<String>> {
        let parse = |value: &ValueKind, form| {
            let ValueKind::Array(items) = value else { return Err(isnt(value, form)) };
            let texts = items.iter().enumerate().map(|(index, item)| match &item.kind {
                ValueKind::String(text) => Ok(text.clone()),
                _ => Err(format!("its value {} isn't text: write it in quotes", index + 1)),
            });
            texts.collect()
        };
        self.read(at, key, parse)
    }

    /// One text or a list of texts, as a list.
    pub(super) fn one_or_more(&mut self, at: At<'_>, key: &str) -> Vec<String> {
        let parse = |value: &ValueKind, form| {
            let texts = match value {
                ValueKind::String(text) => Some(vec![text.clone()]),
                ValueKind::Array(items) => items
                    .iter()
                    .map(|item| match &item.kind {
                        ValueKind::String(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            };
            texts.ok_or_else(|| isnt(value, form))
        };
        self.read(at, key, parse).unwrap_or_default()
    }

    /// Names and values, sorted by name. Values aren't shown: they may be secrets. One that isn't text is
    /// noted and read as empty, so that it hides no mistake in the others.
    pub(super) fn pairs(&mut self, at: At<'_>, key: &str) -> Vec<(String, String)> {
        let parse = |value: &ValueKind, form| {
            let ValueKind::Table(table) = value else { return Err(isnt(value, form)) };
            let pairs = table.iter().map(|(name, value)| match &value.kind {
                ValueKind::String(text) => (name.clone(), Some(text.clone())),
                _ => (name.clone(), None),
            });
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort();
            Ok(pairs)
        };
        let pairs = self.read(at, key, parse).unwrap_or_default();
        for (name, _) in pairs.iter().filter(|(_, text)| text.is_none()) {
            let why = format!("the value of {name} isn't text: write it in quotes");
            self.refuse(at, key, &why);
        }
        pairs.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect()
    }
}

fn parsed<T>(value: &ValueKind, form: Form, parse: impl FnOnce(&str) -> Option<T>) -> Read<T> {
    match value {
        ValueKind::String(text) => parse(text).ok_or_else(|| isnt(value, form)),
        _ => Err(isnt(value, form)),
    }
}

fn within(inside: bool, value: &ValueKind, form: Form) -> Read<()> {
    if inside { Ok(()) } else { Err(out_of_range(value, form)) }
}

pub(super) fn isnt(value: &ValueKind, form: Form) -> String {
    let shown = match form {
        // They may be secrets, or have one in them.
        Form::Url | Form::HttpUrl | Form::Path | Form::Paths | Form::Pairs | Form::Json => {
            "this".into()
        }
        _ => blotted(value, form),
    };
    let Form::OneOf(words) = form else {
        return format!("{shown} isn't {}: {}", form.noun(), form.how());
    };
    let near = match value {
        ValueKind::String(text) => super::keys::closest(text, words.iter().copied(), 0.5),
        _ => None,
    };
    let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("{shown} isn't one of {}{near}", form.range())
}

/// A value as the file would have it. A command may stand where something else belongs, with all its arguments: of what should
/// have been a list nothing is shown, of a list neither, and of a text what has no name that says that it is secret.
fn blotted(value: &ValueKind, form: Form) -> String {
    match value {
        ValueKind::String(_) if form == Form::Words => "one text".into(),
        ValueKind::String(text) => literal(&arguments::argument(text).into()),
        ValueKind::Array(_) => "a list".into(),
        other => literal(other),
    }
}

fn out_of_range(value: &ValueKind, form: Form) -> String {
    format!("{} is out of range: {}", literal(value), form.range())
}
