//! The token that comes with a request: as Bearer, or as the password of Basic.
//!
//! Basic is what `go tool pprof http://x:TOKEN@host/…` and a browser can send; its user is of no interest.
//! What is neither, or is there twice, is no token: nothing was guessed. It compares nothing.

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};

/// What was sent, if it was.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, rest) = only.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        text.split_once(':')?.1.to_owned()
    } else {
        return None;
    };
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::bearer(&["Bearer abc"], Some("abc"))]
    #[case::bearer_in_lower_case(&["bearer  abc "], Some("abc"))]
    // "x:abc", as `go tool pprof` sends it.
    #[case::basic(&["Basic eDphYmM="], Some("abc"))]
    // ":abc"
    #[case::basic_without_a_user(&["BASIC OmFiYw=="], Some("abc"))]
    // "a:b:c"
    #[case::basic_with_a_colon_in_the_password(&["Basic YTpiOmM="], Some("b:c"))]
    // "x:"
    #[case::empty_password(&["Basic eDo="], None)]
    // "abc"
    #[case::no_password(&["Basic YWJj"], None)]
    #[case::no_base64(&["Basic ???"], None)]
    #[case::no_utf8(&["Basic /zr/"], None)]
    #[case::empty_bearer(&["Bearer "], None)]
    #[case::no_scheme(&["abc"], None)]
    #[case::other_scheme(&["Digest abc"], None)]
    #[case::twice(&["Bearer abc", "Bearer abc"], None)]
    #[case::none(&[], None)]
    fn a_token_is_read(#[case] sent: &[&str], #[case] expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(token(&headers).as_deref(), expected);
    }
}
