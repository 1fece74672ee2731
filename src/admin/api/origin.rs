//! Where jobs come from that are enqueued by a request: its trace and its id, which follow them into every log line.

use super::super::request::{RequestId, caller};
use crate::{postgres::enqueue::NewJob, telemetry::Origin};
use axum::{extract::FromRequestParts, http::request::Parts};
use std::convert::Infallible;

/// The bound of a job's metadata in the database, in bytes.
const METADATA_MAX_BYTES: usize = 16 * 1024;

/// What a request says of itself. What isn't well formed is left out.
#[derive(Debug)]
pub(in crate::admin) struct Asking {
    origin: Origin,
    /// The metadata of a job that brings none.
    alone: Option<String>,
}

impl Asking {
    fn of(origin: Origin) -> Self {
        let alone = origin.fill(None);
        Self { origin, alone }
    }

    /// The job, whose metadata says as well where it comes from, as far as it doesn't by itself.
    pub(super) fn given_to(&self, job: NewJob) -> NewJob {
        let metadata = match job.metadata {
            None => self.alone.clone(),
            Some(own) => {
                let filled = self.origin.fill(Some(&own));
                // What is good by itself isn't refused for what is added to it.
                filled.filter(|filled| fits(filled)).or(Some(own))
            }
        };
        NewJob { metadata, ..job }
    }
}

/// Whether the database takes metadata, which it measures as it renders it: with a space behind each colon and comma.
fn fits(metadata: &str) -> bool {
    let spaces = metadata.bytes().filter(|byte| matches!(byte, b':' | b',')).count();
    metadata.len() + spaces <= METADATA_MAX_BYTES
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.extensions.get().map(|RequestId(id)| id.as_str());
        Ok(Self::of(caller(&parts.headers, id)))
    }
}
