//! The tree of tasks, described.

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, schema::Schema},
};

/// The body of `/debug/tasks`.
pub(super) struct Tree;

impl ToSchema for Tree {}

impl PartialSchema for Tree {
    fn schema() -> RefOr<Schema> {
        serde_json::from_value(tree()).expect("it is a schema")
    }
}

fn tree() -> Value {
    let count = || json!({ "type": "integer", "minimum": 0 });
    object(
        &[
            (
                "tokio",
                object(&["alive", "registered", "unregistered"].map(|name| (name, count())), &[]),
            ),
            ("components", json!({ "type": "array", "items": component() })),
        ],
        &[],
    )
}

fn component() -> Value {
    let crowd = object(&[("tasks", integer()), ("oldest_seconds", number())], &[]);
    object(
        &[
            ("name", string()),
            ("tasks", integer()),
            ("restarts", integer()),
            ("waits", json!({ "type": "object", "additionalProperties": crowd })),
            ("listed", json!({ "type": "array", "items": task() })),
        ],
        &[],
    )
}

fn task() -> Value {
    let waits = object(&[("at", string()), ("seconds", number())], &[("pid", integer())]);
    let policies = ["shutdown", "restart", "log", "thread"];
    let states = ["starting", "running", "waiting", "restarting"];
    object(
        &[
            ("id", integer()),
            ("name", string()),
            ("policy", json!({ "type": "string", "enum": policies })),
            ("age_seconds", number()),
            ("state", json!({ "type": "string", "enum": states })),
            ("restarts", integer()),
        ],
        &[
            ("last_run_seconds_ago", number()),
            ("waits", waits),
            ("late_seconds", number()),
            ("last_error", object(&[("text", string()), ("seconds_ago", number())], &[])),
            ("job", job()),
        ],
    )
}

fn job() -> Value {
    object(
        &[
            ("id", integer()),
            ("kind", string()),
            ("queue", string()),
            ("age_seconds", number()),
            ("stopping", json!({ "type": "boolean" })),
        ],
        &[("attempt", integer()), ("seconds_left", number())],
    )
}

fn object(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let names: Vec<_> = required.iter().map(|(name, _)| *name).collect();
    let fields = required.iter().chain(optional).map(|(name, of)| ((*name).to_owned(), of.clone()));
    let fields: serde_json::Map<_, _> = fields.collect();
    json!({ "type": "object", "required": names, "additionalProperties": false, "properties": fields })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn number() -> Value {
    json!({ "type": "number" })
}
