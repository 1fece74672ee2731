//! The document of the port against the port: the same routes, and answers as they stand there.

use super::{
    super::{
        places::{Place, Places},
        routes::QUIET,
    },
    asked::{VIEWER, tokens},
    schema::{faults, resolved},
    *,
};
use crate::job::{JobId, Lease};
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
    path: String,
    method: Method,
    response: axum::response::Response,
}

async fn ask(
    state: &AdminState,
    asked: (Method, &str, &str, &'static str),
    headers: &[(&str, &str)],
    peer: [u8; 4],
) -> Exchange {
    ask_by(None, state, asked, headers, peer).await
}

/// By a connection that has this place.
async fn ask_by(
    place: Option<Arc<Place>>,
    state: &AdminState,
    (method, path, query, body): (Method, &str, &str, &'static str),
    headers: &[(&str, &str)],
    peer: [u8; 4],
) -> Exchange {
    let forges = headers.contains(&FORGED);
    let path_of_it = if forges { at(path) } else { allowed(state, path) };
    let at = format!("{path_of_it}{query}").replace("{token}", &fastrand::u64(..).to_string());
    let mut request = Request::builder().method(method.clone()).uri(at);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 4000))));
    if let Some(place) = place {
        request.extensions_mut().insert(place);
    }
    let response = routes::router(state.clone()).oneshot(request).await.unwrap();
    Exchange { path: path.to_owned(), method, response }
}

/// The query by which a path gives text, where it has one.
fn as_text(path: &str) -> &'static str {
    if path.ends_with("/goroutine") { "?debug=1" } else { "" }
}

/// Paths whose answers take as long as they are asked for: tests/it/profiling.rs, execution.rs and bundle.rs ask them.
const PROFILE: &str = "/debug/pprof/profile";
const BUNDLE: &str = "/debug/bundle";
const LASTING: [&str; 4] = [PROFILE, "/debug/pprof/trace", "/debug/trace", BUNDLE];

/// Where jobs are enqueued.
const JOBS: &str = "/api/v1/jobs";
/// Many.
const BATCH: &str = "/api/v1/jobs:batch";
/// From memory.
const EVENTS: &str = "/api/v1/events";

/// A body that says what the path needs.
fn body_of(path: &str) -> &'static str {
    match path {
        JOBS | BATCH => r#"{"kind": "a"}"#,
        "/api/v1/queues/{queue}" => r#"{"concurrency": 2}"#,
        path if path.ends_with("snooze") => r#"{"for": "10m"}"#,
        path if path.ends_with("bulk") => r#"{"action": "cancel", "all": true}"#,
        path if path.ends_with("{token}") => r#"{"action": "heartbeat"}"#,
        _ => "{}",
    }
}

/// What has to be said of that body.
fn plain_head(is_read: bool, path: &str) -> &'static [(&'static str, &'static str)] {
    match path {
        _ if is_read => &[],
        BATCH => &[("content-type", "application/x-ndjson")],
        _ => &[("content-type", "application/json")],
    }
}

/// A path with something in the place of its parameters.
pub(super) fn at(path: &str) -> String {
    let path = path.replace("{id}", "4711").replace("{queue}", "default");
    let path = path.replace("{name}", "nightly");
    // One that is asked for as it stands takes up to thirty seconds.
    if LASTING.contains(&&*path) { path + "?seconds=0" } else { path }
}

/// The same, with a token that is one where the path has to have it.
pub(super) fn allowed(state: &AdminState, path: &str) -> String {
    let lease = Lease { job: JobId(4711), token: 1, holder: 1 };
    at(path).replace("{token}", &state.callbacks.token(lease))
}

/// Comes with a token that is none, in the header and in the path.
const FORGED: (&str, &str) = ("authorization", "Bearer wrong");

/// Holds an answer to the document, and gives what it used of it.
async fn held(document: &Value, exchange: Exchange) -> String {
    let Exchange { path, method, response } = exchange;
    let (operation, status) = (method.as_str().to_lowercase(), response.status().as_u16());
    let described = &document["paths"][&path][&operation]["responses"][status.to_string()];
    assert!(described.is_object(), "{method} {path} answered {status}, which isn't described");
    for (name, header) in described["headers"].as_object().unwrap() {
        let there = response.headers().contains_key(name);
        assert!(there || resolved(document, header)["required"] != true, "{path} lacks {name}");
    }
    if matches!(status, 301 | 304) {
        assert!(described.get("content").is_none());
        return format!("{operation} {path} {status}");
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
        "text/plain"
        | "text/html"
        | "image/svg+xml"
        | "application/openmetrics-text"
        | "text/event-stream" => Value::String(String::from_utf8(body.to_vec()).unwrap()),
        "application/octet-stream" => Value::String(String::from_utf8_lossy(&body).into_owned()),
        _ => serde_json::from_slice(&body).unwrap(),
    };
    assert_eq!(faults(document, schema, &value), Vec::<String>::new(), "{path}");
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

/// What has heap profiles, where the program's allocator has: tests/it/heap.rs asks it.
const OF_THE_HEAP: [&str; 2] = ["/debug/pprof/heap", "/debug/pprof/allocs"];

/// What only a database gives, a profile, jemalloc, and whoever takes a trace as well.
fn needs_more(promise: &str) -> bool {
    let mut words = promise.split(' ').skip(1);
    let (path, status) = (words.next().unwrap(), words.next().unwrap());
    let of_the_database = path.starts_with("/api/")
        && path != EVENTS
        && matches!(status, "200" | "201" | "202" | "304" | "409" | "412" | "500");
    let of_the_heap = OF_THE_HEAP.iter().any(|start| path.starts_with(start))
        && matches!(status, "200" | "409" | "412" | "500");
    // An attempt that is silent (src/executor/callback/tests.rs).
    let of_an_attempt = path.starts_with("/api/v1/callbacks/") && status == "503";
    let of_a_trace = path.ends_with("/trace") && matches!(status, "200" | "409");
    // Whoever takes their time is in tests/it/api/abused.rs and batch.rs.
    let of_the_slow = status == "408";
    of_the_database
        || of_the_slow
        || of_the_heap
        || of_a_trace
        || of_an_attempt
        || path == BUNDLE && matches!(status, "200" | "409" | "500")
        || path == PROFILE && matches!(status, "200" | "409" | "500" | "501")
}

/// Sends so many wrong tokens that whoever sends another is told to wait.
async fn guess_often(state: &AdminState, peer: [u8; 4]) {
    for _ in 0..6 {
        let token = format!("Bearer {:x}", fastrand::u64(..));
        ask(state, (Method::GET, "/version", "", ""), &[("authorization", &*token)], peer).await;
        let called = (Method::POST, "/api/v1/callbacks/{token}", "", "");
        ask(state, called, &[FORGED], peer).await;
    }
}

/// What each route but probes and scrapes says while no request comes in turn.
async fn asked_of_a_crowd(document: &Value, state: &AdminState) -> BTreeSet<String> {
    let place = Places::without_turns().take([127, 0, 0, 1].into());
    let mut seen = BTreeSet::new();
    for route in routes::routes().iter().filter(|route| !QUIET.contains(&&*route.path)) {
        let head = route.takes_head.then_some(Method::HEAD);
        for method in [route.method.clone()].into_iter().chain(head) {
            let asked = (method, &*route.path, "", "{}");
            let exchange =
                ask_by(Some(Arc::clone(&place)), state, asked, &[], [127, 0, 0, 1]).await;
            assert_eq!(exchange.response.headers()["retry-after"], "1", "{}", route.path);
            seen.insert(held(document, exchange).await);
        }
    }
    seen
}

/// Of a read that the client has seen it all, of a change that it has seen something else.
fn condition(is_read: bool) -> &'static [(&'static str, &'static str)] {
    if is_read { &[("if-none-match", "*")] } else { &[("if-match", "\"stale\"")] }
}

/// Without a database the API says that it has none, and what is described of it beyond that is held by a daemon
/// that has one (tests/it/api).
#[tokio::test]
async fn every_answer_is_described_and_every_description_is_an_answer() {
    const HERE: [u8; 4] = [127, 0, 0, 1];
    const ELSEWHERE: [u8; 4] = [192, 0, 2, 7];
    let (well, json, large) =
        (state(), [("accept", "application/json")], [("content-length", "900000000")]);
    let text = [("accept", "text/plain")];
    let keyed = [("idempotency-key", "a-key")];
    let rebound = [("host", "evil.example.com")];
    let open = [("accept", "application/openmetrics-text; version=1.0.0")];
    let foreign = [("origin", "https://evil.example.com")];
    let (right, guess) = ([("authorization", VIEWER)], [FORGED]);
    well.health.enter(Phase::Ready);
    well.health.warn("configuration", Some("it wasn't reloaded".into()));
    let ill = AdminState { health: Health::new(Duration::ZERO), controls: of_a_file(), ..state() };
    let [guarded, guessed] = [(); 2].map(|()| AdminState { access: tokens(), ..state() });
    let document = served(well.clone(), async |at| get(at, "/openapi.json", "").await).await;
    assert_eq!(header(&document, "content-type"), Some("application/json"));
    let document: Value = serde_json::from_str(body(&document)).unwrap();

    // Whoever guessed has to wait until the end of the test, however long that takes.
    tokio::time::pause();
    guess_often(&guessed, HERE).await;
    let mut seen = BTreeSet::new();
    for route in routes::routes() {
        let path = &*route.path;
        let of_a_query = [problem::Problem::UnknownParameter, problem::Problem::InvalidParameter];
        let takes_query = route.problems.iter().any(|problem| of_a_query.contains(problem));
        let misspelt = if takes_query && !LASTING.contains(&path) { "?sate=running" } else { "" };
        let head = route.takes_head.then_some(Method::HEAD);
        let methods: Vec<_> = [route.method.clone()].into_iter().chain(head).collect();
        let body = body_of(path);
        let broken = if path.starts_with(JOBS) { r#"{"kind": "a b"}"# } else { body };
        for method in methods {
            let is_read = method == Method::GET || method == Method::HEAD;
            let plain = plain_head(is_read, path);
            for state in [&well, &ill] {
                for (headers, query, body, peer) in [
                    (plain, "", body, HERE),
                    (&json[..], "", body, HERE),
                    (if is_read { &text[..] } else { plain }, "", body, HERE),
                    (plain, as_text(path), body, HERE),
                    (if is_read { &open[..] } else { plain }, "", body, HERE),
                    (condition(is_read), "", body, HERE),
                    (&keyed[..], "", body, HERE),
                    (&large[..], "", body, HERE),
                    (&rebound[..], "", body, HERE),
                    (plain, misspelt, body, HERE),
                    (plain, "", broken, HERE),
                    (plain, "", if is_read { "" } else { "{\"x\": 1}" }, HERE),
                    (plain, "", body, ELSEWHERE),
                    (&foreign[..], "", body, HERE),
                ] {
                    let asked = (method.clone(), path, query, body);
                    seen.insert(held(&document, ask(state, asked, headers, peer).await).await);
                }
            }
            for state in [&guarded, &guessed] {
                for headers in [&[][..], &right[..], &guess[..]] {
                    for peer in [HERE, ELSEWHERE] {
                        let asked = (method.clone(), path, "", body);
                        seen.insert(held(&document, ask(state, asked, headers, peer).await).await);
                    }
                }
            }
        }
    }
    seen.extend(asked_of_a_crowd(&document, &well).await);
    let promised = promised(&document);
    let untold = &seen - &promised;
    let unseen: Vec<_> =
        promised.difference(&seen).filter(|promise| !needs_more(promise)).collect();
    assert!(unseen.is_empty() && untold.is_empty(), "never seen: {unseen:?}; not told: {untold:?}");
}

/// The parts of a schema that have members by name and take others beside them, each with its place.
fn open_parts(document: &Value, schema: &Value, place: &str) -> Vec<String> {
    let schema = resolved(document, schema);
    let is_open = schema["properties"].is_object() && schema["additionalProperties"] != false;
    let own = is_open.then(|| place.to_owned());
    let members = schema["properties"].as_object().into_iter().flatten();
    let members = members.map(|(name, of)| (format!("{place}.{name}"), of));
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|of| schema[of].as_array());
    let parts = parts.flatten().chain(schema.get("items")).map(|of| (place.to_owned(), of));
    let inner = members.chain(parts).flat_map(|(place, of)| open_parts(document, of, &place));
    own.into_iter().chain(inner).collect()
}

/// As the code refuses a member that it doesn't know: a document that doesn't say so has clients send misspelt ones.
#[test]
fn what_is_asked_in_json_has_no_members_but_those_that_are_described() {
    let document = openapi::document(routes::routes());
    let mut looked_at = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let Some(json) = operation["requestBody"]["content"].get("application/json") else {
                continue;
            };
            assert_eq!(open_parts(&document, &json["schema"], path), Vec::<String>::new());
            looked_at += 1;
        }
    }
    assert!(looked_at > 15, "{looked_at} bodies");
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_problem_and_not_described() {
    let document = openapi::document(routes::routes());
    for (path, operations) in document["paths"].as_object().unwrap() {
        let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
        for method in methods.into_iter().chain([Method::PATCH]) {
            if operations.get(method.as_str().to_lowercase()).is_some() {
                continue;
            }
            let asked = (method.clone(), &**path, "", "");
            let refused = ask(&state(), asked, &[], [127, 0, 0, 1]).await.response;
            assert_eq!(refused.status(), 405, "{path} has methods that aren't described");
            let taken =
                refused.headers()[axum::http::header::ALLOW].to_str().unwrap().to_lowercase();
            let taken: BTreeSet<_> = taken.split(',').collect();
            let described: BTreeSet<_> =
                operations.as_object().unwrap().keys().map(|it| &**it).collect();
            assert_eq!(taken, described, "{method} {path}: Allow");
            if method == Method::HEAD {
                continue;
            }
            if refused.headers().contains_key("x-go-pprof") {
                assert!(problem::is_of_go(path), "{path} answers as Go does");
                continue;
            }
            if problem::is_of_go(path) {
                assert_eq!(refused.headers()["x-go-pprof"], "1");
                continue;
            }
            assert_eq!(refused.headers()["content-type"], "application/problem+json");
            let refused = to_bytes(refused.into_body(), 4096).await.unwrap();
            let problem: Value = serde_json::from_slice(&refused).unwrap();
            let schema = &document["components"]["schemas"]["Problem"];
            assert_eq!(faults(&document, schema, &problem), Vec::<String>::new());
        }
    }
}

/// Who tries a path by HEAD mustn't take a profile by it, or keep the place of whoever takes one.
#[tokio::test]
async fn what_works_for_its_answer_is_not_asked_by_head() {
    let state = state();
    let mut refused = Vec::new();
    for route in routes::routes().iter().filter(|route| route.method == Method::GET) {
        // As it stands, without the parameters that others are spared by.
        let request =
            Request::builder().method(Method::HEAD).uri(at(&route.path).split('?').next().unwrap());
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000))));
        let response = routes::router(state.clone()).oneshot(request).await.unwrap();
        if response.status() == 405 {
            assert_eq!(response.headers()[axum::http::header::ALLOW], "GET", "{}", route.path);
            refused.push(&*route.path);
        }
    }
    let working = [&OF_THE_HEAP[..], &LASTING].concat();
    assert_eq!(BTreeSet::from_iter(refused), BTreeSet::from_iter(working));
}

/// Where people knock first they are told which rooms there are, and each is there.
#[rstest]
#[case::at_the_front("/")]
#[case::of_the_api("/api/v1")]
#[case::with_a_slash("/api/v1/")]
#[case::of_what_is_debugged("/debug/")]
#[tokio::test]
async fn at_a_door_it_is_said_which_rooms_there_are(#[case] path: &str) {
    let answer = served(state(), async |at| get(at, path, "").await).await;
    assert_eq!(status(&answer), 404);
    let problem: Value = serde_json::from_str(body(&answer)).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    let words = detail.split(|c: char| c.is_whitespace() || ",:".contains(c));
    let rooms: Vec<_> = words.filter(|word| word.starts_with('/')).collect();
    assert!(rooms.len() >= 5, "{detail}");
    let document = openapi::document(routes::routes());
    for room in rooms {
        let there =
            document["paths"].get(room).or_else(|| document["paths"].get(room.to_owned() + "/"));
        assert!(there.is_some(), "{room} isn't there");
    }
}
