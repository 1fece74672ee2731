//! Whose connection is cut, counted and told.
//!
//! What a client does wrong is no news, so that the line is one of level debug; what the counter says is enough to be
//! warned of clients, probes among them, that get no answer.

use super::places::Place;
use crate::telemetry::{
    events,
    metrics::{Cut, CutMetrics},
};
use axum::{http::StatusCode, response::Response};
use std::net::IpAddr;

/// Where they are counted.
#[derive(Debug, Clone)]
pub(super) struct Cuts(pub(super) CutMetrics);

impl Cuts {
    /// A connection is cut, or its request is answered by that.
    pub(super) fn cut(&self, reason: Cut, peer: IpAddr) {
        self.0.cut(reason);
        tracing::debug!(
            event = events::ADMIN_CUT,
            client.address = %peer.to_canonical(),
            reason = reason.as_str(),
            "The admin port cut a connection"
        );
    }

    /// The answer, which may be that the body came too slowly.
    pub(super) fn if_slow(&self, answer: Response, place: &Place) -> Response {
        if answer.status() == StatusCode::REQUEST_TIMEOUT {
            self.cut(Cut::BodySlow, place.peer());
        }
        answer
    }

    /// What became of a connection that ended by itself.
    pub(super) fn ended(&self, ended: Result<(), hyper::Error>, peer: IpAddr) {
        let Err(error) = ended else { return };
        let reason = if error.is_timeout() {
            Cut::HeadSlow
        } else if error.is_parse_too_large() {
            Cut::HeadTooLarge
        } else if error.is_parse() {
            Cut::HeadInvalid
        } else {
            // The client has gone.
            return;
        };
        self.cut(reason, peer);
    }
}
