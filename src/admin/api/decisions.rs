//! What operators decide for the fleet: a queue's concurrency and rate limit, its drain, and what a daemon is told.
//!
//! Each is a row that every daemon reads, so it makes no difference which of them is asked here. What can be meant is
//! decided by the database's functions; here their words become statuses.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    asking::{Asking, Why},
    body::Said,
    changes::delay,
    path::InPath,
    query::{Asked, Nothing, Parameters, Query},
    queue, refusal_of_decision, shown, wrong,
};
use crate::{
    config::{Amount, QueueOverride, out_of_bounds},
    job::{QueueName, RateLimit},
    postgres::{
        Wanted, moment,
        operations::{self, Asker, Connection, End, OperationError},
    },
};
use axum::{extract::State, response::Response};
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What may be wrong with what is decided for a queue. None has to be known: a decision may come before the first job.
pub(in crate::admin) const OF_A_DECISION: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::Changed,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// The same of what a daemon is told.
pub(in crate::admin) const OF_A_WORD: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::NoSuchDaemon,
    Problem::WrongState,
    Problem::DatabaseUnavailable,
    Problem::DatabaseRefused,
];

/// What is said where nothing is to be decided.
const NOTHING: &str =
    r#"nothing is decided: name concurrency, rate_limit, or both, {"concurrency": 2} say"#;

/// Settings of a queue, whatever the files of its daemons say. One that isn't named stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueDecision)]
pub(in crate::admin) struct Decision {
    /// Jobs that each daemon runs at once, 1 to 10000.
    #[schema(minimum = 1, maximum = 10_000)]
    concurrency: Option<u32>,
    /// Starts per time, of each daemon: `30/m burst 2`.
    rate_limit: Option<String>,
    /// For how long: `90s`, `2h`; until somebody takes it away where neither this nor `until` is said.
    #[serde(rename = "for")]
    time: Option<String>,
    /// Until this moment (RFC 3339), by the database's clock.
    until: Option<String>,
    /// Why, for the next person; at most 500 bytes.
    reason: Option<String>,
}

/// How long something holds, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct ForAWhile {
    /// For how long: `90s`, `2h`; until somebody resumes it where neither this nor `until` is said.
    #[serde(rename = "for")]
    pub(super) time: Option<String>,
    /// Until this moment (RFC 3339), by the database's clock.
    pub(super) until: Option<String>,
    /// Why, for the next person; at most 500 bytes.
    pub(super) reason: Option<String>,
}

/// What can be decided for a queue.
pub(in crate::admin) const SETTINGS: [&str; 2] = ["concurrency", "rate_limit"];

/// Which overrides are taken away.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Which {
    /// `concurrency` or `rate_limit`; both where it isn't said.
    #[param(example = "concurrency")]
    setting: Option<String>,
}

impl Parameters for Which {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let known = |text: &str| match text {
            known if SETTINGS.contains(&known) => Ok(text.to_owned()),
            _ => Err(SETTINGS.join(" or ")),
        };
        Ok(Self { setting: query.with("setting", known)? })
    }
}

/// What became of a decision.
#[derive(Serialize, ToSchema)]
pub(super) struct Decided {
    /// For which queue.
    queue: String,
    /// Whether anything holds otherwise from now on.
    changed: bool,
}

/// What became of a word to a daemon.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    /// Which.
    id: String,
    /// What it was told.
    wanted: &'static str,
    /// Whether it hadn't been told that, or more, before.
    changed: bool,
}

/// When it ends, of what a body says.
pub(super) fn end(time: Option<&str>, until: Option<&str>) -> Result<End, Refusal> {
    let wrong = |name: &str, why: &str| {
        Problem::InvalidBody.because(format!("{name}: {why}")).about(name, None)
    };
    match (time, until) {
        (None, None) => Ok(End::Never),
        (Some(_), Some(_)) => Err(wrong("for", "for or until, and not both")),
        (Some(time), None) => delay(time).map(End::In),
        (None, Some(until)) => {
            moment(until).map(End::At).map_err(|why| wrong("until", &why.to_string()))
        }
    }
}

fn settings(concurrency: Option<u32>, rate_limit: Option<&str>) -> Result<QueueOverride, Refusal> {
    let wrong = |name: &str, why: String| Problem::InvalidBody.because(why).about(name, None);
    if concurrency.is_none() && rate_limit.is_none() {
        return Err(Problem::InvalidBody.because(NOTHING));
    }
    let outside = |jobs: u32| out_of_bounds("queue.concurrency", Amount::Count(u64::from(jobs)));
    if let Some(why) = concurrency.and_then(outside) {
        return Err(wrong("concurrency", why));
    }
    let read = |text: &str| {
        let read = text.parse::<RateLimit>();
        read.map_err(|error| wrong("rate_limit", format!("rate_limit: {error}")))
    };
    Ok(QueueOverride { concurrency, rate_limit: rate_limit.map(read).transpose()? })
}

async fn decide(
    state: &AdminState,
    operation: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<bool, OperationError>>,
) -> Result<bool, Refusal> {
    let decided = state.sessions.within(operation).await;
    decided.map_err(|error| refusal_of_decision(&error))
}

/// Decides something for the queue of this name, for whoever asks, and says which it is and whether that changed anything.
pub(super) async fn for_queue(
    state: &AdminState,
    name: &str,
    (asking, reason): (Asking, Option<String>),
    operation: impl for<'c> FnOnce(
        &'c mut Connection,
        QueueName,
        Asker,
    ) -> BoxFuture<'c, Result<bool, OperationError>>,
) -> Result<(String, bool), Refusal> {
    let (name, asker) = (queue(name)?, asking.because(reason)?);
    let queue = name.to_string();
    Ok((queue, decide(state, move |c| operation(c, name, asker)).await?))
}

/// Decide a queue's concurrency, its rate limit, or both, for every daemon
///
/// It goes before what the daemons' files say, holds at once and for daemons that start, and ends by itself where an end is
/// given. A second decision on a setting takes the place of the first, its end included.
#[utoipa::path(patch, path = "/api/v1/queues/{queue}", operation_id = "override_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"),
        ("If-Match" = Option<String>, Header, description = "Only while nothing has been decided for it since this ETag.")),
    request_body(content = Decision, example = json!({ "concurrency": 2, "rate_limit": "30/m burst 2", "for": "1h",
        "reason": "the provider is slow" })),
    responses((status = 200, description = "It holds.", body = Decided,
        example = json!({ "queue": "default", "changed": true }))))]
pub(in crate::admin) async fn override_queue(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(said): Said<Decision>,
) -> Result<Response, Refusal> {
    let Decision { concurrency, rate_limit, time, until, reason } = said;
    let decided = settings(concurrency, rate_limit.as_deref())?;
    let end = end(time.as_deref(), until.as_deref())?;
    let done = for_queue(&state, &name, (asking, reason), move |c, name, asker| {
        async move { operations::override_queue(c, &name, decided, end, &asker).await }.boxed()
    });
    let (queue, changed) = done.await?;
    shown(&Decided { queue, changed })
}

/// Take away what was decided for a queue: what the daemons' files say holds again
#[utoipa::path(delete, path = "/api/v1/queues/{queue}/overrides", operation_id = "reset_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"), Which,
        ("If-Match" = Option<String>, Header, description = "Only while nothing has been decided for it since this ETag.")),
    request_body(content = Why, example = json!({ "reason": "the provider is well" })),
    responses((status = 200, description = "It is gone.", body = Decided,
        example = json!({ "queue": "default", "changed": true }))))]
pub(in crate::admin) async fn reset(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Which { setting }): Asked<Which>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let done = for_queue(&state, &name, (asking, reason), move |c, name, asker| {
        let reset =
            async move { operations::reset_queue(c, &name, setting.as_deref(), &asker).await };
        reset.boxed()
    });
    let (queue, changed) = done.await?;
    shown(&Decided { queue, changed })
}

/// Stop every daemon from claiming from a queue, and say when nothing of it runs any more
///
/// A pause with a word: `GET` shows the queue as `draining` and then as `drained`. Resuming it ends that.
#[utoipa::path(post, path = "/api/v1/queues/{queue}/drain", operation_id = "drain_queue", tag = "queues",
    params(("queue" = String, Path, description = "Its name.", example = "default"),
        ("If-Match" = Option<String>, Header, description = "Only while nothing has been decided for it since this ETag.")),
    request_body(content = ForAWhile, example = json!({ "reason": "the server moves", "for": "2h" })),
    responses((status = 200, description = "It drains.", body = Decided,
        example = json!({ "queue": "default", "changed": true }))))]
pub(in crate::admin) async fn drain(
    State(state): State<AdminState>,
    InPath(name): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(ForAWhile { time, until, reason }): Said<ForAWhile>,
) -> Result<Response, Refusal> {
    let end = end(time.as_deref(), until.as_deref())?;
    let done = for_queue(&state, &name, (asking, reason), move |c, name, asker| {
        async move { operations::drain_queue(c, &name, end, &asker).await }.boxed()
    });
    let (queue, changed) = done.await?;
    shown(&Decided { queue, changed })
}

async fn tell(
    state: &AdminState,
    id: &str,
    wanted: Wanted,
    (asking, reason): (Asking, Option<String>),
) -> Result<Response, Refusal> {
    let id: i64 = id.parse().map_err(|_| wrong("id", "a daemon's id is a number"))?;
    let asker = asking.because(reason)?;
    let changed = decide(state, move |c| {
        async move { operations::tell_daemon(c, id, wanted, &asker).await }.boxed()
    });
    let changed = changed.await?;
    shown(&Told { id: id.to_string(), wanted: wanted.as_str(), changed })
}

/// Have a daemon claim nothing more, as TSTP has it
///
/// What it runs goes on, and it stays up. It is told by the database, so whichever daemon may be asked.
#[utoipa::path(post, path = "/api/v1/daemons/{id}/quiet", operation_id = "quiet_daemon", tag = "daemons",
    params(("id" = String, Path, description = "Its boot id.", example = "4611686018427387904")),
    request_body(content = Why, example = json!({ "reason": "the machine is slow" })),
    responses((status = 200, description = "It is told.", body = Told,
        example = json!({ "id": "4611686018427387904", "wanted": "quiet", "changed": true }))))]
pub(in crate::admin) async fn quiet(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    tell(&state, &id, Wanted::Quiet, (asking, reason)).await
}

/// Have a daemon end as TERM has it: what runs may finish within `shutdown.grace`
#[utoipa::path(post, path = "/api/v1/daemons/{id}/drain", operation_id = "drain_daemon", tag = "daemons",
    params(("id" = String, Path, description = "Its boot id.", example = "4611686018427387904")),
    request_body(content = Why, example = json!({ "reason": "the machine goes" })),
    responses((status = 200, description = "It is told.", body = Told,
        example = json!({ "id": "4611686018427387904", "wanted": "drain", "changed": true }))))]
pub(in crate::admin) async fn drain_daemon(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    tell(&state, &id, Wanted::Drain, (asking, reason)).await
}

/// Have a daemon end at once, as a second TERM has it
#[utoipa::path(post, path = "/api/v1/daemons/{id}/shutdown", operation_id = "shut_daemon_down", tag = "daemons",
    params(("id" = String, Path, description = "Its boot id.", example = "4611686018427387904")),
    request_body(content = Why, example = json!({ "reason": "it hangs" })),
    responses((status = 200, description = "It is told.", body = Told,
        example = json!({ "id": "4611686018427387904", "wanted": "shutdown", "changed": true }))))]
pub(in crate::admin) async fn shut_down(
    State(state): State<AdminState>,
    InPath(id): InPath,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    tell(&state, &id, Wanted::Shutdown, (asking, reason)).await
}
