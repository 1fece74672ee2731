//! Headers: those of a request that its route doesn't take, and those that every answer has.

use super::{described::at, *};
use axum::http::Method;

/// What a route answers to a request with this header.
async fn asked(route: &routes::Route, beside: &str) -> String {
    let (method, path) = (&route.method, at(&route.path));
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{beside}\r\n");
    served(state(), async |at| send(at, head.as_bytes()).await).await
}

/// A request that is sent again because of its key would be done again where that is passed over.
#[tokio::test]
async fn a_key_is_refused_by_every_change_that_is_not_known_again_by_it() {
    let [mut takes, mut refused] = [Vec::new(), Vec::new()];
    let changing = routes::routes().iter().filter(|route| route.method != Method::GET);
    for route in changing.filter(|route| !route.path.contains("{token}")) {
        let answer = asked(route, "Idempotency-Key: a-key\r\n").await;
        let is_refused = answer.contains("leave it out");
        assert_eq!(is_refused, !route.has_keys(), "{}: {answer}", route.path);
        assert!(!is_refused || status(&answer) == 400, "{answer}");
        let to = if is_refused { &mut refused } else { &mut takes };
        to.push(format!("{} {}", route.method, route.path));
    }
    assert!(refused.len() > 20, "{refused:?}");
    let call = routes::routes().iter().find(|route| route.path.contains("{token}")).expect("calls");
    let told = asked(call, "Idempotency-Key: a-key\r\n").await;
    assert!(!told.contains("leave it out"), "who calls back may send what it always sends: {told}");
    let said = problem::Problem::KeyNotTaken.detail();
    assert!(said.contains(&format!("by {} alone", takes.join(" and "))), "{said}: {takes:?}");
}

/// What a browser shows of an answer is what it is said to be, and nobody between keeps it: neither a list of jobs, nor
/// that there is none.
#[tokio::test]
async fn every_answer_is_for_who_asked_and_of_the_type_that_it_says() {
    let of = |path: &str, answer: &str| {
        assert_eq!(header(answer, "x-content-type-options"), Some("nosniff"), "{path}: {answer}");
        let kept = if path == "/openapi.json" { "no-cache" } else { "no-store" };
        assert_eq!(header(answer, "cache-control"), Some(kept), "{path}: {answer}");
    };
    // A stream has no end.
    let all = routes::routes().iter().filter(|route| route.path != "/api/v1/events");
    for route in all {
        of(&route.path, &asked(route, "").await);
        let foreign = asked(route, "Host: evil.example.com\r\n").await;
        of("a problem", &foreign);
    }
    for path in ["/nothing", "/debug/pprof/mutex", "/api/v1/events?type=x"] {
        of(path, &served(state(), async |at| get(at, path, "").await).await);
    }
    let known = served(state(), async |at| get(at, "/openapi.json", "If-None-Match: *\r\n").await);
    let known = known.await;
    assert_eq!(status(&known), 304);
    of("/openapi.json", &known);
}
