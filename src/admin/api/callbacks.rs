//! What receivers of `async` http kinds say of their attempts. The URL is the right to do so, and was looked at before.
//!
//! A word is read here and answered by the attempt itself (`executor::callback`), so that an answer of 200 means that it
//! counts. Neither the token nor what was said is logged.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    body::Said,
    path::InPath,
    query::{Asked, Nothing},
    shown,
};
use crate::{
    executor::{Decision, Heard, Unheard, Word},
    job::{Action, JobError, JobResult, Lease},
};
use axum::{Extension, extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use utoipa::ToSchema;

/// What may be wrong with a call, besides its token.
pub(in crate::admin) const OF_A_CALL: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::LeaseGone,
    Problem::JobCancelled,
    Problem::AlreadyDecided,
    Problem::AttemptBusy,
    Problem::ResultTooLong,
];

/// What is to become of the attempt.
#[derive(Deserialize, ToSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schema(as = CallbackAction)]
enum Asks {
    /// Nothing yet: the work goes on.
    Heartbeat,
    /// The job is done.
    Complete,
    /// The attempt failed; the job runs again. The same as `retry`.
    Fail,
    /// The attempt failed; the job runs again.
    Retry,
    /// The job failed for good.
    Discard,
    /// Not now; the attempt isn't counted.
    Snooze,
    /// The job is called off.
    Cancel,
}

/// What a receiver says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Callback)]
pub(in crate::admin) struct Spoken {
    /// What is to become of the attempt.
    action: Asks,
    /// Of `complete`: what the job leaves, any JSON of at most as many bytes as the kind's `max_result`.
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    /// Of `fail`, `retry` and `discard`: why, for people.
    error: Option<String>,
    /// Of `fail`, `retry` and `snooze`: after how long to run it again, `90s`, `10m`, `2h30m`; a second at least and a
    /// day at most, else as the kind's backoff says.
    #[serde(rename = "for")]
    time: Option<String>,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = CalledBack)]
struct Answered {
    /// Which job.
    job: i64,
    /// `taken`: the attempt ends so. `waiting`: it goes on.
    result: &'static str,
    /// Of `waiting`: how long the attempt has left at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remaining_seconds: Option<f64>,
}

/// Say what becomes of a job that a receiver has taken by 202
///
/// To be sent to the `Legwork-Callback-URL` that came with the job, as it is: its token is the right to do so, and no other is
/// needed. The same verdict may be sent again and is answered the same. A result that is longer than the kind's `max_result` is
/// refused, and the attempt waits on.
#[utoipa::path(post, path = "/api/v1/callbacks/{token}", operation_id = "call_back", tag = "jobs",
    params(("token" = String, Path, description = "As it stands in the URL.", example = "AAAAAAAAEmcAAAAAAAAAAQ")),
    request_body(content = Spoken, example = json!({ "action": "complete", "result": { "sent": true } })),
    responses((status = 200, description = "It counts.", body = Answered,
        example = json!({ "job": 4711, "result": "taken" }))))]
pub(in crate::admin) async fn call(
    State(state): State<AdminState>,
    Extension(lease): Extension<Lease>,
    InPath(_): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    Said(spoken): Said<Spoken>,
) -> Result<Response, Refusal> {
    let word = word(spoken)?;
    let (result, remaining_seconds) = match state.callbacks.say(lease, word).await {
        Ok(Heard::Taken) => ("taken", None),
        Ok(Heard::Waiting(left)) => ("waiting", Some(left.as_secs_f64())),
        Err(unheard) => return Err(refusal(unheard)),
    };
    shown(&Answered { job: lease.job.0, result, remaining_seconds })
}

fn refusal(unheard: Unheard) -> Refusal {
    match unheard {
        Unheard::Gone => Problem::LeaseGone.into(),
        Unheard::Cancelled => Problem::JobCancelled.into(),
        Unheard::Decided => Problem::AlreadyDecided.into(),
        Unheard::Busy => Problem::AttemptBusy.into(),
        Unheard::TooLong { max_result } => {
            let why = format!(
                "result: the kind's max_result is {max_result} bytes; nothing was changed, say it with a shorter one, or none"
            );
            Problem::ResultTooLong.because(why).about("result", None)
        }
    }
}

fn word(Spoken { action: asks, result, error, time }: Spoken) -> Result<Word, Refusal> {
    let action = match asks {
        Asks::Heartbeat => None,
        Asks::Complete => Some(Action::Complete),
        Asks::Fail | Asks::Retry => Some(Action::Retry),
        Asks::Discard => Some(Action::Discard),
        Asks::Snooze => Some(Action::Snooze),
        Asks::Cancel => Some(Action::Cancel),
    };
    let is = |actions: &[Action]| action.is_some_and(|action| actions.contains(&action));
    let given = [
        ("result", result.is_some(), is(&[Action::Complete])),
        ("error", error.is_some(), is(&[Action::Retry, Action::Discard])),
        ("for", time.is_some(), is(&[Action::Retry, Action::Snooze])),
    ];
    // A word that would count for nothing was meant otherwise.
    if let Some((member, ..)) = given.into_iter().find(|(_, is_given, fits)| *is_given && !fits) {
        return Err(wrong(member, "it doesn't go with this action"));
    }
    let Some(action) = action else { return Ok(Word::Heartbeat) };
    let result = result.map(|json| {
        let why = "Postgres can't store it: it has \\u0000 or half a surrogate pair in a text";
        JobResult::new(json.get().to_owned()).ok_or_else(|| wrong("result", why))
    });
    let error = error.as_deref().unwrap_or(action.as_str());
    let error = JobError::new(format!("called back: {error}"));
    let (result, after) = (result.transpose()?, time.as_deref().map(delay).transpose()?);
    Ok(Word::Decides(Box::new(Decision { action, result, error, after })))
}

fn delay(text: &str) -> Result<Duration, Refusal> {
    let time = humantime::parse_duration(text).map_err(|_| "write it as 90s, 10m or 2h30m");
    // Of a header a time that can't be is taken for the next that can: nobody reads an answer to it.
    let time = time.and_then(|time| {
        let is_taken = Action::delay(time) == time;
        is_taken.then_some(time).ok_or("a second at least and a day at most")
    });
    time.map_err(|why| wrong("for", why))
}

fn wrong(member: &str, why: &str) -> Refusal {
    Problem::InvalidBody.because(format!("{member}: {why}")).about(member, None)
}
