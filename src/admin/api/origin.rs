//! Where jobs come from that are enqueued by a request: its trace and its id, which follow them into every log line.

use super::super::request::RequestId;
use crate::{postgres::enqueue::NewJob, telemetry::Origin};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use serde_json::json;
use std::convert::Infallible;

/// What a request says of itself. What isn't well formed is left out.
#[derive(Debug)]
pub(in crate::admin) struct Asking {
    origin: Origin,
    /// The metadata of a job that brings none.
    alone: Option<String>,
}

impl Asking {
    fn of(headers: &HeaderMap, id: Option<&RequestId>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let said = json!({
            "traceparent": text("traceparent"),
            "tracestate": text("tracestate"),
            "request_id": id.and_then(|RequestId(id)| id.to_str().ok()),
        });
        let origin = Origin::of(Some(&said.to_string()));
        let alone = origin.fill(None);
        Self { origin, alone }
    }

    /// The job, whose metadata says as well where it comes from, as far as it doesn't by itself.
    pub(super) fn given_to(&self, job: NewJob) -> NewJob {
        let metadata = match job.metadata {
            None => self.alone.clone(),
            own => self.origin.fill(own.as_deref()),
        };
        NewJob { metadata, ..job }
    }
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, parts.extensions.get()))
    }
}
