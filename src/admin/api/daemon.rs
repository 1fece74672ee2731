//! The daemon that answers: ends it, reads its configuration again, shows it, and has it log more for a while.
//!
//! Each goes the way of a signal or of the file, so that there is one way to end and one to reload. What is
//! done is done to this process alone; `daemons` asks others, by the database.

use super::{
    super::{
        controls::{OfFile, Reloaded, Stop, Wrong},
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    asking::{Asking, Why},
    body::Said,
    noted::{noted, reload_noted, reloads_are_many},
    query::{Asked, Nothing},
    shown,
};
use crate::{
    config::{self, Shown},
    telemetry::logs::{Filter, Level},
};
use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;

/// Where a configuration is looked at.
pub(in crate::admin) const VALIDATE: &str = "/api/v1/config/validate";
/// Most bytes of a request for that: the longest file, of which each byte may be written as `\u0020`, and what is round it.
pub(in crate::admin) const VALIDATE_MAX_BYTES: u64 = 6 * config::FILE_MAX_BYTES + 1024;
/// How long a reload is waited for: it takes milliseconds, of as many queues and kinds as there may be a while, and a
/// daemon that waits for its database at its start reads once it has it. It goes on beyond that, and is noted.
const RELOAD_WITHIN: Duration = Duration::from_mins(1);
/// How long another filter of the log holds where nothing is said.
const ASKED_FOR: Duration = Duration::from_mins(10);
/// How long it may hold.
const ASKED_MAX: Duration = Duration::from_hours(24);

/// What is said where others wait for one already.
const CROWDED: &str = "others wait for the daemon to read its configuration again, which it does once for all of them: it isn't asked once more";
/// What is said of a reload that the end of the daemon cuts short.
const CUT_SHORT: &str = "the daemon ends, before it was done with reading its configuration again: it reads it at its next start";

/// What may be wrong with whatever is asked of the daemon itself.
pub(in crate::admin) const OF_THE_DAEMON: &[Problem] =
    &[Problem::UnknownParameter, Problem::InvalidParameter, Problem::OfTheProgram];

/// The same where it is changed.
pub(in crate::admin) const OF_A_COMMAND: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::OfTheProgram,
];

/// The same of a reload.
pub(in crate::admin) const OF_A_RELOAD: &[Problem] = &[
    Problem::UnknownParameter,
    Problem::InvalidParameter,
    Problem::InvalidBody,
    Problem::NotJson,
    Problem::OfTheProgram,
    Problem::NotReloaded,
];

/// The same of its end.
pub(in crate::admin) const OF_AN_END: &[Problem] =
    &[Problem::UnknownParameter, Problem::InvalidParameter, Problem::InvalidBody, Problem::NotJson];

/// How a daemon is to end.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Mode {
    /// What runs may finish within `shutdown.grace`, as after TERM; asked again, that is all that happens.
    #[default]
    Drain,
    /// At once, as after a second TERM.
    Now,
}

/// How the daemon is to end.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Shutdown {
    /// `drain` where nothing is said.
    #[serde(default)]
    #[schema(nullable = false)]
    mode: Mode,
    /// Why, for the audit; at most 500 bytes.
    reason: Option<String>,
}

/// How the daemon ends.
#[derive(Serialize, ToSchema)]
pub(super) struct Stopping {
    /// How.
    mode: Mode,
}

/// End the daemon that answers
///
/// The answer comes before the end. `drain`, asked again or beside TERM or `POST /daemons/{id}/drain`, changes nothing
/// more: only `now`, `POST /daemons/{id}/shutdown` or a second TERM or INT cuts running jobs short.
#[utoipa::path(post, path = "/api/v1/shutdown", operation_id = "shutdown", tag = "daemon",
    request_body(content = Shutdown, example = json!({ "mode": "drain" })),
    responses((status = 200, description = "It ends.", body = Stopping, example = json!({ "mode": "drain" }))))]
pub(in crate::admin) async fn shutdown(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Shutdown { mode, reason }): Said<Shutdown>,
) -> Result<Response, Refusal> {
    noted(&state, "shutdown", json!({ "mode": mode }), asking.because(reason)?).await;
    (state.controls.stop)(match mode {
        Mode::Drain => Stop::Drain,
        Mode::Now => Stop::Now,
    });
    shown(&Stopping { mode })
}

/// The configuration that holds.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct Configuration {
    /// The file, if there is one.
    file: Option<String>,
    /// Each value.
    values: Vec<OneValue>,
    /// Keys that the file had otherwise at the last reload, and that hold with the next start.
    needs_restart: Vec<String>,
}

/// One value of the configuration.
#[derive(Serialize, ToSchema)]
#[schema(as = ConfigurationValue)]
pub(super) struct OneValue {
    /// As mistakes name it: `[[kind]] "resize".timeout`.
    key: String,
    /// As the file would have it; secrets are blotted out.
    value: String,
    /// `default`, `legwork.toml:12`, `environment LEGWORK_…`, `flag --…`.
    source: String,
}

/// The configuration that holds, each value with its source
///
/// What `legwork config show` prints, of the daemon that answers: what it read at its start and at reloads since.
/// Secrets are blotted out. What operators have decided for a queue is shown with the queue.
#[utoipa::path(get, path = "/api/v1/config", operation_id = "show_config", tag = "daemon",
    responses((status = 200, description = "It.", body = Configuration, example = json!({
        "file": "/etc/legwork/legwork.toml",
        "values": [{ "key": "daemon.lease_ttl", "value": "\"60s\"", "source": "legwork.toml:12" }],
        "needs_restart": ["claim.batch"],
    }))))]
pub(in crate::admin) async fn configuration(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    shown(&holding(&state)?)
}

/// The configuration that holds, as it may be shown.
pub(in crate::admin) fn holding(state: &AdminState) -> Result<Configuration, Problem> {
    let held = of_file(state)?.held.borrow().clone();
    let value = |Shown { key, value, source }| OneValue { key, value, source };
    Ok(Configuration {
        file: held.file,
        values: held.values.into_iter().map(value).collect(),
        needs_restart: held.needs_restart,
    })
}

fn of_file(state: &AdminState) -> Result<&OfFile, Problem> {
    state.controls.configuration.as_ref().ok_or(Problem::OfTheProgram)
}

/// Read the configuration again, as HUP has it
///
/// Waits until that is done, for a minute at most, and says what came of it; the audit says so as well, whether or not
/// anybody waits still. Where anything is wrong, everything stays as it was, `reloaded` is false, and `mistakes` are all
/// that there are.
#[utoipa::path(post, path = "/api/v1/config/reload", operation_id = "reload_config", tag = "daemon",
    request_body(content = Why, example = json!({ "reason": "ticket 812" })),
    responses((status = 200, description = "What came of it.", body = Reloaded, example = json!({
        "reloaded": true, "changed": ["[[queue]] \"default\".concurrency"], "needs_restart": ["claim.batch"],
        "warnings": [], "mistakes": [],
    }))))]
pub(in crate::admin) async fn reload(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    let reload = &of_file(&state)?.reload;
    if reloads_are_many(&state) {
        return Err(Problem::NotReloaded.because(CROWDED));
    }
    let told = reload();
    match timeout(RELOAD_WITHIN, reload_noted(&state, told, asker)).await {
        Ok(Ok(reloaded)) => shown(&reloaded),
        // Nobody will say any more.
        Ok(Err(_)) => Err(Problem::DaemonEnds.because(CUT_SHORT)),
        Err(_) => Err(Problem::NotReloaded.into()),
    }
}

/// A configuration that somebody wants to have looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Proposed {
    /// The text of a `legwork.toml`.
    toml: String,
}

/// What a configuration would come to.
#[derive(Serialize, ToSchema)]
pub(super) struct Validated {
    /// Whether it could be taken.
    valid: bool,
    /// What is allowed and should be known.
    warnings: Vec<String>,
    /// What is wrong.
    mistakes: Vec<Wrong>,
}

/// Look at a configuration without taking it
///
/// It is read as the daemon's own file would be, beside the same environment and flags; nothing changes. Like a file it has
/// at most 1 MiB.
#[utoipa::path(post, path = "/api/v1/config/validate", operation_id = "validate_config", tag = "daemon",
    request_body(content = Proposed, example = json!({ "toml": "[claim]\nbatch = 500\n" })),
    responses((status = 200, description = "What it would come to.", body = Validated, example = json!({
        "valid": false, "warnings": [],
        "mistakes": [{ "message": "claim.batch: 0 isn't 1 to 5000", "place": "body:2" }],
    }))))]
pub(in crate::admin) async fn validate(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(Proposed { toml }): Said<Proposed>,
) -> Result<Response, Refusal> {
    let source = of_file(&state)?.source.clone().with_text(toml);
    // Files that it names are looked at, and a disk may hang.
    let read = spawn_blocking(move || config::load(&source)).await;
    let read = read.map_err(|_| Problem::InvalidBody.because("it can't be read"))?;
    shown(&match read {
        Ok(loaded) => Validated { valid: true, warnings: loaded.warnings, mistakes: Vec::new() },
        Err(wrong) => {
            let mistakes = wrong
                .iter()
                .map(|one| Wrong { message: one.message.clone(), place: one.place.clone() });
            Validated { valid: false, warnings: Vec::new(), mistakes: mistakes.collect() }
        }
    })
}

/// By what the log goes.
#[derive(Serialize, ToSchema)]
pub(super) struct LogLevel {
    /// Which lines appear.
    filter: String,
    /// `log.filter` of the configuration.
    configured: String,
    /// Since when another one holds; null where `log.filter` does.
    since: Option<String>,
    /// When it ends by itself.
    until: Option<String>,
    /// What of it is hardly ever meant.
    warnings: Vec<String>,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        let Level { filter, configured, since, until } = level;
        let asked_for = since.is_some().then(|| config::filter_silence(&filter)).flatten();
        let warnings = config::filter_doubts(&filter).chain(asked_for).collect();
        Self { filter, configured, since, until, warnings }
    }
}

/// Another filter for a while.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogFilter)]
pub(in crate::admin) struct Other {
    /// As `log.filter` has it: `info,legwork::claimer=debug`; at most 1024 bytes.
    filter: String,
    /// For how long: `90s`, `1h`; from 1 s to 24 h, 10 minutes where nothing is said.
    #[serde(rename = "for")]
    time: Option<String>,
    /// Why, for the audit; at most 500 bytes.
    reason: Option<String>,
}

/// Which lines the log of the daemon that answers has, and until when
#[utoipa::path(get, path = "/api/v1/log-level", operation_id = "show_log_level", tag = "daemon",
    responses((status = 200, description = "Them.", body = LogLevel, example = json!({
        "filter": "info", "configured": "info", "since": null, "until": null, "warnings": [],
    }))))]
pub(in crate::admin) async fn log_level(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    shown(&LogLevel::from(filter(&state)?.level()))
}

fn filter(state: &AdminState) -> Result<&Filter, Refusal> {
    state.controls.filter.as_ref().ok_or_else(|| Problem::OfTheProgram.into())
}

/// Have the daemon that answers log by another filter for a while
///
/// It goes back to `log.filter` by itself, whoever is gone by then.
#[utoipa::path(put, path = "/api/v1/log-level", operation_id = "change_log_level", tag = "daemon",
    request_body(content = Other, example = json!({ "filter": "info,legwork::claimer=debug", "for": "10m" })),
    responses((status = 200, description = "What holds.", body = LogLevel, example = json!({
        "filter": "info,legwork::claimer=debug", "configured": "info",
        "since": "2026-03-01T12:00:00Z", "until": "2026-03-01T12:10:00Z", "warnings": [],
    }))))]
pub(in crate::admin) async fn change_log_level(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Other { filter: text, time, reason }): Said<Other>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    let time = time.as_deref().map_or(Ok(ASKED_FOR), time_of)?;
    let wrong = |why: &str| {
        let why = format!("filter: write it as log.filter, info,legwork=debug, say: {why}");
        Problem::InvalidBody.because(why).about("filter", None)
    };
    config::check_filter(&text).map_err(|why| wrong(&why))?;
    let level = filter(&state)?.ask(&text, time).map_err(|error| wrong(&error.to_string()))?;
    let detail = json!({ "filter": level.filter, "until": level.until });
    noted(&state, "log_level", detail, asker).await;
    shown(&LogLevel::from(level))
}

/// Have the daemon that answers log by `log.filter` again, before its time
///
/// Where that holds already nothing changes, and nothing is noted.
#[utoipa::path(delete, path = "/api/v1/log-level", operation_id = "reset_log_level", tag = "daemon",
    request_body(content = Why, example = json!({ "reason": "it is found" })),
    responses((status = 200, description = "What holds.", body = LogLevel, example = json!({
        "filter": "info", "configured": "info", "since": null, "until": null, "warnings": [],
    }))))]
pub(in crate::admin) async fn reset_log_level(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    asking: Asking,
    Said(Why { reason }): Said<Why>,
) -> Result<Response, Refusal> {
    let asker = asking.because(reason)?;
    let was = filter(&state)?.level();
    // What is configured was read before.
    let taken = filter(&state)?.take_back();
    if taken.map_err(|error| Problem::InvalidBody.because(error.to_string()))? {
        noted(&state, "log_level_reset", json!({ "was": was.filter }), asker).await;
    }
    shown(&LogLevel::from(filter(&state)?.level()))
}

fn time_of(text: &str) -> Result<Duration, Refusal> {
    let time = humantime::parse_duration(text).ok();
    let time = time.filter(|time| (Duration::from_secs(1)..=ASKED_MAX).contains(time));
    time.ok_or_else(|| {
        let why = "for has to be from 1 s to 24 h, written as 90s, 10m or 2h";
        Problem::InvalidBody.because(why).about("for", None)
    })
}
