//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent again because its answer got
//! lost does nothing again, and gets that answer.

use super::{
    super::problem::{Problem, Refusal},
    body::JSON,
    wrong,
};
use crate::postgres::operations::{Answer, Turn};
use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use ring::digest::{Context, SHA256};

/// What the client calls a request by.
pub(in crate::admin) const NAME: &str = "Idempotency-Key";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in bytes.
const KEY_MAX_BYTES: usize = 255;

/// The key of a request, where it has one.
pub(in crate::admin) struct Key(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut given = parts.headers.get_all(NAME).iter();
        match (given.next(), given.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => read(key).map(Some).map(Self),
            _ => Err(wrong(NAME, "it is given twice")),
        }
    }
}

/// A string as the draft has it, in quotes; or as most clients send it, without.
fn read(value: &HeaderValue) -> Result<String, Refusal> {
    const SHAPE: &str = "write it as \"8e03978e-40d5-43dd-bc93-6894a57f9324\": 1 to 255 visible characters of ASCII";
    let text = value.to_str().map_err(|_| wrong(NAME, SHAPE))?.trim();
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if visible && (1..=KEY_MAX_BYTES).contains(&key.len()) {
        Ok(key.to_owned())
    } else {
        Err(wrong(NAME, SHAPE))
    }
}

/// What tells one request from another: its path and what it says.
#[derive(Clone)]
pub(super) struct Print(Context);

impl Print {
    pub(super) fn of(path: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(path.as_bytes());
        context.update(b"\n");
        Self(context)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// The answer to a request whose key was seen before.
pub(super) fn before(turn: &Turn, fingerprint: &[u8]) -> Result<Response, Refusal> {
    match turn {
        Turn::Answered { answer, fingerprint: of } if of == fingerprint => {
            let mut response = shown(answer);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Turn::Answered { .. } => Err(Problem::KeyReused.into()),
        Turn::Ours | Turn::UnderWay => Err(Problem::RequestUnderWay.into()),
    }
}

/// An answer as it goes out.
pub(super) fn shown(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = [(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-store")];
    let mut response = (status, headers, answer.body.clone()).into_response();
    if let Some(location) = answer.location.as_deref().and_then(|at| at.parse().ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::as_the_draft_has_it("\"8e03978e-40d5\"", Some("8e03978e-40d5"))]
    #[case::as_most_send_it("8e03978e-40d5", Some("8e03978e-40d5"))]
    #[case::nothing("\"\"", None)]
    #[case::space("a b", None)]
    #[case::half_a_quote("\"a", None)]
    #[case::escape("a\\b", None)]
    fn a_key_is_read_with_and_without_quotes(#[case] value: &str, #[case] key: Option<&str>) {
        let read = read(&HeaderValue::from_str(value).unwrap());
        assert_eq!(read.ok().as_deref(), key);
    }

    #[test]
    fn a_key_is_bounded() {
        let of = |bytes| read(&HeaderValue::from_str(&"k".repeat(bytes)).unwrap()).is_ok();
        assert!(of(KEY_MAX_BYTES) && !of(KEY_MAX_BYTES + 1));
    }
}
