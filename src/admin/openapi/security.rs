//! Who may ask each operation, and what the others are answered: from the route table, so that a route
//! can't be described otherwise than it is guarded.

use super::{problem_body, text_body};
use crate::admin::{access::Audience, problem::is_of_go, routes::Route};
use serde_json::{Value, json};

/// Describes how a token is sent, and puts roles and refusals to the operations of these routes.
pub(super) fn describe(document: &mut Value, routes: &[Route]) {
    document["components"]["securitySchemes"] = json!({
        "Bearer": { "type": "http", "scheme": "bearer", "description": "A token of the daemon." },
        "Basic": {
            "type": "http", "scheme": "basic",
            "description": "A token of the daemon as the password, whatever the user: http://x:TOKEN@host/…",
        },
    });
    let headers = &mut document["components"]["headers"];
    headers["Challenge"] = json!({
        "description": "How a token is sent: as Bearer, or as the password of Basic.", "required": true,
        "schema": { "type": "string" },
    });
    headers["RetryAfter"] = json!({
        "description": "Seconds until a token from this address is looked at.", "required": true,
        "schema": { "type": "integer" },
    });
    for route in routes {
        let method = route.method.as_str().to_ascii_lowercase();
        operation(&mut document["paths"][route.path][&method], route, true);
        if method == "get" {
            operation(&mut document["paths"][route.path]["head"], route, false);
        }
    }
}

fn operation(operation: &mut Value, route: &Route, with_body: bool) {
    let Audience::Role(role) = route.audience else {
        operation["security"] = json!([]);
        return;
    };
    let role = role.as_str();
    operation["security"] = json!([{}, { "Bearer": [role] }, { "Basic": [role] }]);
    let needs = format!("Needs the role {role}, which without a token the machine itself has.");
    append(&mut operation["description"], &needs);
    let refusals = [
        (
            "401",
            "A token is needed, and none came, or a wrong one.",
            Some(("WWW-Authenticate", "Challenge")),
        ),
        ("403", "The token's role is too small, or a page of another origin asks.", None),
        ("404", "There is no token, and it isn't the machine itself that asks.", None),
        (
            "429",
            "Too many wrong tokens came from this address.",
            Some(("Retry-After", "RetryAfter")),
        ),
    ];
    if with_body && is_of_go(route.path) {
        for status in ["413", "421"] {
            operation["responses"][status]["content"] = text_body();
        }
    }
    for (status, meaning, header) in refusals {
        let response = &mut operation["responses"][status];
        append(&mut response["description"], meaning);
        response["headers"]["X-Request-ID"] = json!({ "$ref": "#/components/headers/RequestId" });
        if let Some((name, component)) = header {
            response["headers"][name] =
                json!({ "$ref": format!("#/components/headers/{component}") });
        }
        if with_body {
            response["content"] = if is_of_go(route.path) { text_body() } else { problem_body() };
        }
    }
}

/// Puts a sentence behind what stands there.
fn append(text: &mut Value, sentence: &str) {
    *text = match text.as_str() {
        Some(before) => json!(format!("{before} {sentence}")),
        None => json!(sentence),
    };
}
