//! What a path names: a job's number, the name of a queue.

use super::{super::problem::Refusal, wrong};
use axum::{
    extract::{FromRequestParts, MatchedPath, Path},
    http::request::Parts,
};

/// The one parameter of a path, with its escapes undone.
pub(in crate::admin) struct InPath(pub(in crate::admin) String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = Path::from_request_parts(parts, state).await;
        let name = parts.extensions.get::<MatchedPath>().and_then(|path| {
            let (name, _) = path.as_str().split_once('{')?.1.split_once('}')?;
            Some(name)
        });
        let why = "with its escapes undone it isn't UTF-8";
        let Path::<String>(text) = text.map_err(|_| wrong(name.unwrap_or("path"), why))?;
        if matches!(text.as_str(), "." | "..") {
            let why = "clients and proxies take . and .. for places in the path, so nothing is asked for by such a name here; \
                       over the database it can be";
            return Err(wrong(name.unwrap_or("path"), why));
        }
        Ok(Self(text))
    }
}
