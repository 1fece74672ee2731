//! The document against the one that was committed, `docs/openapi.json`: what it says now, and what breaks for those who
//! went by that. To write the file anew takes no break away; what is added only has to be written there.

mod breaks;
mod operations;
mod schemas;

use super::{schema::resolved, *};
use crate::config::Environment;
use serde_json::{Value, json};

/// As it was when this was compiled.
const COMMITTED: &str = include_str!("../../../docs/openapi.json");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// From which end something is seen: what is asked may become wider, what is answered narrower, and neither the
/// other way round.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Asked,
    Answered,
}

/// The same place in the old document and in the new one.
type Pair<'d> = (&'d Value, &'d Value);

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
        comparison.security_schemes();
        comparison.broken
    }

    fn say(&mut self, broken: String) {
        self.broken.push(broken);
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
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
