//! The collector: one URL that takes OTLP in protobuf over HTTP.
//!
//! Nothing is followed, as with receivers of jobs; but whoever names the collector in the configuration
//! may name one inside, which is where collectors are.

use super::exporter::EXPORT_MAX;
use crate::{
    config::Otlp,
    outbound,
    telemetry::{build, causes},
};
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use reqwest::{
    Client,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use std::{fmt, time::Duration};

/// How long a connection is kept that nobody uses: longer than spans wait for company.
const IDLE: Duration = Duration::from_secs(30);

/// Takes spans.
pub(super) struct Collector {
    client: Client,
    settings: Otlp,
    resource: ResourceAttributesWithSchema,
}

impl Collector {
    /// For spans of the daemon of this name.
    pub(super) fn new(settings: &Otlp, instance: &str) -> Self {
        let client = outbound::client(&settings.authorities)
            .timeout(EXPORT_MAX)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .default_headers(headers(settings))
            .build()
            .expect("everything that could be refused was checked with the configuration");
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "legwork"),
                KeyValue::new("service.version", build::VERSION),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        Self { client, settings: settings.clone(), resource: (&resource).into() }
    }

    /// What log lines call it.
    pub(super) fn target(&self) -> String {
        self.settings.target()
    }

    /// Sends a batch; says why where it wasn't taken.
    pub(super) async fn take(&self, batch: Vec<SpanData>) -> Result<(), String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let sent = self.client.post(self.settings.traces.clone()).body(body).send().await;
        let answer = sent.map_err(|error| causes::told(&error.without_url()))?;
        let status = answer.status();
        // What it says besides, a part that it refused, say, is between it and its operator.
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {status}")) }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The operator's come first, so that none can stand in for what the body is.
fn headers(settings: &Otlp) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        // Both were checked with the configuration.
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name), HeaderValue::from_str(value))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers
}
