//! The document against the one that was committed, `docs/openapi.json`: what it says now, and what breaks for those who
//! went by that. A break is red whatever anybody does about the file; what is added only has to be written there.

use super::*;
use crate::config::Environment;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// As it was when this was compiled.
const COMMITTED: &str = include_str!("../../../docs/openapi.json");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// From which end something is seen: what is asked may become wider, what is answered narrower, and neither the
/// other way round.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Asked,
    Answered,
}

/// Two documents and what breaks from the one to the other.
struct Comparison<'d> {
    old: &'d Value,
    new: &'d Value,
    broken: Vec<String>,
}

impl<'d> Comparison<'d> {
    fn of(old: &'d Value, new: &'d Value) -> Vec<String> {
        let mut comparison = Self { old, new, broken: Vec::new() };
        comparison.paths();
        comparison.broken
    }

    fn paths(&mut self) {
        let (old, new) = (self.old, self.new);
        for (path, operations) in members(&old["paths"]) {
            if new["paths"].get(path).is_none() {
                self.broken.push(format!("{path} is gone"));
                continue;
            }
            for (method, was) in members(operations) {
                let place = format!("{method} {path}");
                match new["paths"][path].get(method) {
                    Some(is) => self.operation(&place, was, is),
                    None => self.broken.push(format!("{place} is gone")),
                }
            }
        }
    }

    fn operation(&mut self, place: &str, was: &Value, is: &Value) {
        for name in ["operationId", "security"] {
            if was[name] != is[name] {
                self.broken.push(format!("{place}: {name} was {}, is {}", was[name], is[name]));
            }
        }
        self.parameters(place, was, is);
        for (status, was) in members(&was["responses"]) {
            let Some(is) = is["responses"].get(status) else {
                self.broken.push(format!("{place}: {status} is gone"));
                continue;
            };
            for (kind, was) in members(&was["content"]) {
                let place = format!("{place} {status} {kind}");
                match is["content"].get(kind) {
                    Some(is) => {
                        self.schema(&place, (&was["schema"], &is["schema"]), Side::Answered);
                    }
                    None => self.broken.push(format!("{place} is gone")),
                }
            }
        }
        for (kind, was) in members(&was["requestBody"]["content"]) {
            let is = &is["requestBody"]["content"][kind];
            self.schema(&format!("{place} body"), (&was["schema"], &is["schema"]), Side::Asked);
        }
    }

    fn parameters(&mut self, place: &str, was: &Value, is: &Value) {
        let named = |operation: &'d Value, document: &'d Value| {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let all = all.map(|parameter| resolved(document, parameter));
            all.map(|parameter| (parameter["name"].as_str().unwrap(), parameter))
                .collect::<Vec<_>>()
        };
        // Both live as long as their documents.
        let (was, is): (&'d Value, &'d Value) = (
            find(self.old, was).unwrap_or(&Value::Null),
            find(self.new, is).unwrap_or(&Value::Null),
        );
        let (was, is) = (named(was, self.old), named(is, self.new));
        for (name, was) in &was {
            match is.iter().find(|(other, _)| other == name) {
                Some((_, is)) => {
                    let place = format!("{place} ?{name}");
                    self.schema(&place, (&was["schema"], &is["schema"]), Side::Asked);
                }
                None => self.broken.push(format!("{place}: parameter {name} is gone")),
            }
        }
        for (name, is) in is.iter().filter(|(_, is)| is["required"] == true) {
            let was = was.iter().find(|(other, _)| other == name);
            if was.is_none_or(|(_, was)| was["required"] != true) && is["in"] != "path" {
                self.broken.push(format!("{place}: parameter {name} is required now"));
            }
        }
    }

    fn schema(&mut self, place: &str, (was, is): (&Value, &Value), side: Side) {
        let (was, is) = (resolved(self.old, was).clone(), resolved(self.new, is).clone());
        let (narrow, wide) = if side == Side::Asked { (&was, &is) } else { (&is, &was) };
        // Of what is answered every form has to have been there before, of what is asked every one that was.
        if !forms(narrow).is_subset(&forms(wide)) && !forms(wide).is_empty() {
            let (was, is) = (forms(&was), forms(&is));
            self.broken.push(format!("{place}: was {was:?}, is {is:?}"));
        }
        let words = |schema: &Value| schema["enum"].as_array().cloned();
        match (words(&was), words(&is)) {
            (Some(was), Some(is)) => {
                let gone = was.iter().filter(|word| !is.contains(word));
                self.broken.extend(gone.map(|word| format!("{place}: the word {word} is gone")));
            }
            (None, Some(_)) if side == Side::Asked => {
                self.broken.push(format!("{place}: takes certain words alone now"));
            }
            _ => {}
        }
        let names = |schema: &Value| {
            let names = schema["required"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (had, has) = (names(&was), names(&is));
        match side {
            Side::Asked => self.broken.extend(
                has.difference(&had).map(|name| format!("{place}: {name} is required now")),
            ),
            Side::Answered => self.broken.extend(
                had.difference(&has).map(|name| format!("{place}: {name} may be absent now")),
            ),
        }
        for (name, was) in members(&was["properties"]) {
            let place = format!("{place}.{name}");
            match is["properties"].get(name) {
                Some(is) => self.schema(&place, (was, is), side),
                None => self.broken.push(format!("{place} is gone")),
            }
        }
        if was.get("items").is_some() {
            self.schema(&format!("{place}[]"), (&was["items"], &is["items"]), side);
        }
        for (at, part) in was["allOf"].as_array().into_iter().flatten().enumerate() {
            self.schema(place, (part, &is["allOf"][at]), side);
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The types that a schema allows; none is any.
fn forms(schema: &Value) -> BTreeSet<&str> {
    match &schema["type"] {
        Value::String(one) => [one.as_str()].into(),
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

/// The operation of a document that is this one.
fn find<'d>(document: &'d Value, operation: &Value) -> Option<&'d Value> {
    let operations = members(&document["paths"]).flat_map(|(_, item)| members(item));
    operations
        .map(|(_, other)| other)
        .find(|other| other["operationId"] == operation["operationId"])
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or(&Value::Null),
        None => value,
    }
}

fn now() -> Value {
    openapi::document(routes::routes())
}

fn is_to_be_written() -> bool {
    Environment::of_process().text("INSTA_UPDATE") == Some("always")
}

#[test]
fn the_document_is_the_committed_one_and_breaks_nothing_of_it() {
    let (old, new): (Value, Value) = (serde_json::from_str(COMMITTED).unwrap(), now());
    let broken = Comparison::of(&old, &new);
    assert!(
        broken.is_empty(),
        "this breaks for those who use the API (docs/versioning.md):\n{}",
        broken.join("\n")
    );
    let text = serde_json::to_string_pretty(&new).unwrap() + "\n";
    if is_to_be_written() {
        std::fs::write(FILE, text).unwrap();
    } else {
        assert!(
            text == COMMITTED,
            "docs/openapi.json isn't what the port serves: `make golden` writes it"
        );
    }
}

#[rstest]
#[case::a_path("/paths", "/api/v1/queues", None, "/api/v1/queues is gone")]
#[case::an_operation("/paths/~1api~1v1~1jobs", "get", None, "get /api/v1/jobs is gone")]
#[case::a_status("/paths/~1version/get/responses", "200", None, "get /version: 200 is gone")]
#[case::a_role("/paths/~1version/get", "security", Some(json!([{ "Bearer": ["admin"] }])), "security was")]
#[case::a_property("/components/schemas/JobSummary/properties", "kind", None, ".kind is gone")]
#[case::a_type("/components/schemas/JobSummary/properties/id", "type", Some(json!("string")), ".id: was")]
#[case::a_promise("/components/schemas/JobPage", "required", Some(json!(["now"])), "jobs may be absent now")]
#[case::a_parameter("/paths/~1api~1v1~1jobs/get", "parameters", Some(json!([])), "parameter queue is gone")]
fn what_goes_from_the_document_is_a_break(
    #[case] place: &str,
    #[case] name: &str,
    #[case] becomes: Option<Value>,
    #[case] said: &str,
) {
    let (old, mut new) = (now(), now());
    let object = new.pointer_mut(place).and_then(Value::as_object_mut).expect("it is there");
    match becomes {
        Some(value) => drop(object.insert(name.to_owned(), value)),
        None => drop(object.remove(name)),
    }
    let broken = Comparison::of(&old, &new);
    assert!(broken.iter().any(|line| line.contains(said)), "{broken:?}");
    // The other way round, as far as it only adds: nothing breaks.
    if name != "type" && name != "security" {
        assert_eq!(Comparison::of(&new, &old), Vec::<String>::new());
    }
}

#[test]
fn a_narrower_word_and_a_new_demand_on_who_asks_are_breaks() {
    let (old, mut new) = (now(), now());
    let jobs = new.pointer_mut("/paths/~1api~1v1~1jobs/get/parameters").unwrap();
    for parameter in jobs.as_array_mut().unwrap() {
        match parameter["name"].as_str() {
            Some("state") => drop(parameter["schema"]["enum"].as_array_mut().unwrap().pop()),
            Some("kind") => parameter["required"] = json!(true),
            _ => {}
        }
    }
    let broken = Comparison::of(&old, &new).join("\n");
    assert!(broken.contains("?state: the word \"discarded\" is gone"), "{broken}");
    assert!(broken.contains("parameter kind is required now"), "{broken}");
}
