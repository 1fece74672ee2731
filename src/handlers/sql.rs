//! Calls a function of the database for each attempt, in one transaction with the job's completion.
//!
//! The function is named by the configuration alone; a row gives nothing but its argument. How it is
//! called, fenced and committed is `postgres::Functions`'s; what is decided here is what becomes of the
//! job where the function fails, and what the function may say about that by its SQLSTATE.

mod words;

use crate::{
    config::SqlSettings,
    executor::{Context, Handler, HandlerFuture},
    handlers::shortage,
    job::{DiscardReason, JobError, JobId, Outcome},
    postgres::{BAD_VALUE, Call, CallError, Functions, Refusal, STOP_GRACE},
    telemetry::{causes, events, spans::CallSpan},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What a function raises to decide about its job. The numbers are the exit codes of `command`.
const PERMANENT: &str = "LW064";
const BAD_DATA: &str = "LW065";
const TRY_LATER: &str = "LW075";

/// Runs one function for every job of a kind.
pub struct Sql {
    settings: SqlSettings,
    functions: Arc<Functions>,
}

impl Sql {
    /// `functions` is the daemon's.
    pub fn new(settings: SqlSettings, functions: Arc<Functions>) -> Self {
        Self { settings, functions }
    }

    async fn attempt(&self, context: &Context) -> Outcome {
        let job = context.job();
        let span = context.span().map(|span| span.function(&self.settings.function));
        let call = Call {
            function: &self.settings.function,
            role: self.settings.role.as_deref(),
            lease: job.lease,
            queue: &job.queue,
            payload: &job.payload,
            told: told(context, span.as_ref()),
            began: Instant::now(),
            deadline: context.deadline(),
        };
        let called = self.functions.call(&call, context.cancellation()).await;
        if let Some(span) = span {
            let error = called.as_ref().err();
            span.returned(error.and_then(CallError::sqlstate), error.map(CallError::as_str));
        }
        match called {
            Ok(written) => Outcome::Written(written),
            Err(error) => self.failed(&error, job.lease.job),
        }
    }

    fn failed(&self, error: &CallError, job: JobId) -> Outcome {
        match error {
            CallError::Stopped => Outcome::Cancel,
            CallError::NoPlace | CallError::NoConnection(_) => {
                tracing::error!(
                    event = events::FUNCTION_FAILED,
                    function = %self.settings.function,
                    error.message = causes::told(error),
                    "there is no connection for a function: its job comes back in a moment"
                );
                shortage::soon()
            }
            CallError::Refused(refusal) => {
                let words = words::error(refusal, self.settings.role.as_deref(), job);
                if lacks_something(refusal) {
                    self.tell(words.for_logs());
                }
                decided(refusal, words)
            }
            CallError::Kept => retry(causes::told(error)),
            CallError::Lost(lost) => {
                let told = causes::told(error);
                retry(
                    lost.sqlstate().map_or_else(|| told.clone(), |code| format!("{code}: {told}")),
                )
            }
        }
    }

    fn tell(&self, error: &str) {
        tracing::error!(
            event = events::FUNCTION_FAILED,
            function = %self.settings.function,
            error.message = error,
            "a function can't be called, or lacks a right or something that it names"
        );
    }
}

impl Handler for Sql {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(self.attempt(context))
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }
}

fn retry(error: String) -> Outcome {
    Outcome::Retry { error: JobError::new(error), after: None }
}

/// Whether a right, the function, something that it names or its role isn't there. A role that isn't is an
/// invalid value of `role` to the server; what a function sets wrongly has the function as its context.
fn lacks_something(refusal: &Refusal) -> bool {
    matches!(refusal.sqlstate.get(..2), Some("42" | "3F"))
        || (refusal.sqlstate == BAD_VALUE && refusal.context.is_none())
}

/// What becomes of a job whose function raised this. No error is taken for permanent by its class: a
/// function is replaced while its jobs wait, and then they are done.
fn decided(refusal: &Refusal, error: JobError) -> Outcome {
    match refusal.sqlstate.as_str() {
        PERMANENT => Outcome::Discard { reason: DiscardReason::PermanentError, error },
        BAD_DATA => Outcome::Discard { reason: DiscardReason::InvalidPayload, error },
        TRY_LATER => Outcome::Snooze { delay: delay(refusal) },
        _ => Outcome::Retry { error, after: None },
    }
}

/// DETAIL as `10m` or `1h 30m`; the backoff where it is none.
fn delay(refusal: &Refusal) -> Option<Duration> {
    humantime::parse_duration(refusal.detail.as_deref()?.trim()).ok()
}

/// Settings by which the function learns of its job, and by which the jobs that it enqueues get its
/// trace and request: the call's own place in its trace, where spans are made.
fn told(context: &Context, span: Option<&CallSpan>) -> Vec<(&'static str, String)> {
    let job = context.job();
    let origin = context.origin();
    let (traceparent, tracestate) = match (span, origin) {
        (Some(span), _) => (Some(span.traceparent()), span.tracestate()),
        (None, Some(origin)) => (origin.traceparent.clone(), origin.tracestate.clone()),
        (None, None) => (None, None),
    };
    let known = [
        ("legwork.job_id", Some(job.lease.job.to_string())),
        ("legwork.kind", Some(job.kind.to_string())),
        ("legwork.queue", Some(job.queue.to_string())),
        ("legwork.attempt", Some(context.attempt().to_string())),
        ("legwork.max_attempts", Some(context.max_attempts().to_string())),
        ("legwork.lease_token", Some(context.lease_token().to_string())),
        ("legwork.traceparent", traceparent),
        ("legwork.tracestate", tracestate),
        ("legwork.request_id", origin.and_then(|origin| origin.request_id.clone())),
        ("legwork.user_id", origin.and_then(|origin| origin.user_id.clone())),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn refusal(sqlstate: &str, detail: Option<&str>) -> Refusal {
        let (sqlstate, message) = (sqlstate.to_owned(), "no".to_owned());
        Refusal { sqlstate, message, detail: detail.map(str::to_owned), ..Refusal::default() }
    }

    #[rstest]
    #[case::permanent("LW064", None, "discard permanent_error")]
    #[case::bad_data("LW065", None, "discard invalid_payload")]
    #[case::later("LW075", None, "snooze None")]
    #[case::later_by("LW075", Some("1m 30s"), "snooze Some(90s)")]
    #[case::later_by_nonsense("LW075", Some("soon"), "snooze None")]
    #[case::raised("P0001", None, "retry")]
    #[case::bad_cast("22P02", None, "retry")]
    #[case::broken_constraint("23505", None, "retry")]
    #[case::deadlock("40P01", None, "retry")]
    #[case::missing("42883", None, "retry")]
    fn a_function_decides_by_its_sqlstate(
        #[case] sqlstate: &str,
        #[case] detail: Option<&str>,
        #[case] expected: &str,
    ) {
        let said = match decided(&refusal(sqlstate, detail), JobError::new("no")) {
            Outcome::Discard { reason, .. } => format!("discard {}", reason.as_str()),
            Outcome::Snooze { delay } => format!("snooze {delay:?}"),
            Outcome::Retry { .. } => "retry".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(said, expected);
    }

    #[rstest]
    #[case::function("42883", None, true)]
    #[case::schema("3F000", None, true)]
    #[case::role("22023", None, true)]
    #[case::of_the_functions_own("22023", Some("PL/pgSQL function app.f(jsonb) line 3"), false)]
    #[case::raised("P0001", None, false)]
    fn what_an_operator_has_to_mend_is_told_apart(
        #[case] sqlstate: &str,
        #[case] context: Option<&str>,
        #[case] told: bool,
    ) {
        let refusal = Refusal { context: context.map(str::to_owned), ..refusal(sqlstate, None) };
        assert_eq!(lacks_something(&refusal), told);
    }
}
