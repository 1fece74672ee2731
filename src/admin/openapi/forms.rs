//! The forms that texts in bodies have. The rules stand with the code that reads those texts, and the macros that describe
//! members take literals alone; so the forms are put into the document from one table.
//!
//! A form is never narrower than what is read, or clients that are made of the document couldn't say what may be said.
//! Where it is wider, at "ten years at most" say, the answer tells what is wrong.

use crate::{
    admin::api::{decisions::SETTINGS, events::NAMES},
    job::{NAME_PATTERN, State},
    postgres::operations::REASON_MAX_BYTES,
};
use serde_json::{Map, Value, json};

/// A span of time as `humantime` reads it.
const DURATION: &str = concat!(
    r"^\s*([0-9][0-9\s]*(\.[0-9\s]+)?(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|",
    r"minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)\s*)+$",
);
/// Starts per time, as `job::RateLimit` is read.
const RATE_LIMIT: &str = r"^\s*\+?[0-9]+/[smh](\s+burst\s+\+?[0-9]+)?\s*$";
/// Most bytes of a text that something is filtered by, and of a filter of the log. So many bytes have no more characters.
const TEXT_MAX: usize = 1024;

/// What a text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The name of a queue or a kind.
    Name,
    /// Such as `2h30m`.
    Duration,
    /// As RFC 3339 has it.
    Moment,
    /// Such as `30/m burst 2`.
    RateLimit,
    /// Where a job stands.
    State,
    /// So many characters.
    Text(usize, usize),
}

const REASON: (&str, Form) = ("reason", Form::Text(1, REASON_MAX_BYTES));
const FOR: (&str, Form) = ("for", Form::Duration);
const UNTIL: (&str, Form) = ("until", Form::Moment);
const NOW: (&str, Form) = ("now", Form::Moment);

/// Members of schemas, with their forms.
const TABLE: &[(&str, &[(&str, Form)])] = &[
    (
        "NewJob",
        &[
            ("kind", Form::Name),
            ("queue", Form::Name),
            ("run_at", Form::Moment),
            ("delay", Form::Duration),
            ("timeout", Form::Duration),
            ("expires_at", Form::Moment),
            // As the database's `unique_key_is_1_to_512_bytes` has it.
            ("unique_key", Form::Text(1, 512)),
        ],
    ),
    (
        "JobFilter",
        &[
            ("queue", Form::Name),
            ("kind", Form::Name),
            ("state", Form::State),
            ("tag", Form::Text(0, TEXT_MAX)),
            ("created_after", Form::Text(1, TEXT_MAX)),
            ("created_before", Form::Text(1, TEXT_MAX)),
        ],
    ),
    ("Bulk", &[FOR, REASON]),
    ("Snooze", &[FOR, REASON]),
    ("ForAWhile", &[FOR, UNTIL, REASON]),
    ("QueueDecision", &[("rate_limit", Form::RateLimit), FOR, UNTIL, REASON]),
    ("LogFilter", &[("filter", Form::Text(1, TEXT_MAX)), FOR, REASON]),
    ("Callback", &[FOR]),
    ("Shutdown", &[REASON]),
    ("Reason", &[REASON]),
    ("JobDetail", &[NOW]),
    ("QueueList", &[NOW]),
];

/// Parameters that are words, with what there is to say.
fn words() -> [(&'static str, &'static str, Vec<&'static str>); 2] {
    [
        ("/api/v1/events", "type", NAMES.concat()),
        ("/api/v1/queues/{queue}/overrides", "setting", SETTINGS.to_vec()),
    ]
}

/// Puts them into the operations of the document's paths.
pub(super) fn put_into_parameters(paths: &mut Map<String, Value>) {
    for (path, name, known) in words() {
        let operations = paths.get_mut(path).and_then(Value::as_object_mut);
        for operation in operations.into_iter().flat_map(Map::values_mut) {
            let parameters = operation["parameters"].as_array_mut();
            let mut of_name = parameters.into_iter().flatten().filter(|of| of["name"] == name);
            if let Some(parameter) = of_name.next() {
                parameter["schema"]["enum"] = json!(known);
            }
        }
    }
}

/// Puts them into the document's schemas.
pub(super) fn put(schemas: &mut Value) {
    // Of the others it is said by what reads them; a job is read by the producer's columns, which refuses as well what it
    // doesn't know.
    schemas["NewJob"]["additionalProperties"] = false.into();
    for (schema, members) in TABLE {
        for (member, form) in *members {
            let described = &mut schemas[schema]["properties"][member];
            match form {
                Form::Name => described["pattern"] = NAME_PATTERN.into(),
                Form::Duration => described["pattern"] = DURATION.into(),
                Form::RateLimit => described["pattern"] = RATE_LIMIT.into(),
                Form::Moment => described["format"] = "date-time".into(),
                // Null is no state, and as good as nothing.
                Form::State => {
                    let states = State::ALL.map(|state| json!(state.as_str()));
                    described["enum"] = states.into_iter().chain([Value::Null]).collect();
                }
                Form::Text(least, most) => {
                    if *least > 0 {
                        described["minLength"] = json!(least);
                    }
                    described["maxLength"] = json!(most);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::{openapi, routes},
        job::RateLimit,
        postgres::enqueue::line::delay,
    };
    use regex::Regex;

    #[test]
    fn every_form_is_of_a_member_that_there_is() {
        let document = openapi::document(routes::routes());
        for (schema, members) in TABLE {
            for (member, _) in *members {
                let described = &document["components"]["schemas"][schema]["properties"][member];
                assert!(!described["type"].is_null(), "{schema}.{member} isn't described");
            }
        }
    }

    #[test]
    fn a_parameter_that_is_a_word_lists_what_there_is() {
        let document = openapi::document(routes::routes());
        for (path, name, known) in words() {
            let operations = document["paths"][path].as_object().expect("a path");
            let parameters = operations.values().filter_map(|of| of["parameters"].as_array());
            let found: Vec<_> = parameters.flatten().filter(|of| of["name"] == name).collect();
            assert!(!found.is_empty(), "{path} has no {name}");
            assert!(found.iter().all(|of| of["schema"]["enum"] == json!(known)), "{found:?}");
        }
    }

    /// What is read fits; of what isn't read all that a pattern can tell apart doesn't.
    #[test]
    fn a_form_is_never_narrower_than_what_is_read() {
        let (span, limit) = (Regex::new(DURATION).unwrap(), Regex::new(RATE_LIMIT).unwrap());
        let units = "nanos nsec ns usec us µs millis msec ms seconds second secs sec s minutes minute min mins m hours hour hr \
            hrs h days day d weeks week wk wks w months month M years year yr yrs y";
        let each = units.split(' ').map(|unit| format!("3{unit}"));
        let spans =
            ["90s", "2h30m", "1h 30m", " 1h\t", "1 0 s", "1.5h", "1 . 5 h", "007s", "1d 2d"];
        for text in each.chain(spans.map(str::to_owned)) {
            assert!(delay(&text).is_ok(), "{text} isn't read");
            assert!(span.is_match(&text), "{text} is read and doesn't fit");
        }
        for text in
            ["", "soon", "10", "-5m", "5 fortnights", "PT1H", "1h-2m", "m", "1.h", "infinity"]
        {
            assert!(delay(text).is_err(), "{text} is read");
            assert!(!span.is_match(text), "{text} fits");
        }
        for text in ["30/m", "100/s", "5/h burst 2", " 5/h  burst 2 ", "+5/h burst +2", "007/s"] {
            assert!(text.parse::<RateLimit>().is_ok(), "{text} isn't read");
            assert!(limit.is_match(text), "{text} is read and doesn't fit");
        }
        for text in ["", "fast", "5", "5/d", "5 / m", "5/m 2", "5/m burst", "-5/m", "5/m burst 2 x"]
        {
            assert!(text.parse::<RateLimit>().is_err(), "{text} is read");
            assert!(!limit.is_match(text), "{text} fits");
        }
    }
}
