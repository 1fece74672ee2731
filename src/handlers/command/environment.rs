//! The whole environment of a program: what Legwork says about the attempt, and what the file
//! lists. Nothing is inherited, so no secret of the daemon's leaks and no `LD_PRELOAD` gets in.

use super::process::RESULT_DESCRIPTOR;
use crate::executor::Context;
use std::time::SystemTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

/// Names and values.
pub(super) type Variables = Vec<(String, String)>;

/// Legwork's own variables come last: the file can't make a program believe another attempt's.
pub(super) fn of(context: &Context, listed: &[(String, String)]) -> Variables {
    let job = context.job();
    let origin = context.origin();
    let always = [
        ("LEGWORK_JOB_ID", job.lease.job.to_string()),
        ("LEGWORK_KIND", job.kind.to_string()),
        ("LEGWORK_QUEUE", job.queue.to_string()),
        ("LEGWORK_ATTEMPT", context.attempt().to_string()),
        ("LEGWORK_MAX_ATTEMPTS", context.max_attempts().to_string()),
        ("LEGWORK_FINAL_ATTEMPT", context.is_final_attempt().to_string()),
        ("LEGWORK_LEASE_TOKEN", context.lease_token().to_string()),
        ("LEGWORK_RESULT_FD", RESULT_DESCRIPTOR.to_string()),
    ];
    let where_known = [
        ("LEGWORK_DEADLINE", deadline(context)),
        ("LEGWORK_REQUEST_ID", origin.and_then(|origin| origin.request_id.clone())),
        ("LEGWORK_USER_ID", origin.and_then(|origin| origin.user_id.clone())),
        ("TRACEPARENT", origin.and_then(|origin| origin.traceparent.clone())),
        ("TRACESTATE", origin.and_then(|origin| origin.tracestate.clone())),
    ];
    let known = where_known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let own = always.into_iter().chain(known).map(|(name, value)| (name.to_owned(), value));
    listed.iter().cloned().chain(own).collect()
}

/// The deadline on the wall clock, to the millisecond, in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "shown to the program and never compared with anything here; the attempt ends by \
              the monotonic deadline"
)]
fn deadline(context: &Context) -> Option<String> {
    let left = context.deadline().saturating_duration_since(Instant::now());
    let at = OffsetDateTime::from(SystemTime::now()).checked_add(left.try_into().ok()?)?;
    at.replace_millisecond(at.millisecond()).ok()?.format(&Rfc3339).ok()
}
