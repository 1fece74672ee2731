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
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

/// An answer before it has a form.
struct Answer {
    word: &'static str,
    ok: bool,
    checks: Vec<Checked>,
    /// What doesn't make it fail.
    warnings: BTreeMap<&'static str, String>,
}

/// Whether a restart would help: fails only when the supervisor's loop hangs.
pub(super) async fn live(state: State<AdminState>, asked: Asked) -> Response {
    let failing = state.health.dead();
    let ok = failing.is_none();
    let word = if ok { "live" } else { "not live" };
    let checks = vec![Checked { name: "supervisor", failing }];
    Answer { word, ok, checks, warnings: BTreeMap::new() }.shown(&asked)
}

/// Whether the daemon takes jobs, and if not, why.
pub(super) async fn ready(state: State<AdminState>, asked: Asked) -> Response {
    let mut checks = vec![phase_check(&state.health, Phase::Ready)];
    checks.extend(state.health.checks());
    let ok = checks.iter().all(|check| check.failing.is_none());
    let word = if ok { "ready" } else { "not ready" };
    Answer { word, ok, checks, warnings: state.health.warnings() }.shown(&asked)
}

/// Whether the daemon has started.
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
        let check = |check: &Checked| {
            let state = match &check.failing {
                None => json!({ "ok": true }),
                Some(reason) => json!({ "ok": false, "reason": reason }),
            };
            (check.name.to_owned(), state)
        };
        let checks: Map<String, Value> = self.checks.iter().map(check).collect();
        let mut answer = json!({ "status": self.word, "checks": checks });
        if !self.warnings.is_empty() {
            answer["warnings"] = json!(self.warnings);
        }
        answer.to_string()
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
