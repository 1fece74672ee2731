//! What a path names: a job's number, the name of a queue.

use super::super::problem::{Problem, Refusal};
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

/// The one parameter of a path, with its escapes undone.
pub(in crate::admin) struct InPath(pub(in crate::admin) String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(text) = Path::from_request_parts(parts, state).await.map_err(|_| {
            Problem::InvalidParameter.because("the path, with its escapes undone, isn't UTF-8")
        })?;
        Ok(Self(text))
    }
}
