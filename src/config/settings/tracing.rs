//! The keys of `[tracing]`, checked.

use ::url::Url;
use rustls::pki_types::CertificateDer;
use std::{fmt, time::Duration};

/// `[tracing]`
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// Where spans go; absent = none are made.
    pub otlp: Option<Otlp>,
    /// Of the traces that begin with an attempt, the share that is sampled.
    pub sample_ratio: f64,
    /// How old a job may be for its first attempt to stand in its producer's trace.
    pub parent_max_delay: Duration,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { otlp: None, sample_ratio: 0.1, parent_max_delay: Duration::from_hours(1) }
    }
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, PartialEq)]
pub struct Otlp {
    /// Where traces are sent.
    pub traces: Url,
    /// What goes with each request, for who asks for a key.
    pub headers: Vec<(String, String)>,
    /// Authorities that are trusted besides the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Otlp {
    /// Scheme, host and port: what log lines call it. A path may hold a secret.
    pub fn target(&self) -> String {
        self.traces.origin().ascii_serialization()
    }
}

impl fmt::Debug for Otlp {
    /// Without the headers' values and the path, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Otlp")
            .field("target", &self.target())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}
