//! Handles for the receivers of http kinds.

use super::{catalogue as c, registry::Registry};
use metrics::{Counter, Gauge, Histogram};
use std::time::Duration;

/// How a request to a receiver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// Answered, with this status.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// The connection broke, or the answer wasn't HTTP.
    Broken,
    /// The address may not be reached; nothing was sent.
    Denied,
    /// We broke it off: cancel, shutdown, a lease that was lost.
    Stopped,
}

impl RequestEnd {
    const LABELS: [&str; 10] =
        ["2xx", "3xx", "4xx", "5xx", "timeout", "connect", "tls", "broken", "denied", "stopped"];

    /// The answer's status, where there is one.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// What was wrong, where something was.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::Status(200..=399) => None,
            _ => Some(self.as_str()),
        }
    }

    /// The label's value. What is no final status is no answer that anybody can use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status(200..=299) => "2xx",
            Self::Status(300..=399) => "3xx",
            Self::Status(400..=499) => "4xx",
            Self::Status(500..=599) => "5xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Status(_) | Self::Broken => "broken",
            Self::Denied => "denied",
            Self::Stopped => "stopped",
        }
    }
}

/// How a kind's circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitState {
    /// Every request leaves.
    Closed,
    /// As many as are answered well.
    Half,
    /// None.
    Open,
}

impl CircuitState {
    fn figure(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::Half => 1.0,
            Self::Open => 2.0,
        }
    }
}

/// Handles of one receiver; the default counts nothing.
#[derive(Debug, Clone, Default)]
pub struct HttpHandlerMetrics {
    requests: Vec<(&'static str, Counter)>,
    duration_seconds: Option<Histogram>,
    circuit: Option<Gauge>,
}

impl HttpHandlerMetrics {
    /// Of a kind that has no name of its own here the circuit isn't shown.
    pub(super) fn new(registry: &Registry, kind: Option<&str>, target: &str) -> Self {
        let request =
            |class| (class, registry.counter(&c::HTTP_HANDLER_REQUESTS, &[target, class]));
        let handles = Self {
            requests: RequestEnd::LABELS.into_iter().map(request).collect(),
            duration_seconds: Some(registry.histogram(&c::HTTP_HANDLER_DURATION, &[target])),
            circuit: kind.map(|kind| registry.gauge(&c::CIRCUIT_STATE, &[kind, target])),
        };
        handles.circuit(CircuitState::Closed);
        handles
    }

    /// How the circuit stands.
    pub fn circuit(&self, state: CircuitState) {
        if let Some(circuit) = &self.circuit {
            circuit.set(state.figure());
        }
    }

    /// A request ended.
    pub fn ended(&self, end: RequestEnd, took: Duration) {
        if let Some((_, counter)) = self.requests.iter().find(|(class, _)| *class == end.as_str()) {
            counter.increment(1);
        }
        if let Some(duration) = &self.duration_seconds {
            duration.record(took.as_secs_f64());
        }
    }
}
