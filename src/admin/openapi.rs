//! What the port answers, as `OpenAPI` 3.1: for programs that make a client or check one.
//!
//! It is written down beside the routes and held to them by tests: the paths are those of the route table,
//! and every status, content type and body that the port gives is one that stands here.

mod security;
mod tasks;

use super::routes;
use crate::telemetry::build;
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Legwork's admin port",
            "version": build::VERSION,
            "summary": "Health, metrics and the version of one daemon.",
            "description": "Jobs are enqueued, looked at and changed in the database: the contract is the row. \
                Nothing here asks the database. Without a token, other machines are answered health and metrics alone.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths(),
        "components": {
            "schemas": { "Health": health(), "Version": version(), "Tasks": tasks::tree(), "Problem": problem() },
            "parameters": {
                "RequestId": {
                    "name": "X-Request-ID", "in": "header",
                    "description": "Comes back, and stands in the log line, where it is 1 to 128 letters, \
                        digits, _ . or -. Otherwise the request gets one.",
                    "schema": { "type": "string" },
                },
                "Verbose": {
                    "name": "verbose", "in": "query", "allowEmptyValue": true,
                    "description": "Lists in plain text the checks that are well, too.",
                    "schema": { "type": "string" },
                },
                "Format": {
                    "name": "format", "in": "query",
                    "description": "The form; without it what Accept asks for, else JSON.",
                    "schema": { "type": "string", "enum": ["json", "text"] },
                },
                "Limit": {
                    "name": "limit", "in": "query",
                    "description": "Most tasks that are listed of each component, at most 10,000; counts are of all.",
                    "schema": { "type": "integer", "minimum": 0, "default": 1000 },
                },
                "Debug": {
                    "name": "debug", "in": "query",
                    "description": "1 counts alike tasks, 2 has a stanza for each.",
                    "schema": { "type": "integer" },
                },
            },
            "headers": {
                "RequestId": {
                    "description": "The request's id.", "required": true,
                    "schema": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$" },
                },
            },
        },
    });
    security::describe(&mut document, &routes::routes());
    document
}

fn paths() -> Value {
    let probe = |id: &str, summary: &str| {
        let body = json!({
            "text/plain": { "schema": { "type": "string" } },
            "application/json": { "schema": { "$ref": "#/components/schemas/Health" } },
        });
        let answers =
            [("200", "So it is.", body.clone()), ("503", "It isn't; the body says why.", body)];
        path(id, summary, &["Verbose"], &answers)
    };
    let text = text_body();
    let version =
        json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Version" } } });
    let document = json!({ "application/json": { "schema": { "type": "object" } } });
    let profile = json!({
        "application/octet-stream": { "schema": { "type": "string", "format": "binary" } },
        "text/plain": { "schema": { "type": "string" } },
    });
    let tasks = json!({
        "application/json": { "schema": { "$ref": "#/components/schemas/Tasks" } },
        "text/plain": { "schema": { "type": "string" } },
    });
    let (alive, takes_jobs) = ("Whether a restart would help", "Whether the daemon takes jobs");
    json!({
        "/health/live": probe("live", alive),
        "/health/ready": probe("ready", takes_jobs),
        "/health/startup": probe("startup", "Whether the daemon has started"),
        "/livez": probe("livez", alive),
        "/readyz": probe("readyz", takes_jobs),
        "/metrics": path("metrics", "Everything in Prometheus' text format", &[], &[("200", "The page.", text)]),
        "/version": path("version", "Which version runs", &[], &[("200", "It.", version)]),
        "/debug/tasks": path("tasks", "What each task and running job waits for", &["Format", "Limit"],
            &[("200", "The tree.", tasks)]),
        "/debug/pprof/goroutine": path("goroutine", "The same as a profile", &["Debug"],
            &[("200", "It, for `go tool pprof`; with debug as text.", profile)]),
        "/openapi.json": path("openapi", "This document", &[], &[("200", "It.", document)]),
    })
}

/// A path that is read; each takes HEAD as well, and refuses alike.
fn path(id: &str, summary: &str, parameters: &[&str], answers: &[(&str, &str, Value)]) -> Value {
    let refused = [
        ("413", "A body of more than 65536 bytes was announced.", problem_body()),
        ("421", "The name in Host isn't the daemon's.", problem_body()),
    ];
    let parameter = |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let parameters: Vec<_> = ["RequestId"].iter().chain(parameters).map(parameter).collect();
    let operation = |id: String, with_body: bool| {
        let answers = answers.iter().chain(&refused);
        let responses: Map<_, _> = answers
            .map(|(status, meaning, body)| {
                let headers =
                    json!({ "X-Request-ID": { "$ref": "#/components/headers/RequestId" } });
                let mut response = json!({ "description": meaning, "headers": headers });
                if with_body {
                    response["content"] = body.clone();
                }
                ((*status).to_owned(), response)
            })
            .collect();
        json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses })
    };
    json!({ "get": operation(id.to_owned(), true), "head": operation(format!("{id}_head"), false) })
}

fn text_body() -> Value {
    json!({ "text/plain": { "schema": { "type": "string" } } })
}

fn problem_body() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
}

fn health() -> Value {
    let check = json!({
        "type": "object", "required": ["ok"], "additionalProperties": false,
        "properties": { "ok": { "type": "boolean" }, "reason": { "type": "string" } },
    });
    let words = ["live", "not live", "ready", "not ready", "started", "starting"];
    json!({
        "type": "object", "required": ["status", "checks"], "additionalProperties": false,
        "properties": {
            "status": { "type": "string", "enum": words },
            "checks": { "type": "object", "additionalProperties": check },
            "warnings": {
                "type": "object", "additionalProperties": { "type": "string" },
                "description": "What people should know and no check fails for, by what it is about.",
            },
        },
    })
}

fn version() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object", "required": ["name", "version", "commit"], "additionalProperties": false,
        "properties": { "name": { "const": "legwork" }, "version": text, "commit": text },
    })
}

/// RFC 9457.
fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object", "required": ["type", "title", "status", "detail"], "additionalProperties": false,
        "properties": {
            "type": { "const": "about:blank" }, "title": text, "detail": text,
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
        },
    })
}
