//! The collector: one URL that takes OTLP in protobuf over HTTP.
//!
//! Nothing is followed, as with receivers of jobs; but whoever names the collector in the configuration
//! may name one inside, which is where collectors are.

use super::exporter::EXPORT_MAX;
use crate::{
    config::Otlp,
    outbound::{Client, Incoming, Resolver, Start, Terms},
    telemetry::{build, causes},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, Uri,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// How long a connection is kept that nobody uses: longer than spans wait for company.
const IDLE: Duration = Duration::from_secs(30);

/// Longest answer that is read, in bytes: two numbers and a sentence.
const ANSWER_MAX: usize = 64 * 1024;

/// Most that the headers of an HTTP/2 answer may take, in bytes.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;

/// What a collector that took a batch didn't take of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) spans: u64,
    /// In its words.
    pub(super) why: String,
}

/// Takes spans.
pub(super) struct Collector {
    client: Client<Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    settings: Otlp,
    resource: ResourceAttributesWithSchema,
}

impl Collector {
    /// For spans of the daemon of this name, over connections that are started so.
    pub(super) fn new(settings: &Otlp, instance: &str, start: Start) -> Self {
        let terms = Terms {
            authorities: &settings.authorities,
            // Whoever names the collector may name one inside.
            resolver: Resolver::judging(None),
            connect_timeout: EXPORT_MAX,
            idle: IDLE,
            idle_max: 1,
            headers_max_bytes: HEADERS_MAX_BYTES,
        };
        let client = Client::new(&terms, start);
        let uri = settings.traces.as_str().parse();
        let uri = uri.expect("that it can be asked for was checked with the configuration");
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "legwork"),
                KeyValue::new("service.version", build::VERSION),
                KeyValue::new("service.instance.id", instance.to_owned()),
            ])
            .build();
        let (settings, headers) = (settings.clone(), headers(settings));
        Self { client, uri, headers, settings, resource: (&resource).into() }
    }

    /// What log lines call it.
    pub(super) fn target(&self) -> String {
        self.settings.target()
    }

    /// Sends a batch; says which part was rejected, or why none was taken.
    pub(super) async fn take(&self, batch: Vec<SpanData>) -> Result<Option<Rejected>, String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let taken = timeout(EXPORT_MAX, async {
            let answer = self.client.send(request).await;
            let answer = answer.map_err(|error| causes::told(&error))?;
            let status = answer.status();
            if status.is_success() {
                Ok(rejected(answer).await)
            } else {
                Err(format!("HTTP {status}"))
            }
        });
        taken.await.unwrap_or_else(|_| Err(format!("no answer within {EXPORT_MAX:?}")))
    }
}

/// What the answer says of spans that it rejects. One that can't be read says nothing: the status has said
/// that the batch was taken.
async fn rejected(answer: Response<Incoming>) -> Option<Rejected> {
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.ok()?.to_bytes();
    let part = ExportTraceServiceResponse::decode(body).ok()?.partial_success?;
    let spans = u64::try_from(part.rejected_spans).ok().filter(|spans| *spans > 0)?;
    let why = match part.error_message.as_str() {
        "" => format!("the collector rejected {spans} spans of a batch and says no reason"),
        why => format!("the collector rejected {spans} spans of a batch: {why}"),
    };
    Some(Rejected { spans, why })
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
