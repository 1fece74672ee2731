//! One line of NDJSON as one job, checked here as far as it can be.
//!
//! A line that the database would refuse costs the whole file, and is found only at its end; so names,
//! numbers, moments and the shape of JSON are checked before a row is sent. The database's domains stay
//! the judge of everything.

use crate::{
    job::{KindName, QueueName},
    postgres::enqueue::NewJob,
};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt::Display, str::FromStr};
use time::OffsetDateTime;

/// The producer's columns; a key that isn't one of them is a mistake, not a note.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    // `null` is a payload like any other; only an absent one is the default.
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    queue: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    run_at: Option<Cow<'a, str>>,
    #[serde(default)]
    priority: Option<i16>,
    #[serde(default)]
    max_attempts: Option<u16>,
    #[serde(default)]
    unique_key: Option<String>,
    #[serde(borrow, default)]
    timeout: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    expires_at: Option<Cow<'a, str>>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// What somebody is told who gives a list, or an object over several lines.
const WHOLE: &str = "each line has to be a whole JSON object";

/// The job of this line, or everything that is wrong with it in one sentence.
pub(super) fn parse(line: &[u8]) -> Result<NewJob, String> {
    let text = std::str::from_utf8(line).map_err(|_| "isn't UTF-8".to_owned())?;
    // A list would be read as the keys' values in order.
    if !text.starts_with('{') {
        return Err(WHOLE.into());
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| {
        let half = error.is_eof();
        if half { format!("it ends before its object does: {WHOLE}") } else { json_error(&error) }
    })?;
    let mut wrong = Wrong::default();
    let kind = wrong.named("kind", Some(KindName::from_str(&line.kind)));
    let queue = wrong.named("queue", line.queue.as_deref().map(QueueName::from_str));
    let run_at = wrong.named("run_at", line.run_at.as_deref().map(moment));
    let expires_at = wrong.named("expires_at", line.expires_at.as_deref().map(moment));
    let timeout = wrong.named("timeout", line.timeout.as_deref().map(super::delay));
    let metadata = wrong.named("metadata", line.metadata.map(|json| object(json.get())));
    let payload = wrong.named("payload", line.payload.map(|raw| json(raw.get())));
    let priority = wrong.named("priority", line.priority.map(|n| within(n, -2, 2)));
    let max_attempts = wrong.named("max_attempts", line.max_attempts.map(|n| within(n, 1, 1000)));
    let unique_key = wrong.named("unique_key", line.unique_key.map(sendable));
    let tags = wrong.named("tags", line.tags.map(|tags| tags.into_iter().map(sendable).collect()));
    match kind {
        Some(kind) if wrong.0.is_empty() => Ok(NewJob {
            kind,
            payload: payload.map(str::to_owned),
            queue,
            run_at,
            priority,
            max_attempts,
            unique_key,
            timeout,
            expires_at,
            tags: tags.unwrap_or_default(),
            metadata: metadata.map(str::to_owned),
        }),
        _ => Err(wrong.0.join("; ")),
    }
}

/// What is wrong with a line so far.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn named<T, E: Display>(&mut self, key: &str, value: Option<Result<T, E>>) -> Option<T> {
        match value {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(why)) => {
                self.0.push(format!("{key}: {why}"));
                None
            }
        }
    }
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    super::moment(text)
}

fn within<N: PartialOrd + Display + Copy>(number: N, least: N, most: N) -> Result<N, String> {
    let fits = number >= least && number <= most;
    if fits { Ok(number) } else { Err(format!("{number} isn't from {least} to {most}")) }
}

/// Postgres can't store the character NUL in a text.
fn sendable(text: String) -> Result<String, &'static str> {
    if text.contains('\0') { Err("can't hold the character NUL") } else { Ok(text) }
}

/// JSON text, checked without building it: nesting costs no stack.
pub(super) fn json(text: &str) -> Result<&str, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    if has_nul(raw.get()) { Err("Postgres can't store \\u0000".into()) } else { Ok(raw.get()) }
}

/// JSON text that is an object.
pub(super) fn object(text: &str) -> Result<&str, String> {
    let text = json(text)?;
    if text.starts_with('{') { Ok(text) } else { Err("it has to be a JSON object".into()) }
}

/// Whether the escape `\u0000` stands in it, and not an escaped backslash before `u0000`.
fn has_nul(json: &str) -> bool {
    let escape = |at: usize| {
        let before = json.as_bytes()[..at].iter().rev();
        before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    json.match_indices("\\u0000").any(|(at, _)| escape(at))
}

/// serde's sentence without "at line 1": the line's number is the file's.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (what, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    match error.column() {
        0 => what.to_owned(),
        column => format!("{what} (column {column})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_line_may_carry_every_producer_column() {
        let line = br#"{"kind":"k","payload":[1, 2],"queue":"q","run_at":"2030-01-01T00:00:00Z",
            "priority":-2,"max_attempts":7,"unique_key":"u","timeout":"90s",
            "expires_at":"2031-01-01T00:00:00+01:00","tags":["a","b"],"metadata":{"user_id":1}}"#;
        let job = parse(line).expect("it is right");
        assert_eq!(job.payload.as_deref(), Some("[1, 2]"));
        assert_eq!(job.timeout, Some(std::time::Duration::from_secs(90)));
        assert_eq!(job.tags, ["a", "b"]);
        assert_eq!((job.priority, job.max_attempts), (Some(-2), Some(7)));
    }

    #[test]
    fn a_null_payload_is_a_payload_and_other_nulls_are_defaults() {
        let job = parse(br#"{"kind":"k","payload":null,"queue":null,"tags":null}"#).expect("right");
        assert_eq!(job.payload.as_deref(), Some("null"));
        assert_eq!(job.queue, None);
    }

    #[test]
    fn nesting_deeper_than_a_parser_goes_is_carried_as_it_is() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let job = parse(format!(r#"{{"kind":"k","payload":{deep}}}"#).as_bytes()).expect("right");
        assert_eq!(job.payload, Some(deep));
    }

    #[rstest]
    #[case::no_kind("{}", "missing field `kind`")]
    #[case::unknown_key(r#"{"kind":"k","qeue":"q"}"#, "unknown field `qeue`")]
    #[case::twice(r#"{"kind":"k","kind":"k"}"#, "duplicate field `kind`")]
    #[case::lease_column(r#"{"kind":"k","holder":1}"#, "unknown field `holder`")]
    #[case::not_json("kind: k", "each line has to be a whole JSON object")]
    #[case::a_list(r#"["k"]"#, "each line has to be a whole JSON object")]
    #[case::first_line_of_several("{", "it ends before its object does: each line")]
    #[case::second_line_of_several(r#""kind": "k""#, "each line has to be a whole JSON object")]
    #[case::broken(r#"{"kind":k}"#, "expected value (column 9)")]
    #[case::two(r#"{"kind":"k"}{"kind":"k"}"#, "trailing characters")]
    #[case::pattern(r#"{"kind":"a b"}"#, "kind: ' ' can't stand in a name")]
    #[case::priority(r#"{"kind":"k","priority":3}"#, "priority: 3 isn't from -2 to 2")]
    #[case::attempts(r#"{"kind":"k","max_attempts":0}"#, "max_attempts: 0 isn't from 1 to 1000")]
    #[case::time(r#"{"kind":"k","run_at":"infinity"}"#, "run_at: write it as RFC 3339")]
    #[case::timeout(r#"{"kind":"k","timeout":"0s"}"#, "timeout: it has to be above 0")]
    #[case::metadata(r#"{"kind":"k","metadata":[]}"#, "metadata: it has to be a JSON object")]
    #[case::nul(r#"{"kind":"k","payload":"\u0000"}"#, "payload: Postgres can't store")]
    #[case::nul_in_key("{\"kind\":\"k\",\"unique_key\":\"a\\u0000\"}", "unique_key: can't hold")]
    #[case::all_at_once(
        r#"{"kind":"a b","priority":9}"#,
        "name: letters, digits and _ . : - can; priority: 9"
    )]
    fn a_mistake_is_named(#[case] line: &str, #[case] expected: &str) {
        let error = parse(line.as_bytes()).expect_err("it is wrong");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        assert!(!has_nul(r#""\\u0000""#));
        assert!(has_nul(r#""\\\u0000""#));
    }
}
