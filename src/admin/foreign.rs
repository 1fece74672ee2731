//! Who asks on another's behalf: a page of another origin, or a proxy.
//!
//! A browser asks what any page tells it to, from the machine that it runs on and with the password that it
//! remembers. It says so itself, in headers that no page can set; programs say nothing. Following a link
//! from elsewhere is allowed, as long as that only reads and measures nothing. Which names a page may be loaded by is `hosts`.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, header, uri::Authority},
};

/// How a request is to be used, and whose page sent it.
const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";
const DESTINATION: &str = "sec-fetch-dest";
/// What proxies add. Whoever sends one himself has less by it.
const HANDED_ON: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What is done for an answer: by that it shows whether a link to it may be followed from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Something is looked up, or changed.
    Small,
    /// Something is measured, for as long as the request says, and nobody else may meanwhile.
    Measure,
}

/// Whether a page of another origin asks for what takes this work.
pub(super) fn is_foreign(request: &Request, work: Work) -> bool {
    let headers = request.headers();
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|it| it == value);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // A page can have a window follow a link that nobody clicked.
    let may_be_followed = reads && work == Work::Small;
    let is_followed = may_be_followed && is(MODE, "navigate") && is(DESTINATION, "document");
    let from_elsewhere =
        headers.contains_key(SITE) && !is(SITE, "same-origin") && !is(SITE, "none");
    let of_another_origin = !headers.get_all(header::ORIGIN).iter().all(|origin| {
        origin
            .to_str()
            .is_ok_and(|origin| authority(origin).is_some_and(|it| is_asked(request, &it)))
    });
    of_another_origin || (from_elsewhere && !is_followed)
}

/// Whether somebody else's request arrives here.
pub(super) fn is_handed_on(headers: &HeaderMap) -> bool {
    HANDED_ON.iter().any(|name| headers.contains_key(*name))
}

/// Host and port of an origin; `null` has none.
fn authority(origin: &str) -> Option<Authority> {
    let (_, authority) = origin.split_once("://")?;
    authority.parse().ok()
}

/// Whether it is what the request asks, by the name that the client used.
fn is_asked(request: &Request, origin: &Authority) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Authority>().ok());
    host.as_ref().or(request.uri().authority()) == Some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use rstest::rstest;

    fn asked(method: &str, headers: &[(&str, &str)], work: Work) -> bool {
        let request = Request::builder().method(method).uri("/x").header("host", "localhost:9464");
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        is_foreign(&request.body(Body::empty()).unwrap(), work)
    }

    const LINK: [(&str, &str); 2] =
        [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

    #[rstest]
    #[case::a_program("POST", &[], false)]
    #[case::own_page("POST", &[("origin", "http://localhost:9464"), (SITE, "same-origin")], false)]
    #[case::own_page_in_upper_case("POST", &[("origin", "http://LOCALHOST:9464")], false)]
    #[case::behind_tls("POST", &[("origin", "https://localhost:9464")], false)]
    #[case::typed("GET", &[(SITE, "none")], false)]
    #[case::a_link("GET", &[(SITE, "cross-site"), LINK[0], LINK[1]], false)]
    #[case::form("POST", &[("origin", "https://evil.example.com")], true)]
    #[case::form_of_a_browser_of_now("POST", &[(SITE, "cross-site"), LINK[0], LINK[1]], true)]
    #[case::another_port("POST", &[("origin", "http://localhost:3000")], true)]
    #[case::another_port_by_site("POST", &[(SITE, "same-site")], true)]
    #[case::another_name("DELETE", &[("origin", "http://127.0.0.1:9464")], true)]
    #[case::sandboxed("POST", &[("origin", "null")], true)]
    #[case::garbage("POST", &[("origin", "http://")], true)]
    #[case::two_origins("POST", &[("origin", "http://localhost:9464"), ("origin", "http://e.x")], true)]
    #[case::only_the_origin_lies("POST", &[("origin", "http://e.x"), (SITE, "same-origin")], true)]
    // What reads may cost much: a profile, a bundle.
    #[case::a_picture("GET", &[(SITE, "cross-site"), ("sec-fetch-mode", "no-cors")], true)]
    #[case::a_frame("GET", &[(SITE, "cross-site"), LINK[0], ("sec-fetch-dest", "iframe")], true)]
    #[case::a_script_that_reads("GET", &[("origin", "https://evil.example.com")], true)]
    fn browsers_say_whose_page_asks(
        #[case] method: &str,
        #[case] headers: &[(&str, &str)],
        #[case] foreign: bool,
    ) {
        assert_eq!(asked(method, headers, Work::Small), foreign, "{method} {headers:?}");
        // What is foreign stays so.
        assert!(!foreign || asked(method, headers, Work::Measure), "{method} {headers:?}");
    }

    #[rstest]
    #[case::a_program(&[], false)]
    #[case::typed(&[(SITE, "none"), LINK[0], LINK[1]], false)]
    #[case::the_list_of_profiles(&[(SITE, "same-origin"), LINK[0], LINK[1]], false)]
    #[case::a_link(&[(SITE, "cross-site"), LINK[0], LINK[1], ("sec-fetch-user", "?1")], true)]
    #[case::a_window_that_is_led_there(&[(SITE, "cross-site"), LINK[0], LINK[1]], true)]
    #[case::another_port(&[(SITE, "same-site"), LINK[0], LINK[1]], true)]
    fn no_link_from_elsewhere_measures(#[case] headers: &[(&str, &str)], #[case] foreign: bool) {
        assert_eq!(asked("GET", headers, Work::Measure), foreign, "{headers:?}");
    }
}
