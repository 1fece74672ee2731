//! What the routes of `/debug` refuse of a query, with what they take, and what Go's tools send and have to be answered.

use super::*;
use rstest::rstest;

async fn asked(method: &str, path: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    served(state(), async |at| send(at, head.as_bytes()).await).await
}

/// One that is misspelt and passed over would give something else than what was asked for.
#[tokio::test]
async fn every_route_of_debug_refuses_a_parameter_that_it_does_not_have() {
    // Which leads to another path, with what is asked.
    let moved = "/debug/pprof";
    let of_debug = routes::routes().iter().filter(|route| route.path.starts_with("/debug/"));
    let of_debug = of_debug.filter(|route| route.path != moved);
    let mut refused = 0;
    for route in of_debug {
        let path = format!("{}?secnods=5", route.path);
        let answer = asked(route.method.as_str(), &path).await;
        assert_eq!(status(&answer), 400, "{path}: {answer}");
        let takes = ["; there are ", "; this path takes none", "list them as 0x1+0x2"];
        assert!(takes.iter().any(|takes| body(&answer).contains(takes)), "{path}: {answer}");
        refused += 1;
    }
    assert!(refused > 12, "{refused} routes");
}

/// Bytes that are no text have no name that could be looked for.
#[tokio::test]
async fn a_path_that_is_no_text_is_a_problem_like_any_other() {
    let of_names = routes::routes().iter().filter(|route| {
        route.path.starts_with("/api/v1/")
            && route.path.contains('{')
            && !route.path.contains("token")
    });
    let mut refused = 0;
    for route in of_names {
        let (before, rest) = route.path.split_once('{').expect("a name");
        let path = format!("{before}%ff{}", rest.split_once('}').expect("its end").1);
        let answer = asked(route.method.as_str(), &path).await;
        assert_eq!(status(&answer), 400, "{path}: {answer}");
        assert_eq!(header(&answer, "content-type"), Some("application/problem+json"), "{path}");
        let told = body(&answer).contains(":invalid-parameter")
            && body(&answer).contains("\"parameter\":");
        assert!(told, "{path}: {answer}");
        refused += 1;
    }
    assert!(refused > 15, "{refused} routes");
}

/// The same of a value: made a text of, it would be another one, which nothing has.
#[tokio::test]
async fn a_value_that_is_no_text_is_refused_of_every_parameter() {
    let document = crate::admin::openapi::document(routes::routes());
    let parts = |path: &str| path.split(['{', '}']).map(str::to_owned).collect::<Vec<_>>();
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        // What stands between braces is a name.
        let named = parts(path)
            .iter()
            .enumerate()
            .fold(String::new(), |path, (at, part)| path + if at % 2 == 0 { part } else { "1" });
        // A probe is answered, whatever it asks with.
        if !["/api/v1/", "/debug/"].iter().any(|of| path.starts_with(of)) {
            continue;
        }
        let methods = methods.as_object().expect("methods").iter();
        // The answer to HEAD has no body to look at.
        for (method, operation) in methods.filter(|(method, _)| *method != "head") {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
                let name = match parameter["name"].as_str().expect("a name") {
                    "payload" => "payload.to",
                    name => name,
                };
                let path = format!("{named}?{name}=a%ff");
                let answer = asked(&method.to_uppercase(), &path).await;
                assert_eq!(status(&answer), 400, "{path}: {answer}");
                let said = format!("{name}: with its escapes undone it isn't UTF-8");
                assert!(body(&answer).contains(&said), "{path}: {answer}");
                // Go's tools are answered in plain text.
                let is_problem = body(&answer).contains(":invalid-parameter\"")
                    && body(&answer).contains(&format!("\"parameter\":\"{name}\""));
                assert!(is_problem || path.starts_with("/debug/pprof/"), "{path}: {answer}");
                refused += 1;
            }
        }
    }
    assert!(refused > 25, "{refused} parameters");
}

#[rstest]
#[case::of_a_name("/api/v1/jobs?payload.%ff=x", "payload.\u{fffd}: with its")]
#[case::cut_off("/api/v1/jobs?tag=%c3", "tag: with its")]
#[case::beside_a_text("/api/v1/jobs?kind=k&tag=%e4+%F6", "tag: with its")]
#[tokio::test]
async fn a_query_that_is_no_text_is_refused(#[case] path: &str, #[case] said: &str) {
    let answer = asked("GET", path).await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(body(&answer).contains(said), "{answer}");
}

#[tokio::test]
async fn a_heap_profile_may_be_asked_for_as_of_gos_programs() {
    for path in ["/debug/pprof/heap", "/debug/pprof/allocs"] {
        let [plain, collected] =
            [asked("GET", path).await, asked("GET", &format!("{path}?gc=1")).await];
        assert_eq!(status(&collected), status(&plain), "{path}");
    }
}

#[rstest]
#[case::a_third_form("/debug/pprof/goroutine?debug=3", "debug: it has to be 0, 1 or 2")]
#[case::no_form("/debug/pprof/goroutine?debug=x", "debug: it has to be 0, 1 or 2")]
#[case::none_of_it("/debug/pprof/goroutine?debug=", "debug: it has to be 0, 1 or 2")]
#[case::no_address("/debug/pprof/symbol?0x1+main", "\"main\" isn't an address")]
#[case::another_form("/debug/tasks?format=xml", "format: it has to be json or text")]
#[tokio::test]
async fn a_value_that_cannot_be_meant_is_refused(#[case] path: &str, #[case] said: &str) {
    let answer = asked("GET", path).await;
    assert_eq!(status(&answer), 400, "{answer}");
    assert!(body(&answer).replace("\\\"", "\"").contains(said), "{answer}");
}

/// As `adjustURL` and `symbolz` of Go's pprof have it: a file is asked for with what its user typed and `seconds` at most,
/// names without a query. What lasts is asked by tests/it/profiling.rs and heap.rs.
#[rstest]
#[case::tasks("GET", "/debug/pprof/goroutine")]
#[case::tasks_of_a_query_that_is_empty("GET", "/debug/pprof/goroutine?")]
#[case::tasks_as_text("GET", "/debug/pprof/goroutine?debug=2")]
#[case::the_program("GET", "/debug/pprof/cmdline")]
#[case::whether_there_are_names("GET", "/debug/pprof/symbol")]
#[case::names("GET", "/debug/pprof/symbol?0x1+0x2")]
#[case::names_of_a_list_with_an_end("GET", "/debug/pprof/symbol?0x1+")]
#[case::names_of_a_body("POST", "/debug/pprof/symbol")]
#[case::the_page("GET", "/debug/pprof/")]
#[tokio::test]
async fn what_gos_tools_ask_is_answered(#[case] method: &str, #[case] path: &str) {
    let answer = asked(method, path).await;
    assert_eq!(status(&answer), 200, "{answer}");
}
