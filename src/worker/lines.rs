//! What the log says of an attempt: its beginning, its failure, and whose work it is.
//!
//! A job whose metadata names a request or a user has a span while its handler runs, so that every
//! line in there carries both. One without metadata has none: a span costs as much as all the rest
//! of a no-op job. Payloads are never logged.

use crate::{
    completer::Settled,
    job::{ClaimedJob, Metadata},
    telemetry::events,
};
use tracing::Span;

/// The span of an attempt.
pub(super) fn span(job: &ClaimedJob) -> Span {
    let Some(metadata) = job.metadata.as_deref() else { return Span::none() };
    let Metadata { request_id, user_id, .. } = Metadata::of(Some(metadata));
    // Of the highest level, so that no filter keeps a line and leaves its span out.
    tracing::error_span!(
        "job",
        request_id,
        user_id,
        job.id = job.lease.job.0,
        job.kind = %job.kind,
        job.queue = %job.queue,
        job.attempt = job.attempt(),
    )
}

/// An attempt begins.
pub(super) fn started(job: &ClaimedJob) {
    tracing::debug!(
        event = events::JOB_STARTED,
        job.id = job.lease.job.0,
        job.kind = %job.kind,
        job.queue = %job.queue,
        job.attempt = job.attempt(),
        "an attempt starts"
    );
}

/// An attempt failed: what went wrong, and what becomes of the job.
pub(super) fn failed(job: &ClaimedJob, max_attempts: u16, settled: &Settled) {
    let Some(failure) = &settled.failure else { return };
    tracing::warn!(
        event = events::JOB_FAILED,
        job.id = job.lease.job.0,
        job.kind = %job.kind,
        job.queue = %job.queue,
        job.attempt = job.attempt(),
        job.max_attempts = max_attempts,
        job.outcome = settled.end().as_str(),
        "error.type" = failure.cause.as_str(),
        error.message = failure.error.as_str(),
        "an attempt failed"
    );
}
