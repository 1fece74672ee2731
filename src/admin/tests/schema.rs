//! Whether a value is as a schema of the port's document has it, as far as that document's schemas go. The tests in
//! `tests/it/api` read this file as well.

use regex::Regex;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Follows a `$ref`.
pub(crate) fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a reference leads somewhere"),
        None => value,
    }
}

/// What of a value isn't as its schema has it, each with its place. What isn't described is a fault: clients
/// are to pass over members that they don't know, but the port has none.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(document, schema, value, "$", &mut found);
    found
}

/// The members that a schema or a part of it describes; nothing where it describes none.
fn described<'d>(document: &'d Value, schema: &'d Value) -> Vec<&'d str> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| &**name);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(|part| described(document, resolved(document, part)))).collect()
}

fn look(document: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let known = described(document, resolved(document, schema));
    for (name, _) in value.as_object().into_iter().flatten() {
        let is_any =
            resolved(document, schema).get("additionalProperties").is_some_and(Value::is_object);
        if !(is_any || known.is_empty() || known.contains(&&**name)) {
            found.push(format!("{place}.{name} isn't described"));
        }
    }
    look_at_parts(document, schema, value, place, found);
}

/// Of what a schema describes, whether it is so: a part of a schema needn't describe all.
fn look_at_parts(
    document: &Value,
    schema: &Value,
    value: &Value,
    place: &str,
    found: &mut Vec<String>,
) {
    let schema = resolved(document, schema);
    if let Some(any) = schema["oneOf"].as_array() {
        if !any.iter().any(|one| faults(document, one, value).is_empty()) {
            found.push(format!("{place}: {value} is none of {}", schema["oneOf"]));
        }
        return;
    }
    let is_word = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !is_word || !is_of_type(&schema["type"], value) {
        found.push(format!("{place}: {value} isn't {schema}"));
        return;
    }
    if let Some(text) = value.as_str()
        && !is_of_form(schema, text)
    {
        found.push(format!("{place}: {value} isn't {schema}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        look_at_parts(document, part, value, place, found);
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place} lacks {name}"));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        look(document, &schema["items"], item, &format!("{place}[{at}]"), found);
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(known), _) => look(document, known, member, &place, found),
            (None, any @ Value::Object(_)) => look(document, any, member, &place, found),
            (None, _) => {}
        }
    }
}

fn is_of_form(schema: &Value, text: &str) -> bool {
    let length = |name: &str| schema[name].as_u64();
    let characters = text.chars().count() as u64;
    let matches = |pattern: &str| {
        Regex::new(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}")).is_match(text)
    };
    length("minLength").is_none_or(|least| characters >= least)
        && length("maxLength").is_none_or(|most| characters <= most)
        && schema["pattern"].as_str().is_none_or(matches)
        && (schema["format"] != "date-time" || OffsetDateTime::parse(text, &Rfc3339).is_ok())
}

fn is_of_type(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        Some(other) => panic!("{other} isn't understood here"),
        None => kind.as_array().is_none_or(|any| any.iter().any(|kind| is_of_type(kind, value))),
    }
}
