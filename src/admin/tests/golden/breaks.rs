//! Changes that are breaks, each beside one that isn't.

use super::{super::*, *};

/// Where the document lists the problems of a request that isn't understood.
const TYPE_OF_400: &str = "/paths/~1api~1v1~1jobs/get/responses/400/content/application~1problem+json/schema/properties/type";
const UNKNOWN: &str = "urn:legwork:problem:unknown-parameter";

#[rstest]
#[case::a_path("/paths", "/api/v1/queues", None, "/api/v1/queues is gone")]
#[case::an_operation("/paths/~1api~1v1~1jobs", "get", None, "get /api/v1/jobs is gone")]
#[case::a_status("/paths/~1version/get/responses", "200", None, "get /version: 200 is gone")]
#[case::a_role("/paths/~1version/get", "security", Some(json!([{ "Bearer": ["admin"] }])), "security was")]
#[case::a_property("/components/schemas/JobSummary/properties", "kind", None, ".kind is gone")]
#[case::a_type("/components/schemas/JobSummary/properties/id", "type", Some(json!("string")), ".id: type was")]
#[case::a_promise("/components/schemas/JobPage", "required", Some(json!(["now"])), "jobs may be absent now")]
#[case::a_parameter("/paths/~1api~1v1~1jobs/get", "parameters", Some(json!([])), "parameter queue is gone")]
#[case::a_header(
    "/paths/~1api~1v1~1jobs~1{id}/get/responses/200/headers",
    "ETag",
    None,
    "200 ETag is gone"
)]
#[case::the_place_of_what_was_made(
    "/paths/~1api~1v1~1jobs/post/responses/201/headers",
    "Location",
    None,
    "201 Location is gone"
)]
#[case::a_header_for_sure(
    "/components/headers/Challenge",
    "required",
    None,
    "401 WWW-Authenticate may be absent now"
)]
#[case::a_body(
    "/paths/~1api~1v1~1jobs/post/requestBody/content",
    "application/json",
    None,
    "body application/json is gone"
)]
#[case::a_problem(TYPE_OF_400, "enum", Some(json!([UNKNOWN])), "invalid-parameter\" is gone")]
#[case::all_problems(TYPE_OF_400, "enum", None, ".type: may be any word now")]
#[case::a_form_of_members(
    "/components/schemas/Health/properties/checks",
    "additionalProperties",
    None,
    ".checks: additionalProperties was"
)]
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

#[test]
fn another_default_and_another_scheme_are_breaks() {
    let of = |default: Value, scheme: &str| {
        let schema = json!({ "type": "integer", "default": default });
        let parameter = json!({ "in": "query", "name": "limit", "schema": schema });
        json!({ "paths": { "/": { "get": { "parameters": [parameter] } } },
            "components": { "securitySchemes": { "Bearer": { "scheme": scheme } } } })
    };
    let old = of(json!(500), "bearer");
    for (new, said) in [
        (of(json!(50), "bearer"), "?limit: default was 500, is 50"),
        (of(Value::Null, "bearer"), "?limit: default was 500"),
        (of(json!(500), "basic"), "the security scheme Bearer was"),
    ] {
        let broken = Comparison::of(&old, &new);
        assert!(matches!(&*broken, [only] if only.contains(said)), "{broken:?}");
    }
    let said_now = Comparison::of(&of(Value::Null, "bearer"), &old);
    assert_eq!(said_now, Vec::<String>::new(), "what is said of it now may have held before");
}

#[test]
fn a_parameter_that_stands_elsewhere_or_is_written_otherwise_is_a_break() {
    let parameter = |beside: Value| {
        let mut parameter = json!({ "in": "query", "name": "a", "schema": form("array") });
        parameter.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        json!({ "paths": { "/": { "get": { "parameters": [parameter] } } } })
    };
    let old = parameter(json!({}));
    for (beside, said) in [
        (json!({ "in": "header" }), "parameter a is gone"),
        (json!({ "in": "cookie" }), "parameter a is gone"),
        (json!({ "style": "deepObject" }), "style was"),
        (json!({ "explode": false }), "style was"),
    ] {
        let new = parameter(beside);
        for (was, is) in [(&old, &new), (&new, &old)] {
            let broken = Comparison::of(was, is);
            assert!(matches!(&*broken, [only] if only.contains(said)), "{broken:?}");
        }
    }
    let same = parameter(json!({ "style": "form", "explode": true }));
    assert_eq!(Comparison::of(&old, &same), Vec::<String>::new());
}

#[test]
fn a_body_that_has_to_come_now_is_a_break() {
    let (old, mut new) = (now(), now());
    let body = new.pointer_mut("/paths/~1debug~1pprof~1heap~1activate/post/requestBody").unwrap();
    body["required"] = json!(true);
    let broken = Comparison::of(&old, &new);
    assert_eq!(broken, ["post /debug/pprof/heap/activate: a body is required now"]);
    assert_eq!(Comparison::of(&new, &old), Vec::<String>::new());
}

/// What breaks from one schema to another, of something that is asked or answered.
fn between(was: &Value, is: &Value, side: Side) -> Vec<String> {
    let document = |schema: &Value| {
        let content = json!({ "content": { "json": { "schema": schema } } });
        let operation = match side {
            Side::Asked => json!({ "requestBody": content }),
            Side::Answered => json!({ "responses": { "200": content } }),
        };
        json!({ "paths": { "/": { "get": operation } } })
    };
    Comparison::of(&document(was), &document(is))
}

fn form(name: &str) -> Value {
    json!({ "type": name })
}

#[rstest]
#[case::minimum(json!({ "minimum": 2 }), json!({ "minimum": 1 }), "minimum")]
#[case::a_minimum_at_all(json!({ "minimum": 1 }), json!({}), "minimum")]
#[case::maximum(json!({ "maximum": 1 }), json!({ "maximum": 2 }), "maximum")]
#[case::min_length(json!({ "minLength": 2 }), json!({ "minLength": 1 }), "minLength")]
#[case::max_length(json!({ "maxLength": 8 }), json!({ "maxLength": 9 }), "maxLength")]
#[case::max_items(json!({ "maxItems": 8 }), json!({}), "maxItems")]
#[case::pattern(json!({ "pattern": "^a$" }), json!({}), "pattern")]
#[case::format(json!({ "format": "date-time" }), json!({}), "format")]
#[case::a_longer_number(json!({ "format": "int32" }), json!({ "format": "int64" }), "format")]
#[case::a_type_at_all(json!({ "type": "string" }), json!({}), "type")]
#[case::words(json!({ "enum": ["a"] }), json!({}), "word")]
#[case::one_of(json!({ "oneOf": [form("string")] }), json!({ "oneOf": [form("string"), form("null")] }), "type")]
#[case::any_of(json!({ "anyOf": [form("string")] }), json!({ "anyOf": [form("null"), form("string")] }), "type")]
#[case::alone(form("string"), json!({ "oneOf": [form("string"), form("null")] }), "type")]
#[case::within_one(json!({ "oneOf": [{ "minimum": 2 }] }), json!({ "oneOf": [{ "minimum": 1 }] }), "minimum")]
#[case::beside_one(json!({ "oneOf": [{}], "minimum": 2 }), json!({ "oneOf": [{}], "minimum": 1 }), "minimum")]
#[case::of_items(json!({ "items": form("string") }), json!({}), "[]: type")]
#[case::of_names(json!({ "propertyNames": { "pattern": "^a" } }), json!({}), "{}: pattern")]
#[case::of_a_part(json!({ "allOf": [{}, { "minimum": 2 }] }), json!({ "allOf": [{}] }), "minimum")]
#[case::of_other_members(
    json!({ "additionalProperties": { "minimum": 2 } }),
    json!({ "additionalProperties": { "minimum": 1 } }),
    ".*: minimum"
)]
fn what_is_asked_may_become_wider_and_what_is_answered_narrower(
    #[case] narrow: Value,
    #[case] wide: Value,
    #[case] said: &str,
) {
    for (side, was, is) in [(Side::Asked, &wide, &narrow), (Side::Answered, &narrow, &wide)] {
        let broken = between(was, is, side);
        assert!(matches!(&*broken, [only] if only.contains(said)), "{side:?}: {broken:?}");
        assert_eq!(between(is, was, side), Vec::<String>::new(), "{side:?}");
    }
}

#[rstest]
#[case::pattern("pattern", "^a$", "^b$")]
#[case::format("format", "date", "date-time")]
fn another_pattern_or_format_is_a_break_on_either_side(
    #[case] name: &str,
    #[case] was: &str,
    #[case] is: &str,
) {
    for side in [Side::Asked, Side::Answered] {
        let broken = between(&json!({ name: was }), &json!({ name: is }), side);
        let place = if side == Side::Asked { "get / body json" } else { "get / 200 json" };
        assert_eq!(broken, [format!("{place}: {name} was \"{was}\", is \"{is}\"")]);
    }
}

#[rstest]
#[case::closed(json!({}), json!({ "additionalProperties": false }), [true, false])]
#[case::opened(json!({ "additionalProperties": false }), json!({}), [false, false])]
#[case::of_a_form(json!({}), json!({ "additionalProperties": form("string") }), [true, false])]
#[case::of_any_form(json!({ "additionalProperties": form("string") }), json!({}), [false, true])]
#[case::those_of_a_form_gone(json!({ "additionalProperties": form("string") }), json!({ "additionalProperties": false }), [true, true])]
fn other_members_go_on_being_taken_and_keep_their_form(
    #[case] was: Value,
    #[case] is: Value,
    #[case] breaks: [bool; 2],
) {
    let broken = [Side::Asked, Side::Answered].map(|side| between(&was, &is, side));
    assert_eq!(broken.each_ref().map(|broken| !broken.is_empty()), breaks, "{broken:?}");
}
