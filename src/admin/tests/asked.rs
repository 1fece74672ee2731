//! Who may ask what: every route of the table, from here and from elsewhere.

use super::*;
use access::Audience;
use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::Method,
};
use tower::ServiceExt;

const ELSEWHERE: &str = "192.0.2.7";

async fn asked(peer: &str, method: Method, path: &str) -> u16 {
    let request = Request::builder().method(method).uri(path);
    let mut request = request.body(Body::empty()).unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 4000);
    request.extensions_mut().insert(ConnectInfo(peer));
    routes::router(state()).oneshot(request).await.unwrap().status().as_u16()
}

#[test]
fn health_and_metrics_are_for_everybody_and_nothing_else_is() {
    let open = routes::routes().into_iter().filter(|route| route.audience == Audience::Everybody);
    let open: Vec<_> = open.map(|route| (route.method, route.path)).collect();
    assert_eq!(open, routes::QUIET.map(|path| (Method::GET, path.to_owned())));
}

#[tokio::test]
async fn without_a_token_the_machine_itself_may_ask_everything_and_others_health_and_metrics() {
    let is_refused = |code: u16| matches!(code, 401 | 403 | 404 | 421);
    for route in routes::routes() {
        for here in ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"] {
            let code = asked(here, route.method.clone(), &route.path).await;
            assert!(!is_refused(code), "{} from {here}: {code}", route.path);
        }
        for there in [ELSEWHERE, "2001:db8::7", "::ffff:192.0.2.7"] {
            let code = asked(there, route.method.clone(), &route.path).await;
            let open = route.audience == Audience::Everybody;
            assert_eq!(code == 404, !open, "{} from {there}: {code}", route.path);
        }
    }
}

/// A method that isn't taken would say that the path is there.
#[tokio::test]
async fn nothing_tells_others_which_paths_there_are() {
    for route in routes::routes() {
        let code = asked(ELSEWHERE, Method::TRACE, &route.path).await;
        let open = route.audience == Audience::Everybody;
        assert_eq!(code, if open { 405 } else { 404 }, "{}", route.path);
        assert_eq!(asked("127.0.0.1", Method::TRACE, &route.path).await, 405, "{}", route.path);
    }
    assert_eq!(asked(ELSEWHERE, Method::GET, "/nothing").await, 404);
}
