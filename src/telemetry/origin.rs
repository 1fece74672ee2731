//! Where a job comes from: the trace, the request and the user that its producer named in `metadata`.
//!
//! It exists so that log lines and handlers tell the same of it. Producers write it freely, so
//! everything here is lenient: what isn't there or isn't well formed is left out, and the job runs
//! all the same. The values end up in log lines, environments and headers, so none holds a control
//! character and none is long. It starts no span of its own: the producer's is handed on.

use opentelemetry::{
    Context, SpanId, TraceId,
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Longest identifier that is handed on, in bytes.
const ID_MAX_BYTES: usize = 256;
/// Longest `tracestate` that is handed on, in bytes: what W3C asks everybody to carry.
const TRACE_STATE_MAX_BYTES: usize = 512;

/// What a job's metadata says of its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The ids of `traceparent`, for log lines.
    pub trace: Option<Trace>,
    /// W3C `traceparent`, well formed whatever the row had.
    pub traceparent: Option<String>,
    /// W3C `tracestate`, where there is a `traceparent`.
    pub tracestate: Option<String>,
    /// `request_id`
    pub request_id: Option<String>,
    /// `user_id`
    pub user_id: Option<String>,
}

/// The span in which the job was enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Shown as 32 hex digits.
    pub trace_id: TraceId,
    /// Shown as 16 hex digits.
    pub span_id: SpanId,
    /// 1 where the trace is sampled.
    pub flags: u8,
}

/// Each value is read by itself, and a number as it is written: none loses its digits, or the others their word.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    #[serde(borrow)]
    tracestate: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
}

impl Origin {
    /// Reads the row's JSON text.
    pub fn of(metadata: Option<&str>) -> Self {
        let raw = metadata.and_then(|json| serde_json::from_str::<Raw<'_>>(json).ok());
        let Some(raw) = raw else { return Self::default() };
        let mut origin = Self {
            request_id: raw.request_id.and_then(|id| text(id, ID_MAX_BYTES)),
            user_id: raw.user_id.and_then(|id| text(id, ID_MAX_BYTES)),
            ..Self::default()
        };
        if let Some(traceparent) = raw.traceparent.and_then(|it| text(it, ID_MAX_BYTES)) {
            let tracestate = raw.tracestate.and_then(|it| text(it, TRACE_STATE_MAX_BYTES));
            origin.follow(&Headers { traceparent, tracestate });
        }
        origin
    }

    /// The same to be shared; nothing where the metadata says nothing, which is the usual case.
    pub fn shared(metadata: Option<&str>) -> Option<Arc<Self>> {
        let origin = Self::of(Some(metadata?));
        (origin != Self::default()).then(|| Arc::new(origin))
    }

    /// What a request says of its trace, by W3C's headers, and its id, which is ours or was looked at.
    pub fn of_request(
        traceparent: Option<String>,
        tracestate: Option<String>,
        request_id: Option<String>,
    ) -> Self {
        let mut origin = Self { request_id, ..Self::default() };
        if let Some(traceparent) = traceparent {
            let tracestate = tracestate.filter(|state| state.len() <= TRACE_STATE_MAX_BYTES);
            origin.follow(&Headers { traceparent, tracestate });
        }
        origin
    }

    /// A job's own metadata, value by value as it is, and what that lacks of this origin. Nothing, where there is
    /// none of either; what is no object stays as it is.
    pub fn fill(&self, own: Option<&str>) -> Option<String> {
        let whole = || own.map(str::to_owned);
        let object = own.map_or(Ok(BTreeMap::new()), serde_json::from_str);
        let Ok(mut object): Result<BTreeMap<String, Box<RawValue>>, _> = object else {
            return whole();
        };
        // A tracestate belongs to its traceparent.
        let trace = (!object.contains_key("traceparent")).then_some(self);
        let known = [
            ("traceparent", trace.and_then(|origin| origin.traceparent.as_ref())),
            ("tracestate", trace.and_then(|origin| origin.tracestate.as_ref())),
            ("request_id", self.request_id.as_ref()),
            ("user_id", self.user_id.as_ref()),
        ];
        for (name, value) in known {
            if let Some(value) = value.and_then(|value| to_raw_value(value).ok()) {
                object.entry(name.to_owned()).or_insert(value);
            }
        }
        if object.is_empty() { whole() } else { serde_json::to_string(&object).ok() }
    }

    fn follow(&mut self, headers: &Headers) {
        let propagator = TraceContextPropagator::new();
        let context = propagator.extract_with_context(&Context::new(), headers);
        let span = context.span().span_context().clone();
        if !span.is_valid() {
            return;
        }
        self.trace = Some(Trace {
            trace_id: span.trace_id(),
            span_id: span.span_id(),
            flags: span.trace_flags().to_u8(),
        });
        let mut carried = HashMap::new();
        propagator.inject_context(&context, &mut carried);
        self.traceparent = carried.remove("traceparent");
        self.tracestate = carried.remove("tracestate").filter(|state| !state.is_empty());
    }
}

struct Headers {
    traceparent: String,
    tracestate: Option<String>,
}

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(&self.traceparent),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Text, or a number as text.
fn text(value: &RawValue, max_bytes: usize) -> Option<String> {
    let text = match value.get() {
        text if text.starts_with('"') => serde_json::from_str(text).ok()?,
        number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => number.to_owned(),
        _ => return None,
    };
    let fits = (1..=max_bytes).contains(&text.len()) && !text.contains(char::is_control);
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[rstest]
    #[case::as_the_standard_has_it(GOOD, true)]
    #[case::later_version(&GOOD.replacen("00-", "01-", 1), true)]
    #[case::later_version_with_more(&format!("{}-more", GOOD.replacen("00-", "01-", 1)), true)]
    #[case::flags_that_nobody_knows(&GOOD.replace("-01", "-ff"), true)]
    #[case::version_00_with_more(&format!("{GOOD}-more"), false)]
    #[case::forbidden_version(&GOOD.replacen("00-", "ff-", 1), false)]
    #[case::upper_case(&GOOD.to_uppercase(), false)]
    #[case::no_trace(&GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false)]
    #[case::no_parent(&GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), false)]
    #[case::cut_off(&GOOD[..52], false)]
    #[case::empty("", false)]
    #[case::header_injection(&format!("{GOOD}\r\nHost: x"), false)]
    fn a_traceparent_is_handed_on_as_the_standard_has_it_or_not_at_all(
        #[case] text: &str,
        #[case] good: bool,
    ) {
        let json = serde_json::json!({ "traceparent": text }).to_string();
        let origin = Origin::of(Some(&json));
        assert_eq!(origin.traceparent, good.then(|| GOOD.to_owned()));
        let trace_id = origin.trace.map(|trace| trace.trace_id.to_string());
        assert_eq!(trace_id, good.then(|| GOOD[3..35].to_owned()));
    }

    #[rstest]
    #[case::beside_a_traceparent(GOOD, "vendor=1,other=x", Some("vendor=1,other=x"))]
    #[case::alone("", "vendor=1", None)]
    #[case::no_list(GOOD, "vendor", None)]
    #[case::header_injection(GOOD, "vendor=1\r\nHost: x", None)]
    #[case::too_long(GOOD, &format!("vendor={}", "x".repeat(600)), None)]
    fn a_tracestate_goes_with_its_traceparent(
        #[case] traceparent: &str,
        #[case] tracestate: &str,
        #[case] handed_on: Option<&str>,
    ) {
        let json = serde_json::json!({ "traceparent": traceparent, "tracestate": tracestate });
        assert_eq!(Origin::of(Some(&json.to_string())).tracestate.as_deref(), handed_on);
    }

    #[test]
    fn identifiers_are_text_or_numbers_without_control_characters() {
        let json = r#"{"request_id": "r-1", "user_id": 42, "other": [[]]}"#;
        let origin = Origin::of(Some(json));
        assert_eq!(origin.request_id.as_deref(), Some("r-1"));
        assert_eq!(origin.user_id.as_deref(), Some("42"));

        let odd = r#"{"request_id": 12345678901234567890123, "user_id": 1.10}"#;
        let origin = Origin::of(Some(odd));
        assert_eq!(origin.request_id.as_deref(), Some("12345678901234567890123"));
        assert_eq!(origin.user_id.as_deref(), Some("1.10"));
        let long = format!(r#"{{"request_id": "r-1", "user_id": 1{}}}"#, "0".repeat(400));
        assert_eq!(Origin::of(Some(&long)).request_id.as_deref(), Some("r-1"));

        for id in ["\"\"", "\"a\\u0000b\"", "\"a\\nb\"", "[1]", "null"] {
            let json = format!(r#"{{"request_id": {id}}}"#);
            assert_eq!(Origin::of(Some(&json)), Origin::default(), "{id}");
        }
    }

    #[test]
    fn metadata_that_is_no_object_says_nothing() {
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        for json in ["3", "[]", "null", "not json", "{}", &deep] {
            assert_eq!(Origin::of(Some(json)), Origin::default());
            assert_eq!(Origin::shared(Some(json)), None);
        }
        assert_eq!(Origin::shared(None), None);
    }
}
