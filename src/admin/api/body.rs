//! The body of a request that changes something: bounded, JSON, and said to be.
//!
//! That it is said keeps a page in somebody's browser from changing anything: without asking first, which the port doesn't
//! answer, a page may send forms and plain text alone.

use super::super::{
    problem::{Problem, Refusal},
    request::{BODY_MAX_BYTES, body_max, too_large},
};
use super::query::nearest;
use crate::telemetry::causes;
use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, MatchedPath, Request},
    http::{HeaderMap, header},
};
use http_body_util::LengthLimitError;
use serde::{
    Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_path_to_error::{Segment, Track};
use std::{error::Error, fmt, marker::PhantomData, time::Duration};
use tokio::time::timeout;

/// How long a client may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body, read. None at all is an empty object.
pub(in crate::admin) struct Said<T>(pub(in crate::admin) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        plain(request.headers())?;
        if !is_of(JSON, request.headers()) {
            return Err(Problem::NotJson.into());
        }
        let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let most = route.map_or(BODY_MAX_BYTES, body_max);
        let body = read_up_to(most, request).await?;
        let text = if body.is_empty() { b"{}" } else { &body[..] };
        let mut json = serde_json::Deserializer::from_slice(text);
        let mut track = Track::new();
        let said = object(serde_path_to_error::Deserializer::new(&mut json, &mut track));
        let said = said.and_then(|said| json.end().map(|()| said));
        said.map(Self).map_err(|error| not_so(&error.to_string(), member_of(&track.path())))
    }
}

/// The innermost member on the way to what couldn't be read.
fn member_of(path: &serde_path_to_error::Path) -> Option<&str> {
    let mut innermost_first = path.iter().rev();
    innermost_first.find_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    })
}

/// Why a body can't be read, with the member that it is about: what the reason names, or else where the reader was.
pub(super) fn not_so(why: &str, at: Option<&str>) -> Refusal {
    let refusal = Problem::InvalidBody.because(why.to_owned());
    if let Some((name, known)) = unlike(why, "unknown field `") {
        return refusal.about(name, nearest(name, &known));
    }
    let named = |start: &str| Some(why.strip_prefix(start)?.split_once('`')?.0);
    let named = named("missing field `").or_else(|| named("duplicate field `"));
    match named.or(at) {
        Some(name) => {
            let variant = unlike(why, "unknown variant `");
            refusal.about(name, variant.and_then(|(word, known)| nearest(word, &known)))
        }
        None => refusal,
    }
}

/// What isn't known, and what is. What somebody called it may have any character in it.
fn unlike<'a>(why: &'a str, start: &str) -> Option<(&'a str, Vec<String>)> {
    let rest = why.strip_prefix(start)?;
    let (name, known) =
        rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    Some((name, known.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
}

/// What has members by name. A list of their values would be read as well, by the order in which the code has them.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Members<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Members<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object, {…}")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(members))
        }
    }

    deserializer.deserialize_map(Members(PhantomData))
}

/// The whole of a body, of no more bytes than a route takes that says nothing else.
pub(in crate::admin) async fn read(request: Request) -> Result<Bytes, Refusal> {
    read_up_to(BODY_MAX_BYTES, request).await
}

/// The whole of a body, of no more than so many bytes and no longer than so many seconds.
pub(in crate::admin) async fn read_up_to(most: u64, request: Request) -> Result<Bytes, Refusal> {
    let bytes = usize::try_from(most).unwrap_or(usize::MAX);
    let read = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), bytes)).await;
    let read = read.map_err(|_| Problem::BodyTooSlow)?;
    read.map_err(|error| if is_over(&error) { too_large(most) } else { broken_off() })
}

/// Whether it is the bound that ended the reading.
fn is_over(error: &(dyn Error + 'static)) -> bool {
    causes::chain(error).any(<dyn Error>::is::<LengthLimitError>)
}

/// What was announced and didn't come, or came in pieces that are none.
fn broken_off() -> Refusal {
    Problem::InvalidBody.because("the body broke off")
}

/// Refuses a body that says of itself to be packed: nothing here unpacks one, which may be of any length.
pub(super) fn plain(headers: &HeaderMap) -> Result<(), Refusal> {
    let all_are = |name, plain: &[u8]| {
        let mut codings = headers.get_all(name).iter();
        codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(plain))
    };
    if all_are(header::CONTENT_ENCODING, b"identity")
        && all_are(header::TRANSFER_ENCODING, b"chunked")
    {
        return Ok(());
    }
    Err(Problem::NotJson.because(
        "a body is read as it is sent: send it not packed, without Content-Encoding, and with no \
         Transfer-Encoding but chunked",
    ))
}

/// The type of a body that is one JSON value.
pub(super) const JSON: &str = "application/json";

/// Whether a body is said to be of this type.
pub(super) fn is_of(wanted: &str, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::StatusCode, response::IntoResponse};
    use futures::{StreamExt, stream};
    use std::convert::Infallible;
    use tokio::time::{Instant, sleep};

    const EACH: Duration = Duration::from_secs(1);

    /// A body of so many pieces of ten bytes, a second apart.
    fn slow(pieces: usize) -> Request {
        let pieces = stream::iter(0..pieces).then(|_| async {
            sleep(EACH).await;
            Ok::<_, Infallible>(Bytes::from_static(&[b' '; 10]))
        });
        Request::new(Body::from_stream(pieces))
    }

    async fn read_of(pieces: usize) -> (Result<usize, StatusCode>, Duration) {
        let began = Instant::now();
        let read = read_up_to(30, slow(pieces)).await;
        let read = read.map(|body| body.len()).map_err(|refusal| refusal.into_response().status());
        (read, began.elapsed())
    }

    #[tokio::test]
    async fn a_member_that_is_unknown_missing_or_twice_is_named_and_so_is_the_one_that_may_have_been_meant()
     {
        for (why, parameter, near) in [
            (
                "unknown field `reson`, expected one of `for`, `reason` at line 1 column 9",
                "reson",
                "reason",
            ),
            ("unknown field `re`son`, expected `reason` at line 1 column 9", "re`son", "reason"),
            ("unknown field `x`, there are no fields at line 1 column 4", "x", ""),
            ("missing field `for` at line 1 column 2", "for", ""),
            ("duplicate field `for` at line 1 column 2", "for", ""),
            (
                "unknown variant `cancle`, expected `retry` or `cancel` at line 1 column 9",
                "at",
                "cancel",
            ),
            ("unknown variant `nuke`, expected `retry` or `cancel` at line 1 column 9", "at", ""),
            ("expected value at line 1 column 1", "", ""),
        ] {
            let told = to_bytes(
                not_so(why, Some("at").filter(|_| why.starts_with("unknown v")))
                    .into_response()
                    .into_body(),
                4096,
            )
            .await
            .unwrap();
            let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
            let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
            assert_eq!((&*text("parameter"), &*text("nearest")), (parameter, near), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_bounded_in_bytes_and_in_time_though_it_announces_neither() {
        assert_eq!(read_of(3).await.0, Ok(30));
        let (large, after) = read_of(1000).await;
        assert_eq!(large, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(after.as_secs(), 4, "no more of it is taken than shows that it is too large");
        let began = Instant::now();
        let read = read_up_to(10_000, slow(1000)).await;
        let refused = read.map(|_| ()).map_err(|refusal| refusal.into_response().status());
        assert_eq!(refused, Err(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed().as_secs(), BODY_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_called_too_large() {
        let torn = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("torn"))]);
        let refusal = read_up_to(30, Request::new(Body::from_stream(torn))).await.err();
        let answer = refusal.expect("it is refused").into_response();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let told = to_bytes(answer.into_body(), 4096).await.unwrap();
        assert!(String::from_utf8_lossy(&told).contains("the body broke off"), "{told:?}");
    }
}
