//! Who may ask what: every route of the table, with and without tokens, from here and from elsewhere; and
//! what becomes of those who may not.

use super::{
    described::{allowed, at},
    *,
};
use crate::config::AdminToken;
use access::{Audience, Role};
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, Method},
    routing::{get, post},
};
use routes::{Route, router, router_of};
use serde_json::Value;
use tower::ServiceExt;

const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.7";
const ADMIN: &str = "Bearer a-token-of-32-bytes-for-everything";
const OPERATOR: &str = "bearer a-token-of-32-bytes-to-steer-jobs";
/// `x:a-token-of-32-bytes-to-look-at-it`, as `go tool pprof` sends it.
pub(super) const VIEWER: &str = "Basic eDphLXRva2VuLW9mLTMyLWJ5dGVzLXRvLWxvb2stYXQtaXQ=";

/// One of each role.
pub(super) fn tokens() -> Access {
    let token = |text| vec![AdminToken::parse(text).unwrap()];
    knowing(AdminTokens {
        admin: token("a-token-of-32-bytes-for-everything"),
        operator: token("a-token-of-32-bytes-to-steer-jobs"),
        viewer: token("a-token-of-32-bytes-to-look-at-it"),
    })
}

struct Asked {
    method: Method,
    path: String,
    peer: &'static str,
    headers: Vec<(&'static str, String)>,
}

/// What came back.
struct Answer {
    code: u16,
    headers: HeaderMap,
    body: String,
}

fn from(peer: &'static str, method: Method, path: impl Into<String>) -> Asked {
    Asked { method, path: path.into(), peer, headers: Vec::new() }
}

impl Asked {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    async fn of(self, router: &axum::Router) -> Answer {
        let request = Request::builder().method(self.method).uri(at(&self.path));
        let request =
            self.headers.iter().fold(request, |it, (name, value)| it.header(*name, value));
        let mut request = request.body(Body::empty()).unwrap();
        let peer = SocketAddr::new(self.peer.parse().unwrap(), 4000);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// Who isn't let in, or isn't told that there is anything.
fn is_refused(answer: &Answer) -> bool {
    matches!(answer.code, 401 | 403 | 404 | 421 | 429)
}

/// Those that ask for something else than the token of an attempt.
fn by_role() -> impl Iterator<Item = &'static Route> {
    routes::routes().iter().filter(|route| route.audience != Audience::Caller)
}

/// From anywhere, by any name, through a proxy, whatever tokens there are.
#[tokio::test]
async fn who_calls_back_needs_the_token_of_an_attempt_and_nothing_else() {
    for access in [state().access, tokens()] {
        let state = AdminState { access, ..state() };
        let port = router(state.clone());
        let path = allowed(&state, "/api/v1/callbacks/{token}");
        for peer in [HERE, ELSEWHERE] {
            let call = from(peer, Method::POST, &path).with("Via", "1.1 proxy");
            let answer = call.with("Host", "callbacks.example.org").of(&port).await;
            assert_eq!(answer.code, 415, "it comes as far as its body: {}", answer.body);
            assert_eq!(from(peer, Method::GET, &path).of(&port).await.code, 405);
            for method in [Method::POST, Method::GET, Method::TRACE] {
                let forged = from(peer, method, "/api/v1/callbacks/AAAA").of(&port).await;
                assert_eq!(forged.code, 421, "{}", forged.body);
                assert!(!forged.headers.contains_key("allow"));
            }
        }
    }
}

/// As a browser follows a link of another page, or has it followed by that page.
#[tokio::test]
async fn a_link_from_elsewhere_leads_to_what_is_looked_up_and_not_to_what_is_measured() {
    let port = router(state());
    let mut measuring = Vec::new();
    for Route { path, .. } in by_role().filter(|route| route.method == Method::GET) {
        // A stream has no end.
        let path = if path == "/api/v1/events" { "/api/v1/events?type=x" } else { path };
        let link = from(HERE, Method::GET, path).with("Sec-Fetch-Site", "cross-site");
        let link = link.with("Sec-Fetch-Mode", "navigate").with("Sec-Fetch-Dest", "document");
        if link.of(&port).await.code == 403 {
            measuring.push(path);
        }
    }
    let of_pprof = ["profile", "heap", "allocs", "trace"].map(|it| format!("/debug/pprof/{it}"));
    let all = of_pprof.iter().map(|it| &**it).chain(["/debug/trace", "/debug/bundle"]);
    assert_eq!(measuring, all.collect::<Vec<_>>());
}

#[test]
fn health_and_metrics_are_for_everybody_and_nothing_else_is() {
    let open = routes::routes().iter().filter(|route| route.audience == Audience::Everybody);
    let open: Vec<_> = open.map(|route| (route.method.clone(), &*route.path)).collect();
    assert_eq!(open, routes::QUIET.map(|path| (Method::GET, path)));
}

#[tokio::test]
async fn without_a_token_the_machine_itself_may_ask_everything_and_others_health_and_metrics() {
    let port = router(state());
    for Route { method, path, audience, .. } in by_role() {
        for here in [HERE, "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            let answer = from(here, method.clone(), path).of(&port).await;
            assert!(!is_refused(&answer), "{path} from {here}: {}", answer.code);
            for proxy in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
                let handed_on = from(here, method.clone(), path).with(proxy, "192.0.2.7");
                let answer = handed_on.of(&port).await;
                assert_eq!(answer.code == 404, *audience != Audience::Everybody, "{path} {proxy}");
            }
        }
        for there in [ELSEWHERE, "2001:db8::7", "::ffff:192.0.2.7"] {
            let answer = from(there, method.clone(), path).with("Authorization", ADMIN);
            let answer = answer.of(&port).await;
            let open = *audience == Audience::Everybody;
            assert_eq!(answer.code == 404, !open, "{path} from {there}: {}", answer.code);
        }
    }
}

#[tokio::test]
async fn with_a_token_everybody_needs_one_for_everything_but_health_and_metrics() {
    let port = router(AdminState { access: tokens(), ..state() });
    for Route { method, path, audience, .. } in by_role() {
        for peer in [HERE, ELSEWHERE] {
            let without = from(peer, method.clone(), path).of(&port).await;
            let open = *audience == Audience::Everybody;
            assert_eq!(without.code == 401, !open, "{path} from {peer}: {}", without.code);
            let with = from(peer, method.clone(), path).with("Authorization", ADMIN);
            assert!(!is_refused(&with.of(&port).await), "{path} from {peer}");
        }
    }
}

/// A method that isn't taken would say that the path is there.
#[tokio::test]
async fn nothing_tells_who_may_ask_nothing_which_paths_there_are() {
    for (access, code) in [(state().access, 404), (tokens(), 401)] {
        let port = router(AdminState { access, ..state() });
        for Route { path, audience, .. } in by_role() {
            let answer = from(ELSEWHERE, Method::TRACE, path).of(&port).await;
            let open = *audience == Audience::Everybody;
            assert_eq!(answer.code, if open { 405 } else { code }, "{path}");
            assert_eq!(answer.headers.contains_key("allow"), open, "{path}");
        }
        for path in ["/nothing", "/debug/pprof/nothing", "/api/v1/../../etc/passwd"] {
            assert_eq!(from(ELSEWHERE, Method::GET, path).of(&port).await.code, code, "{path}");
        }
    }
    let port = router(state());
    for Route { path, .. } in by_role() {
        assert_eq!(from(HERE, Method::TRACE, path).of(&port).await.code, 405, "{path}");
    }
}

/// A port with a route for each role, all of which answer with the role that asks.
fn of_roles(state: AdminState) -> axum::Router {
    let told = async |role: axum::Extension<Role>| role.as_str();
    let routes = [
        Route::new((Method::GET, "/view"), Role::Viewer, get(told)),
        Route::new((Method::GET, "/steer"), Role::Viewer, get(told)),
        Route::new((Method::POST, "/steer"), Role::Operator, post(told)),
        Route::new((Method::POST, "/end"), Role::Admin, post(told)),
        Route::new((Method::GET, "/debug/pprof/heap"), Role::Admin, get(told)),
    ];
    router_of(&routes, state)
}

#[tokio::test]
async fn each_role_may_what_those_below_it_may_and_no_more() {
    let port = of_roles(AdminState { access: tokens(), ..state() });
    for (method, path, [viewer, operator, admin]) in [
        (Method::GET, "/view", [200, 200, 200]),
        (Method::HEAD, "/view", [200, 200, 200]),
        (Method::GET, "/steer", [200, 200, 200]),
        (Method::POST, "/steer", [403, 200, 200]),
        (Method::POST, "/end", [403, 403, 200]),
        (Method::GET, "/debug/pprof/heap", [403, 403, 200]),
        // What a path doesn't take is told to whoever may ask it anything.
        (Method::DELETE, "/steer", [405, 405, 405]),
        (Method::GET, "/end", [403, 403, 405]),
    ] {
        for (token, name, code) in
            [(VIEWER, "viewer", viewer), (OPERATOR, "operator", operator), (ADMIN, "admin", admin)]
        {
            let asked = from(ELSEWHERE, method.clone(), path).with("Authorization", token);
            let answer = asked.of(&port).await;
            assert_eq!(answer.code, code, "{method} {path} as {name}: {}", answer.body);
            let is_told = code == 200 && method != Method::HEAD;
            assert!(!is_told || answer.body == name, "{}", answer.body);
        }
    }
    let asked = from(HERE, Method::POST, "/end").with("Authorization", OPERATOR);
    let answer = asked.of(&port).await;
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["detail"], "this needs the role admin, the token's is operator");
}

#[tokio::test]
async fn who_has_no_token_or_a_wrong_one_is_told_how_one_is_sent() {
    let port = router(AdminState { access: tokens(), ..state() });
    let wrong = "Bearer a-token-of-32-bytes-for-everythinG";
    for token in
        [None, Some(wrong), Some("Bearer a-token-of-32-bytes-for-everything-"), Some("Basic eA==")]
    {
        let asked = from(HERE, Method::GET, "/version");
        let asked = match token {
            None => asked,
            Some(token) => asked.with("Authorization", token),
        };
        let answer = asked.of(&port).await;
        assert_eq!(answer.code, 401, "{token:?}");
        let challenges = answer.headers.get_all("www-authenticate").iter();
        let challenges: Vec<_> = challenges.map(|value| value.to_str().unwrap()).collect();
        let expected = [r#"Bearer realm="legwork""#, r#"Basic realm="legwork", charset="UTF-8""#];
        assert_eq!(challenges, expected);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

/// What is wrong with a token of a program that hasn't got the new one.
#[tokio::test]
async fn whoever_guesses_waits_and_nobody_else_does() {
    let port = router(AdminState { access: tokens(), ..state() });
    let version = |peer| from(peer, Method::GET, "/version");
    for number in 0..6 {
        let guess = version(ELSEWHERE).with("Authorization", format!("Bearer {number}"));
        assert_eq!(guess.of(&port).await.code, 401);
    }
    // Also the right one, or guessing would cost nothing.
    for token in [ADMIN, "Bearer 6"] {
        let answer = version(ELSEWHERE).with("Authorization", token).of(&port).await;
        assert_eq!((answer.code, answer.headers["retry-after"].to_str().unwrap()), (429, "1"));
    }
    for other in [HERE, "192.0.2.8", "2001:db8::7"] {
        let answer = version(other).with("Authorization", ADMIN).of(&port).await;
        assert_eq!(answer.code, 200, "{other}");
    }
    assert_eq!(version(ELSEWHERE).of(&port).await.code, 401, "no token is no guess");
    let probe = from(ELSEWHERE, Method::GET, "/health/live").with("Authorization", "Bearer 7");
    assert_eq!(probe.of(&port).await.code, 200, "health looks at no token");
}

/// The clock jumps over what is waited for.
#[tokio::test(start_paused = true)]
async fn the_right_token_is_taken_again_when_the_time_is_over() {
    let port = router(AdminState { access: tokens(), ..state() });
    let ask = async |token: &str| {
        from(ELSEWHERE, Method::GET, "/version").with("Authorization", token).of(&port).await.code
    };
    for number in 0..6 {
        assert_eq!(ask(&format!("Bearer {number}")).await, 401);
    }
    assert_eq!(ask(ADMIN).await, 429);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(ADMIN).await, 200);
}

#[tokio::test]
async fn who_is_refused_is_counted_by_the_reason() {
    let metrics = state().metrics;
    let with = |access| AdminState { access, metrics: Arc::clone(&metrics), ..state() };
    let (open, guarded) = (of_roles(with(state().access)), of_roles(with(tokens())));
    from(ELSEWHERE, Method::GET, "/view").of(&open).await;
    from(HERE, Method::POST, "/end").with("Origin", "http://evil.example.com").of(&open).await;
    from(HERE, Method::GET, "/view").of(&guarded).await;
    from(HERE, Method::POST, "/end").with("Authorization", VIEWER).of(&guarded).await;
    for number in 0..7 {
        let guess = from(HERE, Method::GET, "/view");
        guess.with("Authorization", format!("Bearer {number}")).of(&guarded).await;
    }
    let page = metrics.render();
    for (reason, count) in [
        ("elsewhere", 1),
        ("foreign_page", 1),
        ("no_token", 1),
        ("role", 1),
        ("wrong_token", 6),
        ("too_many_guesses", 1),
    ] {
        let line = format!("legwork_admin_refused_total{{reason=\"{reason}\"}} {count}\n");
        assert!(page.contains(&line), "{line}{page}");
    }
}

/// From a browser on the machine itself, which without a token may do everything.
#[tokio::test]
async fn a_page_of_another_origin_changes_nothing_and_starts_nothing() {
    let port = of_roles(state());
    for (method, path) in
        [(Method::POST, "/end"), (Method::POST, "/steer"), (Method::GET, "/debug/pprof/heap")]
    {
        for (name, value) in [
            ("Origin", "https://evil.example.com"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
        ] {
            let asked = from(HERE, method.clone(), path).with("Host", "localhost:9464");
            let answer = asked.with(name, value).of(&port).await;
            assert_eq!(answer.code, 403, "{method} {path} {name}: {value}");
            assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")));
        }
        let own = from(HERE, method.clone(), path).with("Host", "localhost:9464");
        let own = own.with("Origin", "http://localhost:9464").with("Sec-Fetch-Site", "same-origin");
        assert_eq!(own.of(&port).await.code, 200, "{method} {path}");
    }
}

#[tokio::test]
async fn what_go_asks_for_is_refused_in_the_form_that_its_tools_show() {
    let port = of_roles(AdminState { access: tokens(), ..state() });
    let heap = |token: &str| {
        from(HERE, Method::GET, "/debug/pprof/heap").with("Authorization", token.to_owned())
    };
    for (token, code, text) in [
        ("Bearer wrong", 401, "the token isn't one of the daemon's\n"),
        (VIEWER, 403, "this needs the role admin, the token's is viewer\n"),
    ] {
        let answer = heap(token).of(&port).await;
        assert_eq!((answer.code, &*answer.body), (code, text));
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers["x-go-pprof"], "1");
        assert_eq!(answer.headers.contains_key("www-authenticate"), code == 401);
        assert!(answer.headers.contains_key("x-request-id"));
    }
    let nothing = "there is nothing at this path\n";
    for path in ["/debug/pprof/nothing", "/debug/pprof/"] {
        let asked = from(HERE, Method::GET, path).with("Authorization", ADMIN);
        let answer = asked.of(&port).await;
        assert_eq!((answer.code, &*answer.body), (404, nothing));
    }
    let other = from(HERE, Method::GET, "/debug/pprofessor").with("Authorization", ADMIN);
    assert_eq!(other.of(&port).await.headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn the_list_of_go_s_profiles_is_found_without_the_slash_by_whoever_may_see_it() {
    let port = routes::router(AdminState { access: tokens(), ..state() });
    for (method, path, place) in [
        (Method::GET, "/debug/pprof", "/debug/pprof/"),
        (Method::HEAD, "/debug/pprof?debug=1", "/debug/pprof/?debug=1"),
    ] {
        let moved = from(HERE, method.clone(), path).with("Authorization", ADMIN);
        let moved = moved.of(&port).await;
        assert_eq!((moved.code, &moved.headers["location"]), (301, &place.parse().unwrap()));
        let stranger = from(HERE, method, path).of(&port).await;
        assert_eq!((stranger.code, stranger.headers.contains_key("location")), (401, false));
    }
    let posted = from(HERE, Method::POST, "/debug/pprof").with("Authorization", ADMIN);
    assert_eq!(posted.of(&port).await.code, 405);
}

/// Whose route forgets to say who may ask it can't be written: this says it for those that are there.
#[test]
fn every_operation_is_described_with_the_role_that_it_needs() {
    let document = openapi::document(routes::routes());
    for Route { method, path, audience, .. } in routes::routes() {
        let method = method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][path][&method];
        let expected = match audience {
            Audience::Everybody | Audience::Caller => serde_json::json!([]),
            Audience::Role(role) => {
                serde_json::json!([{}, { "Bearer": [role.as_str()] }, { "Basic": [role.as_str()] }])
            }
        };
        assert_eq!(operation["security"], expected, "{method} {path}");
        for status in ["401", "403", "404", "429"] {
            let described = !operation["responses"][status].is_null();
            let needs_none = *audience < Audience::Role(Role::Viewer);
            assert!(described || needs_none, "{method} {path} {status}");
        }
    }
}
