//! Why there is no answer, and what that means for the job.

use super::circuit::Sign;
use crate::{
    config::Denied,
    handlers::shortage::{self, Shortage},
    job::{DiscardReason, JobError, Outcome},
    outbound,
    telemetry::{causes, events, metrics::RequestEnd},
};
use hyper_util::client::legacy;
use std::{error::Error, io, time::Duration};

/// Why a request has no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The name stands for an address that the kind may not reach; nothing was sent.
    #[error("it may not be reached: {0}")]
    Denied(Denied),
    /// The daemon lacks what it takes to make a connection.
    #[error("no connection could be made: {1}")]
    Shortage(Shortage, io::Error),
    /// Not connected in time.
    #[error("no connection in time")]
    Slow,
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// No TLS session: a certificate that isn't trusted, a version that isn't spoken.
    #[error("no TLS session: {0}")]
    Tls(String),
    /// Connected, and no answer began in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// Connected, and the connection had no room for one more request for as long as that: nothing was sent.
    #[error("nothing was sent: no stream of the connection was free within {0:?}")]
    Crowded(Duration),
    /// Nothing was sent, or the receiver says that it has looked at nothing of it.
    #[error("nothing was sent: {0}")]
    Unsent(String),
    /// A header of the kind's settings that no request can carry; nothing was sent.
    #[error("nothing was sent: {0:?} can't be a header with the value that it has")]
    Header(String),
    /// An answer began and didn't end in time.
    #[error("the answer's body wasn't there within {0:?}")]
    Unfinished(Duration),
    /// The connection broke under the request or its answer, or the answer wasn't HTTP: whether the receiver
    /// did its work nobody knows.
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

impl Failure {
    /// Of a request that has no answer.
    pub(super) fn of_request(error: &legacy::Error, has_left: bool) -> Self {
        let is_refused = cause::<h2::Error>(error).is_some_and(|error| {
            let reason = error.reason().filter(|_| error.is_remote());
            (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
        });
        match Self::of(error, error.is_connect()) {
            Self::Broken(text) if is_refused || !has_left => Self::Unsent(text),
            other => other,
        }
    }

    /// Of an answer that has begun.
    pub(super) fn of_answer(error: &hyper::Error) -> Self {
        Self::of(error, false)
    }

    /// Looks through the causes for what matters. None of them tells the URL, whose path may hold a secret.
    fn of(error: &(dyn Error + 'static), is_connect: bool) -> Self {
        if let Some(denied) = cause::<Denied>(error) {
            return Self::Denied(denied.clone());
        }
        if let Some((shortage, io)) = shortage_of(error) {
            return Self::Shortage(shortage, io);
        }
        let text = causes::told(error);
        if let Some(tls) = cause::<rustls::Error>(error) {
            return Self::Tls(tls.to_string());
        }
        match is_connect {
            true if causes::chain(error).any(outbound::is_late) => Self::Slow,
            true => Self::Connect(text),
            false => Self::Broken(text),
        }
    }

    /// For metrics.
    pub(super) fn end(&self) -> RequestEnd {
        match self {
            Self::Denied(_) => RequestEnd::Denied,
            Self::Shortage(..) | Self::Connect(_) => RequestEnd::Connect,
            Self::Tls(_) => RequestEnd::Tls,
            Self::Slow | Self::Silent(_) | Self::Crowded(_) | Self::Unfinished(_) => {
                RequestEnd::Timeout
            }
            Self::Unsent(_) | Self::Header(_) | Self::Broken(_) => RequestEnd::Broken,
        }
    }

    /// What it says of the receiver.
    pub(super) fn sign(&self) -> Sign {
        match self {
            Self::Denied(_) | Self::Shortage(..) | Self::Crowded(_) | Self::Header(_) => {
                Sign::Silent
            }
            Self::Connect(_)
            | Self::Tls(_)
            | Self::Slow
            | Self::Silent(_)
            | Self::Unfinished(_)
            | Self::Unsent(_)
            | Self::Broken(_) => Sign::Ill,
        }
    }

    /// All but three are worth another try.
    pub(super) fn outcome(self, target: &str) -> Outcome {
        let error = JobError::new(format!("{target}: {self}"));
        match &self {
            Self::Denied(denied) => {
                tracing::error!(
                    event = events::REQUEST_FAILED,
                    error = denied as &dyn Error,
                    "the receiver's address may not be reached; the job is discarded",
                );
                Outcome::Discard { reason: DiscardReason::EgressDenied, error }
            }
            Self::Shortage(shortage, io) => shortage.put_off(events::REQUEST_FAILED, io),
            Self::Crowded(_) => {
                tracing::warn!(
                    event = events::REQUEST_FAILED,
                    error = &self as &dyn Error,
                    "the receiver takes fewer requests at once than there are; the job is parked, uncharged",
                );
                Outcome::Park { delay: shortage::a_moment() }
            }
            _ => Outcome::Retry { error, after: None },
        }
    }
}

/// The first cause of a type.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes::chain(error).find_map(|error| error.downcast_ref())
}

fn shortage_of(error: &(dyn Error + 'static)) -> Option<(Shortage, io::Error)> {
    let codes =
        causes::chain(error).filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
    let mut errors = codes.map(io::Error::from_raw_os_error);
    errors.find_map(|io| Some((Shortage::of(&io)?, io)))
}
