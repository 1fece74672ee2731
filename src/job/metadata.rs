//! What a job's `metadata` says to its handler: who caused it, and which trace it belongs to.
//!
//! Producers write it freely, so everything here is lenient: what isn't there or isn't well formed
//! is left out, and the job runs all the same. The values end up in environments and headers, so
//! none holds a control character and none is long.

use serde::Deserialize;
use serde_json::Value;

/// Longest identifier that is handed on, in bytes.
const ID_MAX_BYTES: usize = 256;

/// The keys that Legwork knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// A well-formed W3C `traceparent`.
    pub traceparent: Option<String>,
    /// `request_id`
    pub request_id: Option<String>,
    /// `user_id`
    pub user_id: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    traceparent: Option<Value>,
    request_id: Option<Value>,
    user_id: Option<Value>,
}

impl Metadata {
    /// Reads the row's JSON text.
    pub fn of(json: Option<&str>) -> Self {
        let Some(raw) = json.and_then(|json| serde_json::from_str::<Raw>(json).ok()) else {
            return Self::default();
        };
        Self {
            traceparent: raw.traceparent.and_then(identifier).filter(|it| is_traceparent(it)),
            request_id: raw.request_id.and_then(identifier),
            user_id: raw.user_id.and_then(identifier),
        }
    }
}

/// Text, or a number as text.
fn identifier(value: Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let fits = (1..=ID_MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    fits.then_some(text)
}

/// `version-trace-parent-flags`, all in lower-case hex, neither id all zeroes. A version above 00
/// may append further fields; version ff is forbidden.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.splitn(5, '-');
    let mut part = |digits: usize| {
        parts.next().filter(|part| part.len() == digits && part.bytes().all(is_lower_hex))
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (part(2), part(32), part(16), part(2))
    else {
        return false;
    };
    let some_digit = |part: &str| part.bytes().any(|digit| digit != b'0');
    let alone = parts.next().is_none();
    version != "ff" && (alone || version != "00") && some_digit(trace) && some_digit(parent)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[rstest]
    #[case::as_the_standard_has_it(GOOD, true)]
    #[case::later_version(&GOOD.replacen("00-", "01-", 1), true)]
    #[case::later_version_with_more(&format!("{}-more", GOOD.replacen("00-", "01-", 1)), true)]
    #[case::version_00_with_more(&format!("{GOOD}-more"), false)]
    #[case::forbidden_version(&GOOD.replacen("00-", "ff-", 1), false)]
    #[case::upper_case(&GOOD.to_uppercase(), false)]
    #[case::no_trace(&GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false)]
    #[case::no_parent(&GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), false)]
    #[case::short(&GOOD[..54], false)]
    #[case::empty("", false)]
    #[case::header_injection(&format!("{GOOD}\r\nHost: x"), false)]
    fn a_traceparent_is_handed_on_only_where_well_formed(#[case] text: &str, #[case] good: bool) {
        let json = serde_json::json!({ "traceparent": text }).to_string();
        let expected = good.then(|| text.to_owned());
        assert_eq!(Metadata::of(Some(&json)).traceparent, expected);
    }

    #[test]
    fn identifiers_are_text_or_numbers_without_control_characters() {
        let json = r#"{"request_id": "r-1", "user_id": 42, "other": [[]]}"#;
        let metadata = Metadata::of(Some(json));
        assert_eq!(metadata.request_id.as_deref(), Some("r-1"));
        assert_eq!(metadata.user_id.as_deref(), Some("42"));

        for id in ["\"\"", "\"a\\u0000b\"", "\"a\\nb\"", "[1]", "null"] {
            let json = format!(r#"{{"request_id": {id}}}"#);
            assert_eq!(Metadata::of(Some(&json)), Metadata::default(), "{id}");
        }
    }

    #[test]
    fn metadata_that_is_no_object_says_nothing() {
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        for json in ["3", "[]", "null", "not json", &deep] {
            assert_eq!(Metadata::of(Some(json)), Metadata::default());
        }
        assert_eq!(Metadata::of(None), Metadata::default());
    }
}
