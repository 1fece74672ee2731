//! What the port answers, as `OpenAPI` 3.1: for programs that make a client or check one.
//!
//! It is made of the route table: what an operation is stands at its handler, the shape of what it gives at the
//! type, who may ask it and what may be wrong with that in its row. What is the same of all operations is added here:
//! the request's id, HEAD, how to show who one is, and each problem with its type.

mod forms;

use super::{
    access::{Audience, Role},
    health,
    problem::{Problem, Shown, is_of_go},
    routes::{QUIET, Route},
};
use crate::{job::NAME_PATTERN, telemetry::build};
use axum::http::Method;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};
use utoipa::{
    PartialSchema,
    openapi::{RefOr, schema::Schema},
};

/// What can be wrong with whatever is asked.
const OF_EVERYTHING: [Problem; 2] = [Problem::BodyTooLarge, Problem::UnknownHost];

/// The document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let item = paths.entry(&route.path).or_insert_with(|| json!({}));
        let operation = described(route);
        if route.takes_head {
            item["head"] = without_body(&operation);
        }
        item[route.method.as_str().to_lowercase()] = operation;
    }
    forms::put_into_parameters(&mut paths);
    let mut schemas = json!(schemas(routes));
    forms::put(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Legwork's admin port",
            "version": build::VERSION,
            "summary": "Health, metrics and the API of one daemon.",
            "description": "Jobs are enqueued in the database, since the contract is the row, or here by those who can't reach it. Health and metrics ask it nothing, the \
                API does. Without a token, other machines are answered health and metrics alone. Objects may gain members: a client passes over those that it doesn't know.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {
                "RequestId": {
                    "name": "X-Request-ID", "in": "header",
                    "description": "Comes back, and stands in the log line, where it is 1 to 128 letters, \
                        digits, _ . or -. Otherwise the request gets one.",
                    "schema": { "type": "string" },
                },
            },
            "headers": {
                "RequestId": {
                    "description": "The request's id.", "required": true,
                    "schema": { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$" },
                },
                "Challenge": {
                    "description": "How a token is sent: as Bearer, or as the password of Basic.", "required": true,
                    "schema": { "type": "string" },
                },
                "RetryAfter": {
                    "description": "Seconds after which to come again.", "required": true,
                    "schema": { "type": "integer", "minimum": 0 },
                },
            },
            "securitySchemes": {
                "Bearer": { "type": "http", "scheme": "bearer", "description": "A token of the daemon." },
                "Basic": {
                    "type": "http", "scheme": "basic",
                    "description": "A token of the daemon as the password, whatever the user: http://x:TOKEN@host/…",
                },
            },
        },
    })
}

/// The shapes that operations refer to.
fn schemas(routes: &[Route]) -> BTreeMap<String, RefOr<Schema>> {
    let used = routes.iter().flat_map(|route| &route.schemas).cloned();
    let mut schemas: BTreeMap<_, _> = used.collect();
    schemas.extend(health::schemas());
    schemas.insert("Problem".to_owned(), Shown::schema());
    schemas
}

/// One operation, with what is the same of all.
fn described(route: &Route) -> Value {
    let mut operation = json!(route.described);
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        if ["queue", "kind", "name"].iter().any(|name| parameter["name"] == *name) {
            parameter["schema"]["pattern"] = NAME_PATTERN.into();
        }
    }
    let parameter = json!({ "$ref": "#/components/parameters/RequestId" });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.insert(0, parameter),
        None => operation["parameters"] = json!([parameter]),
    }
    for (status, response) in problems(route) {
        operation["responses"][status.to_string()] = response;
    }
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        response["headers"]["X-Request-ID"] = json!({ "$ref": "#/components/headers/RequestId" });
    }
    operation["security"] = security(route.audience);
    operation
}

/// A token may be sent in two ways; without one the machine itself may do everything.
fn security(audience: Audience) -> Value {
    match audience {
        // Of a call back the URL is the right.
        Audience::Everybody | Audience::Caller => json!([]),
        Audience::Role(role) => {
            json!([{}, { "Bearer": [role.as_str()] }, { "Basic": [role.as_str()] }])
        }
    }
}

/// What may be wrong with who asks.
fn of_audience(audience: Audience) -> Vec<Problem> {
    let guesses = Problem::TooManyGuesses { wait: Duration::from_secs(1) };
    let needed = match audience {
        Audience::Everybody => return Vec::new(),
        Audience::Caller => return vec![Problem::OtherDaemon, guesses],
        Audience::Role(needed) => needed,
    };
    vec![
        Problem::NoToken,
        Problem::WrongToken,
        guesses,
        Problem::RoleTooSmall { needed: needed.max(Role::Operator), role: Role::Viewer },
        Problem::ForeignPage,
        // There is no token, and it isn't the machine itself that asks.
        Problem::NotFound,
    ]
}

/// The responses that are problems: one a status, with the types that it may have.
fn problems(route: &Route) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, Vec<Problem>> = BTreeMap::new();
    // Whoever says something can do so slowly.
    let slow = route.described.request_body.is_some().then_some(Problem::BodyTooSlow);
    let is_change = route.method != Method::GET;
    let versions = (is_change && !route.has_versions()).then_some(Problem::NoVersion);
    let keys = (is_change && route.refuses_keys()).then_some(Problem::KeyNotTaken);
    let is_sent_on = is_change && route.problems.contains(&Problem::DatabaseUnavailable);
    let unknown = is_sent_on.then_some(Problem::OutcomeUnknown);
    let waits = !QUIET.contains(&&*route.path);
    let crowded = waits.then_some(Problem::Overloaded);
    let ends = waits && !route.problems.contains(&Problem::DaemonEnds);
    let ends = ends.then_some(Problem::DaemonEnds);
    let all = OF_EVERYTHING.into_iter().chain(slow).chain(of_audience(route.audience));
    let of_headers = versions.into_iter().chain(keys);
    for problem in all
        .chain(route.problems.iter().copied())
        .chain(of_headers)
        .chain(unknown)
        .chain(crowded)
        .chain(ends)
    {
        by_status.entry(problem.status().as_u16()).or_default().push(problem);
    }
    let described = |(status, problems): (u16, Vec<_>)| {
        let mut response = response(status, &problems);
        if is_of_go(&route.path) {
            let said = problems.first().map(|problem| problem.detail());
            let text = json!({ "schema": { "type": "string" }, "example": said });
            response["content"] = json!({ "text/plain": text });
        }
        (status, response)
    };
    by_status.into_iter().map(described).collect()
}

fn response(status: u16, problems: &[Problem]) -> Value {
    let types: Vec<_> = problems.iter().map(|problem| problem.uri()).collect();
    let said: Vec<_> = problems.iter().map(|problem| problem.detail()).collect();
    let example = problems.first().map(|problem| {
        let title = problem.status().canonical_reason();
        json!({ "type": problem.uri(), "title": title, "status": status, "detail": problem.detail() })
    });
    let mut response = json!({
        "description": said.join("; or "),
        "content": { "application/problem+json": {
            "schema": {
                "allOf": [{ "$ref": "#/components/schemas/Problem" }],
                "properties": { "type": { "enum": types } },
            },
            "example": example,
        } },
    });
    if problems.iter().any(|problem| problem.passes()) {
        response["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    if problems.contains(&Problem::NoToken) {
        response["headers"]["WWW-Authenticate"] =
            json!({ "$ref": "#/components/headers/Challenge" });
    }
    response
}

/// The same for HEAD.
fn without_body(operation: &Value) -> Value {
    let mut head = operation.clone();
    if let Some(id) = operation["operationId"].as_str() {
        head["operationId"] = format!("{id}_head").into();
    }
    for response in head["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(response) = response.as_object_mut() {
            response.remove("content");
        }
    }
    head
}
