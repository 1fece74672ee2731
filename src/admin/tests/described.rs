//! The document of the port against the port: the same routes, and answers as they stand there.

use super::asked::{VIEWER, tokens};
use super::*;
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::Method,
};
use serde_json::Value;
use std::collections::BTreeSet;
use tower::ServiceExt;

/// What was asked, and what came.
struct Exchange {
    path: &'static str,
    method: Method,
    response: axum::response::Response,
}

async fn ask(
    state: &AdminState,
    (method, path): (Method, &'static str),
    headers: &[(&str, &str)],
    peer: [u8; 4],
) -> Exchange {
    let mut request = Request::builder().method(method.clone()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 4000))));
    let response = routes::router(state.clone()).oneshot(request).await.unwrap();
    Exchange { path, method, response }
}

/// Follows a `$ref`.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a reference leads somewhere"),
        None => value,
    }
}

/// Why a value isn't what a schema describes, as far as this document's schemas go.
fn wrong(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(document, schema);
    let is = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some(other) => panic!("{other} isn't understood here"),
        None => true,
    };
    let allowed = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !is || !allowed || schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{value} isn't {schema}"));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    if let Some(name) = required.filter_map(Value::as_str).find(|name| value.get(name).is_none()) {
        return Some(format!("{value} lacks {name}"));
    }
    let mut items = value.as_array().into_iter().flatten();
    if let Some(reason) = items.find_map(|item| wrong(document, &schema["items"], item)) {
        return Some(reason);
    }
    let fields = value.as_object().into_iter().flatten();
    fields.into_iter().find_map(|(name, field)| {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(known), _) => wrong(document, known, field),
            (None, Some(Value::Bool(false))) => Some(format!("{name} isn't described")),
            (None, Some(any)) => wrong(document, any, field),
            (None, None) => None,
        }
    })
}

/// Holds an answer to the document, and gives what it used of it.
async fn held(document: &Value, exchange: Exchange) -> String {
    let Exchange { path, method, response } = exchange;
    let (operation, status) = (method.as_str().to_lowercase(), response.status().as_u16());
    let path = path.split('?').next().unwrap();
    let described = &document["paths"][path][&operation]["responses"][status.to_string()];
    assert!(described.is_object(), "{method} {path} answered {status}, which isn't described");
    for (name, header) in described["headers"].as_object().unwrap() {
        let there = response.headers().contains_key(name);
        assert!(there || resolved(document, header)["required"] != true, "{path} lacks {name}");
    }
    let kind = response.headers()[axum::http::header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let kind = kind.split(';').next().unwrap().to_owned();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    if method == Method::HEAD {
        assert!(body.is_empty() && described.get("content").is_none());
        return format!("{operation} {path} {status}");
    }
    let schema = &described["content"][&kind]["schema"];
    assert!(schema.is_object(), "{path} answered {kind}, which isn't described");
    let value = match &*kind {
        "application/octet-stream" => Value::String(String::from_utf8_lossy(&body).into_owned()),
        "text/plain" => Value::String(String::from_utf8(body.to_vec()).unwrap()),
        _ => serde_json::from_slice(&body).unwrap(),
    };
    assert_eq!(wrong(document, schema, &value), None, "{path}");
    format!("{operation} {path} {status} {kind}")
}

/// Everything that the document promises, as [`held`] names it.
fn promised(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (operation, described) in operations.as_object().unwrap() {
            for (status, response) in described["responses"].as_object().unwrap() {
                match response["content"].as_object() {
                    Some(kinds) => {
                        all.extend(
                            kinds.keys().map(|kind| format!("{operation} {path} {status} {kind}")),
                        );
                    }
                    None => _ = all.insert(format!("{operation} {path} {status}")),
                }
            }
        }
    }
    all
}

#[test]
fn the_document_has_the_routes_that_exist_and_no_other() {
    let document = openapi::document();
    let described: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let routes: BTreeSet<_> =
        routes::routes().into_iter().map(|route| route.path.to_owned()).collect();
    assert_eq!(described, routes);
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_answer_is_described_and_every_description_is_an_answer() {
    const HERE: [u8; 4] = [127, 0, 0, 1];
    const ELSEWHERE: [u8; 4] = [192, 0, 2, 7];
    let (well, json, large) =
        (state(), [("accept", "application/json")], [("content-length", "70000")]);
    let text = [("accept", "text/plain")];
    let rebound = [("host", "evil.example.com")];
    let (right, guess) = ([("authorization", VIEWER)], [("authorization", "Bearer wrong")]);
    well.health.enter(Phase::Ready);
    well.health.warn("configuration", Some("it wasn't reloaded".into()));
    let ill = AdminState { health: Health::new(Duration::ZERO), ..state() };
    let [guarded, guessed] = [(); 2].map(|()| AdminState { access: tokens(), ..state() });
    for token in ["1", "2", "3", "4", "5", "6"] {
        let token = format!("Bearer {token}");
        let wrong = [("authorization", &*token)];
        ask(&guessed, (Method::GET, "/version"), &wrong, HERE).await;
    }
    let foreign = [("origin", "https://evil.example.com")];
    let document = served(well.clone(), async |at| get(at, "/openapi.json", "").await).await;
    assert_eq!(header(&document, "content-type"), Some("application/json"));
    let document: Value = serde_json::from_str(body(&document)).unwrap();

    let mut seen = BTreeSet::new();
    let as_text = "/debug/pprof/goroutine?debug=1";
    for path in routes::routes().into_iter().map(|route| route.path).chain([as_text]) {
        for method in [Method::GET, Method::HEAD] {
            for state in [&well, &ill] {
                for (headers, peer) in [
                    (&[][..], HERE),
                    (&json[..], HERE),
                    (&text[..], HERE),
                    (&large[..], HERE),
                    (&rebound[..], HERE),
                    (&[][..], ELSEWHERE),
                    (&foreign[..], HERE),
                ] {
                    let exchange = ask(state, (method.clone(), path), headers, peer).await;
                    seen.insert(held(&document, exchange).await);
                }
            }
            for state in [&guarded, &guessed] {
                for headers in [&[][..], &right[..], &guess[..]] {
                    let exchange = ask(state, (method.clone(), path), headers, ELSEWHERE).await;
                    seen.insert(held(&document, exchange).await);
                    let exchange = ask(state, (method.clone(), path), headers, HERE).await;
                    seen.insert(held(&document, exchange).await);
                }
            }
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let refused = ask(&well, (method, path), &[], HERE).await.response;
            assert_eq!(refused.status(), 405, "{path} has methods that aren't described");
            if refused.headers().contains_key("x-go-pprof") {
                assert!(path.starts_with("/debug/pprof/"), "{path} answers as Go does");
                continue;
            }
            assert_eq!(refused.headers()["content-type"], "application/problem+json");
            let refused = to_bytes(refused.into_body(), 4096).await.unwrap();
            let problem: Value = serde_json::from_slice(&refused).unwrap();
            assert_eq!(
                wrong(&document, &document["components"]["schemas"]["Problem"], &problem),
                None
            );
        }
    }
    assert_eq!(seen, promised(&document));
}
