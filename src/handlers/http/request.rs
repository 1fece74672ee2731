//! What a request carries besides the payload: who asks, for which attempt, and until when.

use super::{failure::Failure, signature};
use crate::{
    config::HttpSettings, executor::Context, handlers::wall_clock, telemetry::spans::CallSpan,
};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

/// Every header that is ours to give. The kind's own come first, so that none can stand in for another
/// attempt's; their names were checked with the configuration.
pub(super) fn headers(context: &Context, settings: &HttpSettings) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let put = put(&mut headers, name, value);
        put.ok_or_else(|| Failure::Header(name.clone()))?;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    for (name, value) in about(context) {
        put(&mut headers, name, &value);
    }
    for (name, value) in webhook(context, settings) {
        put(&mut headers, name, &value);
    }
    Ok(headers)
}

/// Where there is a span of the request, the receiver's spans hang below it.
pub(super) fn trace(headers: &mut HeaderMap, span: Option<&CallSpan>) {
    let Some(span) = span else { return };
    put(headers, "traceparent", &span.traceparent());
    if let Some(state) = span.tracestate() {
        put(headers, "tracestate", &state);
    }
}

/// Where to call back. Whoever knows it may end the attempt, so no library's log shows it.
pub(super) fn callback(headers: &mut HeaderMap, url: Option<String>) {
    let value = url.and_then(|url| HeaderValue::try_from(url).ok());
    if let Some(mut value) = value {
        value.set_sensitive(true);
        headers.insert("legwork-callback-url", value);
    }
}

/// The attempt, and where its job comes from.
fn about(context: &Context) -> Vec<(&'static str, String)> {
    let job = context.job();
    let mut about = vec![
        ("legwork-job-id", job.lease.job.to_string()),
        ("legwork-kind", job.kind.to_string()),
        ("legwork-queue", job.queue.to_string()),
        ("legwork-attempt", context.attempt().to_string()),
        ("legwork-max-attempts", context.max_attempts().to_string()),
        ("legwork-final-attempt", context.is_final_attempt().to_string()),
        ("legwork-lease-token", context.lease_token().to_string()),
    ];
    about.extend(wall_clock::deadline(context).map(|at| ("legwork-deadline", at)));
    if let Some(origin) = context.origin() {
        let origin = [
            ("traceparent", origin.traceparent.clone()),
            ("tracestate", origin.tracestate.clone()),
            ("x-request-id", origin.request_id.clone()),
            ("legwork-user-id", origin.user_id.clone()),
        ];
        about.extend(origin.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    about
}

/// Standard Webhooks. The id stays the same over all attempts, so that a receiver can tell a repetition.
fn webhook(context: &Context, settings: &HttpSettings) -> Vec<(&'static str, String)> {
    let job = context.job();
    let id = format!("job_{}", job.lease.job);
    let timestamp = wall_clock::now().unix_timestamp().to_string();
    let signed = (!settings.secrets.is_empty()).then(|| {
        let signature = signature::of(&settings.secrets, &id, &timestamp, &job.payload);
        ("webhook-signature", signature)
    });
    let mut webhook = vec![("webhook-id", id), ("webhook-timestamp", timestamp)];
    webhook.extend(signed);
    webhook
}

/// What can't stand in a header is left out: of what is ours, only a producer's request or user can be so.
fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Option<()> {
    let (name, value) = (HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?);
    headers.insert(name, value);
    Some(())
}
