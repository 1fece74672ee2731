//! The JSON Schema: that it has every key, lets the examples through and refuses what is typically
//! wrong.

use super::keys::{OWNERS, examples_of};
use crate::config::{default_file, keys::KEYS, schema::schema};
use regex::Regex;
use rstest::rstest;
use serde_json::Value;

fn parsed() -> Value {
    serde_json::from_str(&schema()).expect("it is JSON")
}

/// The keywords that only people and editors look at.
const SAID: [&str; 5] = ["$schema", "title", "description", "default", "examples"];

/// Whether a schema allows a value, by the keywords that ours uses; another one is a panic, so that none
/// is ignored.
fn allows(schema: &Value, value: &Value) -> bool {
    let Value::Object(keywords) = schema else { return schema.as_bool().expect("a schema") };
    let all = |schemas: &Value| schemas.as_array().expect("schemas").clone();
    keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
        "type" => is_of(wanted.as_str().expect("a type"), value),
        "const" => value == wanted,
        "enum" => all(wanted).contains(value),
        "pattern" => value.as_str().is_none_or(|text| {
            Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern").is_match(text)
        }),
        "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("one")),
        "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("one")),
        "maxItems" => {
            value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().expect("one"))
        }
        "minItems" => {
            value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().expect("one"))
        }
        "items" => {
            value.as_array().is_none_or(|items| items.iter().all(|item| allows(wanted, item)))
        }
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(name, value)| wanted.get(name).is_none_or(|one| allows(one, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known =
                |name: &String| keywords.get("properties").is_some_and(|p| p.get(name).is_some());
            object.iter().all(|(name, value)| known(name) || allows(wanted, value))
        }),
        "required" => value.as_object().is_none_or(|object| {
            all(wanted).iter().all(|name| object.contains_key(name.as_str().expect("a name")))
        }),
        "anyOf" => all(wanted).iter().any(|one| allows(one, value)),
        "allOf" => all(wanted).iter().all(|one| allows(one, value)),
        "not" => !allows(wanted, value),
        "if" => {
            let branch = if allows(wanted, value) { "then" } else { "else" };
            keywords.get(branch).is_none_or(|one| allows(one, value))
        }
        "then" | "else" => keywords.contains_key("if"),
        other => SAID.contains(&other) || panic!("{other} isn't looked at by this test"),
    })
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

fn allows_file(text: &str) -> bool {
    allows(&parsed(), &toml::from_str(text).unwrap_or_else(|error| panic!("{text}\n{error}")))
}

/// The schema of a key, through lists and tables.
fn of_key<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |at, name| {
        let table = if at["type"] == "array" { &at["items"] } else { at };
        assert_eq!(table["additionalProperties"], false, "{path}");
        table["properties"].get(name)
    })
}

#[test]
fn every_key_is_in_the_schema_with_its_sentence_and_its_default() {
    let schema = parsed();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for key in KEYS {
        let one = of_key(&schema, key.path).unwrap_or_else(|| panic!("{} is missing", key.path));
        let sentence = one["description"].as_str().unwrap_or_default();
        assert!(sentence.contains(&format!("({})", key.form.range())), "{}: {one}", key.path);
        for shown in [one.get("default"), one.get("examples").and_then(|all| all.get(0))] {
            assert!(shown.is_none_or(|shown| allows(one, shown)), "{}: {one}", key.path);
        }
        assert!(one.get("default").or(one.get("examples")).is_some(), "{}: {one}", key.path);
    }
    assert_eq!(of_key(&schema, "claim.batch").expect("a key")["default"], 500);
}

#[test]
fn the_default_file_and_its_examples_are_let_through() {
    assert!(allows_file(default_file()));
    for owner in OWNERS {
        let text = examples_of(owner.handler);
        assert!(allows_file(&text), "{text}");
    }
}

const COMMAND: &str = "[[kind]]\nname = \"k\"\nhandler = \"command\"\ncommand = [\"/bin/ls\"]\n";

/// Each is right but for one line, which is put right in the second text.
#[rstest]
#[case::a_key_with_a_typo("[claim]\nbach = 5\n", "[claim]\nbatch = 5\n")]
#[case::a_section_with_a_typo("[clam]\nbatch = 5\n", "[claim]\nbatch = 5\n")]
#[case::a_number_in_quotes("[claim]\nbatch = \"5\"\n", "[claim]\nbatch = 5\n")]
#[case::out_of_range("[claim]\nbatch = 1001\n", "[claim]\nbatch = 1000\n")]
#[case::a_share_out_of_range("[claim]\npoll_jitter = 1.5\n", "[claim]\npoll_jitter = 0.5\n")]
#[case::a_duration_without_unit("[retry]\ntimeout = \"5\"\n", "[retry]\ntimeout = \"5m\"\n")]
#[case::a_duration_as_number("[retry]\ntimeout = 5\n", "[retry]\ntimeout = \"5s\"\n")]
#[case::a_switch_as_text("[claim]\nnotify = \"no\"\n", "[claim]\nnotify = false\n")]
#[case::a_word_of_no_choice("[log]\nformat = \"xml\"\n", "[log]\nformat = \"json\"\n")]
#[case::both_urls(
    "[database]\nurl = \"a\"\nurl_file = \"/a\"\n",
    "[database]\nurl_file = \"/a\"\n"
)]
#[case::both_direct_urls(
    "[database]\ndirect_url = \"a\"\ndirect_url_file = \"/a\"\n",
    "[database]\ndirect_url_file = \"/a\"\n"
)]
#[case::a_pooler_of_no_mode(
    "[database]\npooler = \"session\"\n",
    "[database]\npooler = \"transaction\"\n"
)]
#[case::a_relative_path("[database]\nurl_file = \"a\"\n", "[database]\nurl_file = \"/a\"\n")]
#[case::a_table_for_a_list("[queue]\nname = \"q\"\n", "[[queue]]\nname = \"q\"\n")]
#[case::a_queue_without_name("[[queue]]\nconcurrency = 1\n", "[[queue]]\nname = \"q\"\n")]
#[case::a_name_with_a_space("[[queue]]\nname = \"q q\"\n", "[[queue]]\nname = \"q-q\"\n")]
#[case::a_concurrency_of_nothing(
    "[[queue]]\nname = \"q\"\nconcurrency = 0\n",
    "[[queue]]\nname = \"q\"\nconcurrency = \"2*cpus\"\n"
)]
#[case::a_limit_per_day(
    "[[queue]]\nname = \"q\"\nrate_limit = \"5/d\"\n",
    "[[queue]]\nname = \"q\"\nrate_limit = \"5/h burst 2\"\n"
)]
#[case::a_kind_without_handler(
    "[[kind]]\nname = \"k\"\n",
    "[[kind]]\nname = \"k\"\nhandler = \"noop\"\n"
)]
#[case::a_command_without_program("[[kind]]\nname = \"k\"\nhandler = \"command\"\n", COMMAND)]
#[case::a_key_of_another_handler(
    "[[kind]]\nname = \"k\"\nhandler = \"noop\"\nurl = \"https://a/b\"\n",
    "[[kind]]\nname = \"k\"\nhandler = \"http\"\nurl = \"https://a/b\"\n"
)]
#[case::a_backoff_with_a_typo(
    "[retry]\nbackoff.bse = \"1s\"\n",
    "[retry]\nbackoff.base = \"1s\"\n"
)]
#[case::a_schedule_without_kind(
    "[[schedule]]\nname = \"s\"\ncron = \"0 3 * * *\"\n",
    "[[schedule]]\nname = \"s\"\ncron = \"0 3 * * *\"\nkind = \"k\"\n"
)]
#[case::no_bound_misspelt("[retry]\nmax_snoozes = \"no\"\n", "[retry]\nmax_snoozes = \"none\"\n")]
fn a_typical_mistake_is_refused_and_its_correction_is_not(
    #[case] wrong: &str,
    #[case] right: &str,
) {
    assert!(!allows_file(wrong), "{wrong}");
    assert!(allows_file(right), "{right}");
}

#[test]
fn each_handler_has_its_keys_and_no_others() {
    for owner in OWNERS {
        let head = format!("[[kind]]\nname = \"k\"\nhandler = {:?}\n", owner.handler);
        assert!(!allows_file(&head), "{} without {}", owner.handler, owner.needs);
    }
}
