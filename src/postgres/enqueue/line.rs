//! One JSON object as one job, checked here as far as it can be: a line of NDJSON, or the body of a request.
//!
//! A line that the database would refuse costs the whole file, and is found only at its end; so names,
//! numbers, moments and the shape of JSON are checked before a row is sent. The database's domains stay
//! the judge of everything. Each member is read by itself, so that what is wrong with one is told by its name
//! and its place.

use super::NewJob;
use crate::{
    job::{KindName, QueueName, is_storable_json},
    postgres::{moment, operations::DELAY_MAX},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

/// The producer's columns, and `delay`; a key that isn't one of them is a mistake, not a note.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    kind: &'a RawValue,
    // `null` is a payload like any other; only an absent one is the default.
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    queue: Option<&'a RawValue>,
    #[serde(borrow, default)]
    run_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delay: Option<&'a RawValue>,
    #[serde(borrow, default)]
    priority: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_attempts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    unique_key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timeout: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expires_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// What somebody is told who gives a list, or an object over several lines.
pub const WHOLE: &str = "each line has to be a whole JSON object";

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The member that it is about; none where it isn't an object of the known members at all.
    pub member: Option<&'static str>,
    /// The byte of the line at which it stands, from 1, where that is known.
    pub column: Option<usize>,
    /// What is wrong, for people.
    pub why: String,
}

impl Mistake {
    fn of_all(why: impl Into<String>) -> Self {
        Self { member: None, column: None, why: why.into() }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.member, self.column) {
            (Some(member), _) => write!(f, "{member}: {}", self.why),
            (None, Some(column)) => write!(f, "{} (column {column})", self.why),
            (None, None) => f.write_str(&self.why),
        }
    }
}

/// Everything that is wrong with a line; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(Mistake::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

/// The job of this line and the delay from now that it asks for, or everything that is wrong with it.
pub fn parse(line: &[u8]) -> Result<(NewJob, Option<Duration>), Mistakes> {
    let whole = |why: String| Mistakes(vec![Mistake::of_all(why)]);
    let whole_line = std::str::from_utf8(line).map_err(|_| whole("isn't UTF-8".to_owned()))?;
    let text = whole_line.trim_ascii_start();
    let before = whole_line.len() - text.len();
    // A list would be read as the keys' values in order.
    if !text.starts_with('{') {
        return Err(whole(WHOLE.into()));
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| {
        if error.is_eof() {
            return whole(format!("it ends before its object does: {WHOLE}"));
        }
        // A body of several lines has a column on each; then the sentence has to do.
        let column = (error.line() == 1 && error.column() > 0).then(|| before + error.column());
        Mistakes(vec![Mistake { member: None, column, why: sentence(&error) }])
    })?;
    let mut wrong = Wrong { text: whole_line, found: Vec::new() };
    let kind = wrong.read("kind", Some(line.kind), |text: String| KindName::from_str(&text));
    let queue = wrong.read("queue", line.queue, |text: String| QueueName::from_str(&text));
    let run_at = wrong.read("run_at", line.run_at, |text: String| moment(&text));
    let delay = wrong.read("delay", line.delay, |text: String| delay(&text));
    let expires_at = wrong.read("expires_at", line.expires_at, |text: String| moment(&text));
    let timeout = wrong.read("timeout", line.timeout, |text: String| self::delay(&text));
    let priority = wrong.read("priority", line.priority, |n| within::<i16>(n, -2, 2));
    let max_attempts = wrong.read("max_attempts", line.max_attempts, |n| within::<u16>(n, 1, 1000));
    let unique_key = wrong.read("unique_key", line.unique_key, sendable);
    let all_sendable = |tags: Vec<String>| tags.into_iter().map(sendable).collect();
    let tags: Option<Vec<String>> = wrong
        .named("tags", line.tags, short)
        .and_then(|raw| wrong.read("tags", Some(raw), all_sendable));
    let metadata = wrong.named("metadata", line.metadata, |raw| object(short(raw)?.get()));
    let payload = wrong.named("payload", line.payload, |raw| json(raw.get()));
    if let (Some(_), Some(given)) = (line.run_at, line.delay) {
        wrong.push("delay", given, "either run_at or delay, and not both".to_owned());
    }
    let (Some(kind), []) = (kind, wrong.found.as_slice()) else {
        return Err(Mistakes(wrong.found));
    };
    let job = NewJob {
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
        ..NewJob::new(kind)
    };
    Ok((job, delay))
}

/// Longest text of a job's tags or metadata: several times what the database takes of either, so that a few megabytes of
/// small members are refused before anything is made of them.
const PART_MAX_BYTES: usize = 128 * 1024;

fn short(raw: &RawValue) -> Result<&RawValue, String> {
    let fits = raw.get().len() <= PART_MAX_BYTES;
    fits.then_some(raw).ok_or_else(|| format!("has more than {PART_MAX_BYTES} bytes"))
}

/// What is wrong with a line so far.
struct Wrong<'a> {
    text: &'a str,
    found: Vec<Mistake>,
}

impl<'a> Wrong<'a> {
    /// A member as its type, and then as `check` has it.
    fn read<T: DeserializeOwned, U, E: Display>(
        &mut self,
        member: &'static str,
        raw: Option<&'a RawValue>,
        check: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        self.named(member, raw, |raw| {
            let value = serde_json::from_str(raw.get()).map_err(|error| sentence(&error))?;
            check(value).map_err(|why| why.to_string())
        })
    }

    fn named<T>(
        &mut self,
        member: &'static str,
        raw: Option<&'a RawValue>,
        check: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        let raw = raw?;
        match check(raw) {
            Ok(value) => Some(value),
            Err(why) => {
                self.push(member, raw, why);
                None
            }
        }
    }

    fn push(&mut self, member: &'static str, raw: &RawValue, why: String) {
        // It is a part of the text.
        let before = raw.get().as_ptr().addr() - self.text.as_ptr().addr();
        self.found.push(Mistake { member: Some(member), column: Some(before + 1), why });
    }
}

/// A span of time above 0, as people write it.
pub fn delay(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "write it as 90s, 10m, 2h30m or 7d")?;
    match time {
        Duration::ZERO => Err("it has to be above 0".into()),
        time if time > DELAY_MAX => Err("at most ten years".into()),
        time => Ok(time),
    }
}

fn within<N: TryFrom<i64>>(number: i64, least: i64, most: i64) -> Result<N, String> {
    let fits = number >= least && number <= most;
    let number = N::try_from(number).ok().filter(|_| fits).ok_or(number);
    number.map_err(|number| format!("{number} isn't from {least} to {most}"))
}

/// Postgres can't store the character NUL in a text.
fn sendable(text: String) -> Result<String, &'static str> {
    if text.contains('\0') { Err("can't hold the character NUL") } else { Ok(text) }
}

/// JSON text, checked without building it: nesting costs no stack.
pub fn json(text: &str) -> Result<&str, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| json_error(&error))?;
    let storable = is_storable_json(raw.get()).then_some(raw.get());
    storable.ok_or_else(|| "Postgres can't store \\u0000, nor half of a surrogate pair".into())
}

/// JSON text that is an object.
pub fn object(text: &str) -> Result<&str, String> {
    let text = json(text)?;
    if text.starts_with('{') { Ok(text) } else { Err("it has to be a JSON object".into()) }
}

/// serde's sentence without "at line 1": the line's number is the file's.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what).to_owned()
}

/// The same with the column.
fn json_error(error: &serde_json::Error) -> String {
    match error.column() {
        0 => sentence(error),
        column => format!("{} (column {column})", sentence(error)),
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
        let (job, delay) = parse(line).expect("it is right");
        assert_eq!(delay, None);
        assert_eq!(job.payload.as_deref(), Some("[1, 2]"));
        assert_eq!(job.timeout, Some(std::time::Duration::from_secs(90)));
        assert_eq!(job.tags, ["a", "b"]);
        assert_eq!((job.priority, job.max_attempts), (Some(-2), Some(7)));
    }

    #[test]
    fn a_null_payload_is_a_payload_and_other_nulls_are_defaults() {
        let job =
            parse(br#"{"kind":"k","payload":null,"queue":null,"tags":null}"#).expect("right").0;
        assert_eq!(job.payload.as_deref(), Some("null"));
        assert_eq!(job.queue, None);
    }

    #[test]
    fn nesting_deeper_than_a_parser_goes_is_carried_as_it_is() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let job = parse(format!(r#"{{"kind":"k","payload":{deep}}}"#).as_bytes()).expect("right").0;
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
    #[case::beyond(
        r#"{"kind":"k","expires_at":"9999-12-31T23:59:59-23:59"}"#,
        "expires_at: in UTC it"
    )]
    #[case::timeout(r#"{"kind":"k","timeout":"0s"}"#, "timeout: it has to be above 0")]
    #[case::metadata(r#"{"kind":"k","metadata":[]}"#, "metadata: it has to be a JSON object")]
    #[case::nul(r#"{"kind":"k","payload":"\u0000"}"#, "payload: Postgres can't store")]
    #[case::half_a_pair(r#"{"kind":"k","payload":"\ud800"}"#, "payload: Postgres can't store")]
    #[case::nul_in_key("{\"kind\":\"k\",\"unique_key\":\"a\\u0000\"}", "unique_key: can't hold")]
    #[case::number_as_text(r#"{"kind":"k","priority":"1"}"#, "priority: invalid type: string")]
    #[case::far_too_large(r#"{"kind":"k","priority":70000}"#, "priority: 70000 isn't from -2 to 2")]
    #[case::delay(r#"{"kind":"k","delay":"soon"}"#, "delay: ")]
    #[case::both(r#"{"kind":"k","delay":"1m","run_at":"2030-01-01T00:00:00Z"}"#, "delay: either")]
    #[case::all_at_once(
        r#"{"kind":"a b","priority":9}"#,
        "name: letters, digits and _ . : - can; priority: 9"
    )]
    fn a_mistake_is_named(#[case] line: &str, #[case] expected: &str) {
        let error = parse(line.as_bytes()).expect_err("it is wrong").to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_manual_names_every_key() {
        let unknown = parse(br#"{"kind":"k","no_key":1}"#).expect_err("it is wrong").to_string();
        let (_, known) = unknown.split_once("expected one of ").expect("it names them");
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(known.contains(&"delay"), "{known:?}");
        let manual = include_str!("../../../docs/cli.md");
        let (_, file) = manual.split_once("**The file.**").expect("it has the form of a file");
        let (keys, _) = file.split_once("An absent or null key").expect("its keys come first");
        let told: Vec<&str> =
            keys.split('`').skip(1).step_by(2).filter(|word| !word.starts_with('"')).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn a_mistake_has_its_member_and_its_place() {
        let line = r#"  {"kind": "k", "tags": [1], "priority": 9}"#;
        let mistakes = parse(line.as_bytes()).expect_err("it is wrong").0;
        let placed = |mistake: &Mistake| (mistake.member, mistake.column);
        let at = |text| line.find(text).map(|at| at + 1);
        let expected = [(Some("priority"), at("9")), (Some("tags"), at("[1]"))];
        assert_eq!(mistakes.iter().map(placed).collect::<Vec<_>>(), expected);
    }
}
