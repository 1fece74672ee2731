//! The three questions of a probe, answered from memory.
//!
//! Machines look at the status alone: 200 or 503. People get the reasons as text, programs that
//! accept JSON get the same as an object; `?verbose` lists the checks that are well, too.

use super::routes::AdminState;
use crate::telemetry::health::{Checked, Health, Phase};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};
use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Response as Described, ResponseBuilder,
        Type, schema::Schema,
    },
};

/// An answer before it has a form.
struct Answer {
    word: &'static str,
    ok: bool,
    checks: Vec<Checked>,
    /// What doesn't make it fail.
    warnings: BTreeMap<&'static str, String>,
}

/// How the daemon is, for programs.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
struct Shown<'a> {
    /// It in a word or two.
    #[schema(schema_with = words)]
    status: &'static str,
    /// What was looked at.
    checks: BTreeMap<&'a str, ShownCheck<'a>>,
    /// What people should know and no check fails for, by what it is about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    warnings: &'a BTreeMap<&'static str, String>,
}

/// One thing that was looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = Check)]
struct ShownCheck<'a> {
    /// Whether it is well.
    ok: bool,
    /// Why it isn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
}

fn words() -> Object {
    let words = ["live", "not live", "ready", "not ready", "started", "starting"];
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

/// Whether a restart would help
///
/// Fails only when the supervisor's loop hangs.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "live",
    tag = "health",
    params(Verbose),
    responses(Answers)
)]
pub(super) async fn live(state: State<AdminState>, asked: Asked) -> Response {
    let failing = state.health.dead();
    let ok = failing.is_none();
    let word = if ok { "live" } else { "not live" };
    let checks = vec![Checked { name: "supervisor", failing }];
    Answer { word, ok, checks, warnings: BTreeMap::new() }.shown(&asked)
}

/// Whether a restart would help
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "health",
    params(Verbose),
    responses(Answers)
)]
pub(super) async fn livez(state: State<AdminState>, asked: Asked) -> Response {
    live(state, asked).await
}

/// Whether the daemon takes jobs
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "health",
    params(Verbose),
    responses(Answers)
)]
pub(super) async fn readyz(state: State<AdminState>, asked: Asked) -> Response {
    ready(state, asked).await
}

/// Whether the daemon takes jobs
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "ready",
    tag = "health",
    params(Verbose),
    responses(Answers)
)]
pub(super) async fn ready(state: State<AdminState>, asked: Asked) -> Response {
    let mut checks = vec![phase_check(&state.health, Phase::Ready)];
    checks.extend(state.health.checks());
    let ok = checks.iter().all(|check| check.failing.is_none());
    let word = if ok { "ready" } else { "not ready" };
    Answer { word, ok, checks, warnings: state.health.warnings() }.shown(&asked)
}

/// Whether the daemon has started
#[utoipa::path(
    get,
    path = "/health/startup",
    operation_id = "startup",
    tag = "health",
    params(Verbose),
    responses(Answers)
)]
pub(super) async fn startup(state: State<AdminState>, asked: Asked) -> Response {
    let ok = state.health.started();
    let checks = if ok { Vec::new() } else { vec![phase_check(&state.health, Phase::Ready)] };
    let word = if ok { "started" } else { "starting" };
    Answer { word, ok, checks, warnings: BTreeMap::new() }.shown(&asked)
}

fn phase_check(health: &Health, wanted: Phase) -> Checked {
    let phase = health.phase();
    let failing = (phase != wanted).then(|| format!("the daemon is {}", phase.as_str()));
    Checked { name: "phase", failing }
}

/// How people want the answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "it describes what `Asked` reads: whether it is there, whatever its value"
)]
struct Verbose {
    /// Lists in plain text the checks that are well, too.
    #[param(example = "", allow_reserved = false)]
    verbose: Option<String>,
}

/// Each probe's answers, which differ in their status and their words alone.
struct Answers;

impl IntoResponses for Answers {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let content = |example: Value| {
            let schema = Ref::from_schema_name("Health");
            ContentBuilder::new().schema(Some(schema)).example(Some(example)).build()
        };
        let text = |example: &str| {
            let schema = ObjectBuilder::new().schema_type(Type::String);
            ContentBuilder::new().schema(Some(schema)).example(Some(example.into())).build()
        };
        let described = |meaning, example, said| {
            let built = ResponseBuilder::new().description(meaning);
            let built = built.content("application/json", content(example));
            RefOr::T(built.content("text/plain", text(said)).build())
        };
        let pool = json!({ "ok": false, "reason": "connection refused" });
        let well = json!({ "status": "ready", "checks": { "pool": { "ok": true } } });
        let ill = json!({ "status": "not ready", "checks": { "pool": pool } });
        let said = "[-]pool failed: connection refused\nnot ready\n";
        let so = described("So it is.", well, "ready\n");
        let not = described("It isn't; the body says why.", ill, said);
        BTreeMap::from([("200".to_owned(), so), ("503".to_owned(), not)])
    }
}

/// The shapes that those refer to.
pub(super) fn schemas() -> [(String, RefOr<Schema>); 2] {
    [("Health".to_owned(), Shown::schema()), ("Check".to_owned(), ShownCheck::schema())]
}

/// How the answer is wanted.
pub(super) struct Asked {
    verbose: bool,
    json: bool,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        // A query that can't be read asks for nothing.
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let verbose = query.is_ok_and(|query| query.contains_key("verbose"));
        Ok(Self { verbose, json: accepts_json(&parts.headers) })
    }
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

impl Answer {
    fn shown(&self, asked: &Asked) -> Response {
        let status = if self.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let (kind, body) = if asked.json {
            ("application/json", self.json())
        } else {
            ("text/plain; charset=utf-8", self.text(asked.verbose))
        };
        let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
        (status, headers, body).into_response()
    }

    fn json(&self) -> String {
        let checks = self.checks.iter().map(|Checked { name, failing }| {
            (*name, ShownCheck { ok: failing.is_none(), reason: failing.as_deref() })
        });
        let shown = Shown { status: self.word, checks: checks.collect(), warnings: &self.warnings };
        // Maps of texts have a form in JSON.
        serde_json::to_string(&shown).unwrap_or_default()
    }

    /// `[+]pool ok`, as Kubernetes' own probes show it.
    fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for check in &self.checks {
            let written = match &check.failing {
                Some(reason) => writeln!(text, "[-]{} failed: {reason}", check.name),
                None if verbose => writeln!(text, "[+]{} ok", check.name),
                None => Ok(()),
            };
            debug_assert!(written.is_ok(), "writing to a String can't fail");
        }
        for (about, warning) in &self.warnings {
            let written = writeln!(text, "[!]{about}: {warning}");
            debug_assert!(written.is_ok(), "writing to a String can't fail");
        }
        text + self.word + "\n"
    }
}
