//! Who asks for a change, as it is noted: role and token, the request's id, and the reason that the body gives; and of
//! which version, where that is said.

use super::{
    super::{
        access::Actor,
        problem::{Problem, Refusal},
        request::RequestId,
    },
    tags::Expected,
};
use crate::postgres::operations::{Asker, REASON_MAX_BYTES};
use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;
use std::convert::Infallible;
use utoipa::ToSchema;

/// Whoever asks, who has been let in.
pub(in crate::admin) struct Asking(Asker);

impl Asking {
    /// For this reason, if any was given.
    pub(super) fn because(self, reason: Option<String>) -> Result<Asker, Refusal> {
        if let Some(length) = reason.as_ref().map(String::len)
            && !(1..=REASON_MAX_BYTES).contains(&length)
        {
            let why = format!("reason: from 1 to {REASON_MAX_BYTES} bytes, or none");
            return Err(Problem::InvalidBody.because(why).about("reason", None));
        }
        if reason.as_ref().is_some_and(|reason| reason.contains('\0')) {
            let why = "reason: there is a NUL in it";
            return Err(Problem::InvalidBody.because(why).about("reason", None));
        }
        Ok(Asker { reason, ..self.0 })
    }
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Expected(only_if) = Expected::from_request_parts(parts, state).await?;
        let actor = parts.extensions.get().map(|Actor(actor)| actor.as_str());
        let request_id = parts.extensions.get().map(|RequestId(id)| id.clone());
        Ok(Self(Asker { request_id, only_if, ..actor.map(Asker::named).unwrap_or_default() }))
    }
}

/// Why something is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason)]
pub(in crate::admin) struct Why {
    /// For the next person, and for the audit; at most 500 bytes.
    pub(super) reason: Option<String>,
}
