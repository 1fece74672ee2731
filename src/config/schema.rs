//! `legwork.toml` as a JSON Schema, for editors.
//!
//! It is made of the table of keys and of `default.toml`, so a key is in it by being a key. It is no
//! second check: what it can't say (that a duration lies in its range, that a file is there, that names
//! are unique) `legwork config check` says. It refuses nothing that is right. Pure.

use super::{
    documented::{Documented, documented},
    file::LISTS,
    keys::{CONCURRENCY_MAX, Form, HANDLER_KEYS, KEYS, Key},
};
use crate::job::NAME_PATTERN;
use serde_json::{Map, Value, json};

/// The dialect that the schema is written in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keys without which an entry of a list is nothing.
const NEEDED: [(&str, &[&str]); 3] =
    [("queue", &["name"]), ("kind", &["name", "handler"]), ("schedule", &["name", "cron", "kind"])];

/// The schema, as JSON that people can read.
pub fn schema() -> String {
    let mut root = Table::default();
    for said in documented() {
        if let Some(key) = KEYS.iter().find(|key| key.path == said.path) {
            root.add(&key.path.split('.').collect::<Vec<_>>(), property(key, &said));
        }
    }
    for (list, most) in LISTS {
        let needed = NEEDED.iter().find(|(name, _)| *name == list).map(|(_, keys)| *keys);
        root.make_list(list, most, needed.unwrap_or_default());
    }
    root.either("database", &[["url", "url_file"], ["direct_url", "direct_url_file"]]);
    let mut schema = root.into_object();
    schema.insert("$schema".into(), DIALECT.into());
    schema.insert("title".into(), "legwork.toml".into());
    format!("{:#}", Value::Object(schema))
}

/// One key: what may stand there, and what people read of it.
fn property(key: &Key, said: &Documented) -> Value {
    let mut property = form(key.form);
    property["description"] = said.sentence.as_str().into();
    if let Some(default) = said.default.as_deref().and_then(value) {
        property["default"] = default;
    }
    if let Some(example) = said.example.as_deref().and_then(value) {
        property["examples"] = json!([example]);
    }
    property
}

/// A value of TOML as one of JSON.
fn value(text: &str) -> Option<Value> {
    let mut line: Map<String, Value> = toml::from_str(&format!("it = {text}")).ok()?;
    line.remove("it")
}

const DURATION: &str = "[0-9]+(ms|s|m|h|d)";

fn matching(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^({pattern})$") })
}

fn form(form: Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string", "pattern": r"^[^\x00-\x1f\x7f]*$" }),
        Form::Name => json!({ "type": "string", "pattern": NAME_PATTERN }),
        Form::Switch => json!({ "type": "boolean" }),
        Form::Duration { .. } => matching(DURATION),
        Form::Size { .. } => matching("[0-9]+(B|KiB|MiB|GiB)"),
        Form::Count { min, max } => whole(min, max),
        Form::Signed { min, max } => whole(min, max),
        Form::Cap { min, max } => json!({ "anyOf": [whole(min, max), { "const": "none" }] }),
        Form::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Form::Concurrency => json!({
            "anyOf": [whole(1, CONCURRENCY_MAX), matching(r"[0-9]+|([0-9]+\*)?cpus")]
        }),
        Form::Retention => matching(&format!("none|{DURATION}")),
        Form::RateLimit => matching(" *[0-9]+/(s|m|h)( +burst +[0-9]+)? *"),
        Form::OneOf(words) => json!({ "enum": words }),
        Form::Path => matching("/.*"),
        Form::Paths => json!({
            "anyOf": [matching("/.*"), { "type": "array", "minItems": 1, "items": matching("/.*") }]
        }),
        Form::HttpUrl => matching("[Hh][Tt][Tt][Pp][Ss]?://.*"),
        Form::Address | Form::Filter | Form::Url | Form::Cron | Form::Zone => {
            json!({ "type": "string" })
        }
        Form::Words => json!({ "type": "array", "items": { "type": "string" } }),
        Form::Pairs => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Form::Json => json!({}),
    }
}

fn whole<T: serde::Serialize>(min: T, max: T) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

/// What a handler's kind must and mustn't have.
fn of_handlers() -> Vec<Value> {
    let rule = |(handler, keys): &(&str, &[&str])| {
        let forbidden: Map<String, Value> =
            keys.iter().map(|key| ((*key).to_owned(), Value::Bool(false))).collect();
        json!({
            "if": { "properties": { "handler": { "const": handler } }, "required": ["handler"] },
            "then": { "required": keys.iter().take(1).collect::<Vec<_>>() },
            "else": { "properties": forbidden },
        })
    };
    HANDLER_KEYS.iter().map(rule).collect()
}

/// A table with its keys.
#[derive(Default)]
struct Table(Map<String, Value>);

impl Table {
    /// Adds a key, and the tables in which it stands.
    fn add(&mut self, path: &[&str], property: Value) {
        let Some((name, tables)) = path.split_last() else { return };
        let mut at = &mut self.0;
        for table in tables {
            let next = at.entry(*table).or_insert_with(
                || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
            );
            let Some(Value::Object(properties)) = next.get_mut("properties") else { return };
            at = properties;
        }
        at.insert((*name).to_owned(), property);
    }

    /// A section becomes a list of such.
    fn make_list(&mut self, name: &str, most: usize, needed: &[&str]) {
        let Some(mut entry) = self.0.remove(name) else { return };
        entry["required"] = json!(needed);
        if name == "kind" {
            entry["allOf"] = of_handlers().into();
        }
        self.0.insert(name.into(), json!({ "type": "array", "maxItems": most, "items": entry }));
    }

    /// Pairs of keys of a section that can't stand together.
    fn either(&mut self, section: &str, pairs: &[[&str; 2]]) {
        if let Some(section) = self.0.get_mut(section) {
            let both: Vec<_> = pairs.iter().map(|keys| json!({ "required": keys })).collect();
            section["not"] = json!({ "anyOf": both });
        }
    }

    fn into_object(self) -> Map<String, Value> {
        let Value::Object(object) = json!({
            "type": "object", "additionalProperties": false, "properties": self.0
        }) else {
            return Map::new();
        };
        object
    }
}
