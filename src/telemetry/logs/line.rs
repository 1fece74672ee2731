//! How one log line looks.
//!
//! JSON has flat dotted keys in a fixed order, so that people can read it and `jq '."job.id"'`
//! works. Whatever a job, a header or an error puts into a field, the line stays one line and can't
//! move a terminal's cursor: control characters and marks that turn the direction of text are
//! escaped in both styles.

use crate::telemetry::causes;
use serde_json::Value;
use std::{
    error::Error,
    fmt::{self, Write},
    time::SystemTime,
};
use time::{OffsetDateTime, macros::format_description};
use tracing::{
    Level, Metadata,
    field::{Field, Visit},
};

/// Longest value in bytes; an attempt's error is kept to the same length.
pub(super) const VALUE_MAX_BYTES: usize = 8 * 1024;
/// Where a line stops taking fields, in bytes. With one last value it stays below 64 KiB, unless
/// nearly every character has to be escaped.
const LINE_MAX_BYTES: usize = 16 * 1024;
/// The fields that come first, in this order; others follow as they were recorded.
pub(super) const ORDER: [&str; 16] = [
    "trace_id",
    "span_id",
    "trace_flags",
    "request_id",
    "user_id",
    "event",
    "job.id",
    "job.kind",
    "job.queue",
    "job.attempt",
    "job.max_attempts",
    "job.outcome",
    "duration_ms",
    "error.type",
    "error.message",
    "error.stack",
];

/// Which of the two looks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    /// For machines.
    Json,
    /// For people.
    Pretty { colour: bool },
}

/// What an event or a span carries.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Sets a field; the last word counts.
    pub(super) fn put(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets a field that isn't known yet.
    pub(super) fn put_missing(&mut self, name: &'static str, value: impl FnOnce() -> Value) {
        if self.0.iter().all(|(known, _)| *known != name) {
            self.0.push((name, value()));
        }
    }

    /// Takes what isn't known yet. A span's message is its own.
    pub(super) fn add_missing(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if *name != "message" && self.0.iter().all(|(known, _)| known != name) {
                self.0.push((name, value.clone()));
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn text(&mut self, name: &'static str, mut text: String) {
        if text.len() > VALUE_MAX_BYTES {
            text.truncate(text.floor_char_boundary(VALUE_MAX_BYTES));
            text.push('…');
        }
        self.put(name, Value::String(text));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    /// The error and what caused it. Short for `error.message`: `error`.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let chain = causes::told(value);
        let name = if field.name() == "error" { "error.message" } else { field.name() };
        self.text(name, chain);
    }
}

/// One event, ready to be written.
pub(super) struct Line<'a> {
    at: SystemTime,
    level: Level,
    target: &'a str,
    instance: &'a str,
    message: String,
    fields: Fields,
}

impl<'a> Line<'a> {
    pub(super) fn now(metadata: &'a Metadata<'_>, instance: &'a str, fields: Fields) -> Self {
        Self::of(*metadata.level(), metadata.target(), instance, fields)
    }

    /// A line of now that no event of `tracing` stands behind.
    #[expect(clippy::disallowed_methods, reason = "a line's time is for people, nothing decides")]
    pub(super) fn of(level: Level, target: &'a str, instance: &'a str, fields: Fields) -> Self {
        Self::at(SystemTime::now(), (level, target), instance, fields)
    }

    pub(super) fn at(
        at: SystemTime,
        (level, target): (Level, &'a str),
        instance: &'a str,
        mut fields: Fields,
    ) -> Self {
        let message = match fields.take("message") {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        Self { at, level, target, instance, message, fields }
    }

    pub(super) fn render(self, style: Style) -> String {
        match style {
            Style::Json => self.json(),
            Style::Pretty { colour } => self.pretty(colour),
        }
    }

    fn json(mut self) -> String {
        let mut out = String::with_capacity(512);
        out.push('{');
        json_member(&mut out, "timestamp", &timestamp(self.at).into());
        json_member(&mut out, "level", &self.level.as_str().into());
        json_member(&mut out, "severity_number", &severity(self.level).into());
        json_member(&mut out, "message", &std::mem::take(&mut self.message).into());
        json_member(&mut out, "target", &self.target.into());
        json_member(&mut out, "service.name", &"legwork".into());
        json_member(&mut out, "service.version", &env!("CARGO_PKG_VERSION").into());
        json_member(&mut out, "service.instance.id", &self.instance.into());
        let mut cut = 0_usize;
        for (name, value) in self.ordered() {
            if out.len() < LINE_MAX_BYTES {
                json_member(&mut out, name, &value);
            } else {
                cut += 1;
            }
        }
        if cut > 0 {
            json_member(&mut out, "log.fields_cut", &cut.into());
        }
        out.push_str("}\n");
        out
    }

    fn pretty(mut self, colour: bool) -> String {
        let (start, end) = if colour { (ansi(self.level), "\x1b[0m") } else { ("", "") };
        let mut out = format!("{} {start}{:>5}{end} ", timestamp(self.at), self.level.as_str());
        escape(&mut out, &self.message);
        for (name, value) in self.ordered() {
            if out.len() >= LINE_MAX_BYTES {
                out.push_str(" …");
                break;
            }
            out.push(' ');
            out.push_str(name);
            out.push('=');
            match value {
                Value::String(text) => escape(&mut out, &text),
                other => append(&mut out, &other),
            }
        }
        out.push('\n');
        out
    }

    /// The fields: those of [`ORDER`] first.
    fn ordered(&mut self) -> Vec<(&'static str, Value)> {
        let mut fields = std::mem::take(&mut self.fields.0);
        let place = |name| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
        fields.sort_by_key(|(name, _)| place(*name));
        fields
    }
}

fn json_member(out: &mut String, name: &str, value: &Value) {
    if !out.ends_with('{') {
        out.push(',');
    }
    json_text(out, name);
    out.push(':');
    match value {
        Value::String(text) => json_text(out, text),
        other => append(out, other),
    }
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

fn append(out: &mut String, value: &impl fmt::Display) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to a String can't fail");
}

/// Appends text as it stands inside a JSON string. All that is escaped beyond JSON's own rules lies
/// in the basic plane, so four digits are enough.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hostile(c) => append(out, &format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
}

/// Control characters, line separators, and marks that turn or hide text.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{061c}' | '\u{feff}')
}

fn timestamp(at: SystemTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    // A clock outside the calendar's years gives an empty stamp, not a lost line.
    OffsetDateTime::from(at).format(format).unwrap_or_default()
}

/// OpenTelemetry's number of a level.
fn severity(level: Level) -> u8 {
    match level {
        Level::TRACE => 1,
        Level::DEBUG => 5,
        Level::INFO => 9,
        Level::WARN => 13,
        Level::ERROR => 17,
    }
}

fn ansi(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "\x1b[2m",
        Level::INFO => "\x1b[32m",
        Level::WARN => "\x1b[33m",
        Level::ERROR => "\x1b[31m",
    }
}
