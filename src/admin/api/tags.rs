//! Entity tags: what a client has seen, and changes that hold only for that.
//!
//! A tag has two parts. The first is the version of what can be changed, which a change compares under the row's lock
//! (`If-Match`); the second the digest of all that was shown but the database's time and what grows with it, by which a
//! client is told that nothing is new (`If-None-Match`). So the depth of a queue makes an answer new and keeps nobody from pausing it.

use super::super::problem::{Problem, Refusal};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use std::{convert::Infallible, fmt::Write as _};

/// Bytes of the digest that a tag has.
const DIGEST_BYTES: usize = 8;

/// What the client has seen already.
pub(in crate::admin) struct Known(Vec<String>);

/// What the client wants to change: one of these versions, or whatever is there.
pub(in crate::admin) struct Expected(pub(super) Option<Vec<String>>);

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(tags(&parts.headers, &header::IF_NONE_MATCH).unwrap_or_default()))
    }
}

impl<S: Sync> FromRequestParts<S> for Expected {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let version =
            |tag: String| tag.strip_prefix('"')?.split_once('.').map(|(of, _)| of.to_owned());
        let named = named(&parts.headers);
        Ok(Self(named.map(|tags| tags.into_iter().filter_map(version).collect())))
    }
}

/// Whether a change is asked for only of what a client has seen, and not of whatever is there.
pub(in crate::admin) fn names_a_version(headers: &HeaderMap) -> bool {
    named(headers).is_some()
}

/// The tags of which one has to be that of what is there; none where any will do.
fn named(headers: &HeaderMap) -> Option<Vec<String>> {
    tags(headers, &header::IF_MATCH).filter(|tags| !tags.iter().any(|tag| tag == "*"))
}

/// The tags of a header, as they are written, where it is there at all. A weak one matches nothing here.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let texts = lines.filter_map(|line| line.to_str().ok());
    Some(texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect())
}

/// What can be changed, and is shown with a tag.
pub(super) trait Tagged: Serialize {
    /// The version of what can be changed.
    fn version(&self) -> &str;

    /// Takes out what is another each time it is looked at, though nothing happened.
    fn hold_still(&mut self);
}

/// Shows it, unless the client has seen just that.
pub(super) fn shown(known: &Known, mut found: impl Tagged) -> Result<Response, Refusal> {
    let body = written(&found)?;
    found.hold_still();
    let tag = format!("\"{}.{}\"", found.version(), digest_of(&written(&found)?));
    let mut response = tagged(known, tag, body);
    let no_store = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

fn written(found: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(found)
        .map_err(|_| Problem::DatabaseRefused.because("the answer can't be written as JSON"))
}

/// A document that never changes while the daemon runs.
pub(in crate::admin) fn document(known: &Known, body: String) -> Response {
    let tag = format!("\"{}\"", digest_of(&body));
    let mut response = tagged(known, tag, body);
    // It may be kept, as long as it is asked for again by its tag: the next daemon may have another.
    let no_cache = header::HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, no_cache);
    response
}

fn tagged(known: &Known, tag: String, body: String) -> Response {
    let is_seen = |one: &String| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    if known.0.iter().any(is_seen) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, tag)];
    (headers, body).into_response()
}

fn digest_of(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(DIGEST_BYTES).fold(String::new(), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_of_every_line_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(tags(&headers, &header::IF_MATCH), None);
        assert!(!names_a_version(&headers));
        headers.append(header::IF_MATCH, "\"a.1\", W/\"b.2\"".parse().unwrap());
        headers.append(header::IF_MATCH, "\"c.3\"".parse().unwrap());
        let read = tags(&headers, &header::IF_MATCH).unwrap();
        assert!(names_a_version(&headers));
        assert_eq!(read, ["\"a.1\"", "W/\"b.2\"", "\"c.3\""]);
    }
}
