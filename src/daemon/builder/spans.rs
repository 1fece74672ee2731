//! What a program says of its spans, held to what `[tracing]` is held to.

use crate::config::{
    Amount, Mistakes, Otlp, Tracing, certificates, collector_header, collector_url, out_of_bounds,
};
use std::{fmt, path::PathBuf, time::Duration};

/// Where spans go, and how many. What isn't said is what `[tracing]` has.
///
/// ```
/// use legwork::{Daemon, TracingOptions};
/// use std::time::Duration;
///
/// let daemon = Daemon::builder()
///     .database_url("postgres:///app?user=app")
///     .tracing(
///         TracingOptions::to("http://localhost:4318")
///             .header("x-tenant", "shop")
///             .sample_ratio(0.5)
///             .parent_max_delay(Duration::from_secs(600)),
///     )
///     .build();
/// assert!(daemon.is_ok());
/// ```
#[derive(Clone)]
#[must_use = "hand it to `DaemonBuilder::tracing`"]
pub struct TracingOptions {
    endpoint: String,
    headers: Vec<(String, String)>,
    ca_file: Option<PathBuf>,
    sample_ratio: Option<f64>,
    parent_max_delay: Option<Duration>,
}

impl TracingOptions {
    /// To a collector that takes OTLP over HTTP in protobuf; `/v1/traces` is put behind its endpoint.
    pub fn to(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into();
        Self {
            endpoint,
            headers: Vec::new(),
            ca_file: None,
            sample_ratio: None,
            parent_max_delay: None,
        }
    }

    /// A header that goes with each request, for a collector that asks for a key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Certificates in PEM of authorities that are trusted besides the public ones; the path is absolute.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Of the traces that begin with an attempt, the share that is sampled: 0 … 1.
    pub fn sample_ratio(mut self, share: f64) -> Self {
        self.sample_ratio = Some(share);
        self
    }

    /// How old a job may be for its first attempt to stand in its producer's trace.
    pub fn parent_max_delay(mut self, age: Duration) -> Self {
        self.parent_max_delay = Some(age);
        self
    }

    fn collector(&self) -> Result<Otlp, String> {
        let traces = collector_url(&self.endpoint, false)
            .map_err(|why| format!("the collector's endpoint can't be used: {why}"))?;
        let checked = |(name, value): &(String, String)| {
            let refused =
                || format!("header {name:?} can't be sent: name and value are printable ASCII");
            collector_header(name, value.clone()).ok_or_else(refused)
        };
        let headers = self.headers.iter().map(checked).collect::<Result<_, _>>()?;
        let authorities =
            self.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        Ok(Otlp { traces, headers, authorities })
    }
}

impl fmt::Debug for TracingOptions {
    /// Without what may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracingOptions")
            .field("sample_ratio", &self.sample_ratio)
            .field("parent_max_delay", &self.parent_max_delay)
            .finish_non_exhaustive()
    }
}

/// Lays the options over the settings.
pub(super) fn trace(
    settings: &mut Tracing,
    options: Option<&TracingOptions>,
    mistakes: &mut Mistakes,
) {
    let Some(options) = options else { return };
    let mut refuse = |why: String| mistakes.push(why, Some("Daemon::builder().tracing"));
    match options.collector() {
        Ok(collector) => settings.otlp = Some(collector),
        Err(why) => refuse(why),
    }
    let ratio = options.sample_ratio.map(Amount::Number);
    let delay = options.parent_max_delay.map(Amount::Time);
    let given = [("tracing.sample_ratio", ratio), ("tracing.parent_max_delay", delay)];
    let wrong = given.into_iter().filter_map(|(key, amount)| out_of_bounds(key, amount?));
    wrong.for_each(&mut refuse);
    settings.sample_ratio = options.sample_ratio.unwrap_or(settings.sample_ratio);
    settings.parent_max_delay = options.parent_max_delay.unwrap_or(settings.parent_max_delay);
}
