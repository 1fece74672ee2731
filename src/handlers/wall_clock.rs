//! The wall clock, for what is told to a program or a receiver. Nothing here decides anything: attempts
//! end by the monotonic deadline, and due dates are the database's.

use crate::executor::Context;
use std::time::SystemTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

/// What time it is, as far as this machine knows.
#[expect(
    clippy::disallowed_methods,
    reason = "shown to others and never compared with anything here"
)]
pub(super) fn now() -> OffsetDateTime {
    OffsetDateTime::from(SystemTime::now())
}

/// When the attempt's time is up, to the millisecond, in UTC.
pub(super) fn deadline(context: &Context) -> Option<String> {
    let left = context.deadline().saturating_duration_since(Instant::now());
    let at = now().checked_add(left.try_into().ok()?)?;
    at.replace_millisecond(at.millisecond()).ok()?.format(&Rfc3339).ok()
}
