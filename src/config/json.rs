//! JSON out of a value of the file; pure.
//!
//! TOML has tables, lists, texts, numbers and switches, and no null: what TOML can't say is written as
//! JSON in quotes. So a text is always read as JSON, and a JSON string has quotes within its quotes.

use super::keys::Form;
use config::ValueKind;
use serde_json::{Value as Json, value::RawValue};

/// As the column `payload` has it.
const JSON_MAX_BYTES: usize = 1024 * 1024;

/// The value as JSON text, or what is wrong with it, of which nothing is shown: it may be a secret.
pub(super) fn text(value: &ValueKind) -> Result<String, String> {
    let text = match value {
        ValueKind::String(text) => {
            let read = serde_json::from_str::<&RawValue>(text.trim());
            read.map_err(|error| {
                format!(
                    "this isn't JSON ({error}): write a table, a list or a number, JSON in quotes as \
                     '{{\"a\": null}}', and a text as '\"text\"'"
                )
            })?;
            text.trim().to_owned()
        }
        other => json(other)?.to_string(),
    };
    if text.len() > JSON_MAX_BYTES {
        return Err(format!("it is longer than {JSON_MAX_BYTES} bytes"));
    }
    if text.contains("\\u0000") || text.contains('\0') {
        return Err("Postgres keeps no character of code 0: leave \\u0000 out".into());
    }
    Ok(text)
}

fn json(value: &ValueKind) -> Result<Json, String> {
    Ok(match value {
        ValueKind::Boolean(value) => Json::from(*value),
        ValueKind::I64(number) => Json::from(*number),
        ValueKind::Float(number) => serde_json::Number::from_f64(*number)
            .map(Json::Number)
            .ok_or_else(|| format!("JSON has no number {number}"))?,
        ValueKind::String(text) => Json::from(text.as_str()),
        ValueKind::Array(items) => {
            Json::Array(items.iter().map(|item| json(&item.kind)).collect::<Result<_, _>>()?)
        }
        ValueKind::Table(table) => {
            let entry =
                |(name, value): (&String, &config::Value)| Ok((name.clone(), json(&value.kind)?));
            Json::Object(table.iter().map(entry).collect::<Result<_, String>>()?)
        }
        other => return Err(super::reader::isnt(other, Form::Json)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::object(r#" {"a": null, "b": 1e400} "#, Ok(r#"{"a": null, "b": 1e400}"#))]
    #[case::string(r#""a""#, Ok(r#""a""#))]
    #[case::bare_text("hello", Err("this isn't JSON"))]
    #[case::empty("", Err("this isn't JSON"))]
    #[case::two_values("1 2", Err("this isn't JSON"))]
    #[case::code_zero(r#""\u0000""#, Err("Postgres keeps no character"))]
    fn a_text_is_json(#[case] given: &str, #[case] expected: Result<&str, &str>) {
        let found = text(&ValueKind::String(given.into()));
        match expected {
            Ok(json) => assert_eq!(found.as_deref(), Ok(json)),
            Err(starts) => {
                assert!(found.clone().is_err_and(|e| e.starts_with(starts)), "{found:?}");
            }
        }
    }

    #[test]
    fn a_payload_has_its_length() {
        let longest = format!("\"{}\"", "x".repeat(JSON_MAX_BYTES - 2));
        assert!(text(&ValueKind::String(longest.clone())).is_ok());
        assert!(text(&ValueKind::String(format!("[{longest}]"))).is_err());
        assert!(text(&ValueKind::Float(f64::NAN)).is_err());
    }
}
