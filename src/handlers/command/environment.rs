//! The whole environment of a program: what Legwork says about the attempt, and what the file
//! lists. Nothing is inherited, so no secret of the daemon's leaks and no `LD_PRELOAD` gets in.

use super::process::RESULT_DESCRIPTOR;
use crate::{
    executor::Context, handlers::wall_clock, job::JobVariable, telemetry::spans::CallSpan,
};

/// Names and values.
pub(super) type Variables = Vec<(String, String)>;

/// Legwork's own variables come last: the file can't make a program believe another attempt's. Where there is
/// a span of the run, the program's own hang below it.
pub(super) fn of(
    context: &Context,
    span: Option<&CallSpan>,
    listed: &[(String, String)],
) -> Variables {
    let origin = context.origin();
    let own = JobVariable::ALL.map(|variable| (variable.name(), value(variable, context)));
    let trace = [
        (
            "TRACEPARENT",
            span.map_or_else(|| origin?.traceparent.clone(), |it| Some(it.traceparent())),
        ),
        ("TRACESTATE", span.map_or_else(|| origin?.tracestate.clone(), CallSpan::tracestate)),
    ];
    let known = own.into_iter().chain(trace);
    let known = known.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    listed.iter().cloned().chain(known).collect()
}

/// Nothing where it isn't known.
fn value(variable: JobVariable, context: &Context) -> Option<String> {
    let (job, origin) = (context.job(), context.origin());
    match variable {
        JobVariable::JobId => Some(job.lease.job.to_string()),
        JobVariable::Kind => Some(job.kind.to_string()),
        JobVariable::Queue => Some(job.queue.to_string()),
        JobVariable::Attempt => Some(context.attempt().to_string()),
        JobVariable::MaxAttempts => Some(context.max_attempts().to_string()),
        JobVariable::FinalAttempt => Some(context.is_final_attempt().to_string()),
        JobVariable::Deadline => wall_clock::deadline(context),
        JobVariable::LeaseToken => Some(context.lease_token().to_string()),
        JobVariable::ResultFd => Some(RESULT_DESCRIPTOR.to_string()),
        JobVariable::RequestId => origin?.request_id.clone(),
        JobVariable::UserId => origin?.user_id.clone(),
    }
}
