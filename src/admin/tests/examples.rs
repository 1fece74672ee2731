//! What the port's document shows as examples against its own schemas: a client that was generated from them has to be able to
//! say what people are told to say.

use super::schema::{faults, resolved};
use crate::admin::{openapi, routes};
use rstest::rstest;
use serde_json::{Value, json};

/// The schema of each example of an operation, with the example and what it is of.
fn examples<'d>(document: &'d Value, operation: &'d Value) -> Vec<(String, &'d Value, &'d Value)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| resolved(document, parameter));
    let mut found: Vec<_> =
        parameters.map(|it| (it["name"].to_string(), &it["schema"], &it["example"])).collect();
    let bodies = operation["responses"].as_object().into_iter().flatten();
    let bodies = bodies.map(|(status, response)| (status.clone(), resolved(document, response)));
    for (name, body) in bodies.chain([("body".to_owned(), &operation["requestBody"])]) {
        for (kind, content) in body["content"].as_object().into_iter().flatten() {
            if kind.ends_with("json") {
                found.push((format!("{name} {kind}"), &content["schema"], &content["example"]));
            }
        }
    }
    found
}

#[test]
fn every_example_is_as_its_schema_says() {
    let document = openapi::document(routes::routes());
    let mut held = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (of, schema, example) in examples(&document, operation) {
                if example.is_null() {
                    continue;
                }
                let wrong = faults(&document, schema, example);
                assert_eq!(wrong, Vec::<String>::new(), "{method} {path}, {of}");
                held += 1;
            }
        }
    }
    assert!(held > 200, "{held} examples");
}

#[rstest]
#[case::of_a_profile("/debug/pprof/profile")]
#[case::of_the_heap("/debug/pprof/heap")]
#[case::of_allocations("/debug/pprof/allocs")]
fn each_form_of_a_profile_may_be_asked_for(#[case] path: &str) {
    let document = openapi::document(routes::routes());
    let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
    let format = parameters.iter().find(|parameter| parameter["name"] == "format").unwrap();
    for form in ["pprof", "svg", "folded", "speedscope"] {
        let wrong = faults(&document, &format["schema"], &json!(form));
        assert_eq!(wrong, Vec::<String>::new(), "{form}");
    }
    assert_ne!(faults(&document, &format["schema"], &json!("png")), Vec::<String>::new());
}

#[rstest]
#[case::without_a_result(json!({ "action": "complete" }))]
#[case::with_any_result(json!({ "action": "complete", "result": [1] }))]
#[case::failed(json!({ "action": "fail", "error": "no such address" }))]
#[case::later(json!({ "action": "snooze", "for": "10m" }))]
fn whatever_a_receiver_may_call_back_is_described(#[case] body: Value) {
    let document = openapi::document(routes::routes());
    let schema = &document["components"]["schemas"]["Callback"];
    assert_eq!(faults(&document, schema, &body), Vec::<String>::new());
}

#[rstest]
#[case::of_a_kind("NewJob", json!({ "kind": "a".repeat(128), "queue": "mail", "unique_key": "u" }), json!({ "kind": "a b" }))]
#[case::of_a_queue("NewJob", json!({ "kind": "k", "queue": null }), json!({ "kind": "k", "queue": "" }))]
#[case::of_a_key("NewJob", json!({ "kind": "k", "unique_key": null }), json!({ "kind": "k", "unique_key": "" }))]
#[case::of_times("NewJob", json!({ "kind": "k", "delay": "500ms", "timeout": "1.5h" }), json!({ "kind": "k", "delay": "soon" }))]
#[case::of_a_moment("NewJob", json!({ "kind": "k", "run_at": "2030-01-31T09:00:00+01:00" }), json!({ "kind": "k", "run_at": "infinity" }))]
#[case::of_a_state("JobFilter", json!({ "state": "discarded" }), json!({ "state": "failed" }))]
#[case::of_ages("JobFilter", json!({ "created_after": "7d", "tag": "" }), json!({ "created_after": "" }))]
#[case::of_a_snooze("Snooze", json!({ "for": "1 day" }), json!({ "for": "-1m" }))]
#[case::of_many("Bulk", json!({ "action": "snooze", "for": "1h 30m" }), json!({ "action": "snooze", "for": "10" }))]
#[case::of_a_limit("QueueDecision", json!({ "rate_limit": "30/m burst 2" }), json!({ "rate_limit": "fast" }))]
#[case::of_an_end("ForAWhile", json!({ "until": "2030-01-31T08:00:00Z" }), json!({ "until": "tomorrow" }))]
#[case::of_a_reason("Reason", json!({ "reason": "x" }), json!({ "reason": "" }))]
#[case::of_a_filter("LogFilter", json!({ "filter": "info", "for": "90s" }), json!({ "filter": "" }))]
#[case::of_a_call_back("Callback", json!({ "action": "retry", "for": "0s" }), json!({ "action": "retry", "for": "later" }))]
fn what_would_be_refused_is_described_as_such_and_nothing_else_is(
    #[case] schema: &str,
    #[case] fits: Value,
    #[case] refused: Value,
) {
    let document = openapi::document(routes::routes());
    let schema = &document["components"]["schemas"][schema];
    assert_eq!(faults(&document, schema, &fits), Vec::<String>::new());
    assert_eq!(faults(&document, schema, &refused).len(), 1, "{refused}");
}
