//! The span of something that an attempt calls or has done: a request, a program, a function, its verdict.

use super::open::{Once, Open, traceparent, tracestate};
use opentelemetry::{KeyValue, trace::SpanContext};

/// One call. Whoever is called is told of this span, so that its own hang below it.
#[derive(Debug)]
pub struct CallSpan {
    context: SpanContext,
    open: Once,
}

impl CallSpan {
    pub(super) fn new(context: SpanContext, open: Option<Open>) -> Self {
        Self { context, open: Once::new(open) }
    }

    /// What who is called is told.
    pub fn traceparent(&self) -> String {
        traceparent(&self.context)
    }

    /// What goes with it.
    pub fn tracestate(&self) -> Option<String> {
        tracestate(&self.context)
    }

    /// The request was answered with this status, or not at all, and `error` says why. Of an answer that is an
    /// error the status says why, as OpenTelemetry's conventions have it.
    pub fn answered(&self, status: Option<u16>, error: Option<&str>) {
        let code = status.filter(|code| (400..600).contains(code)).map(|code| code.to_string());
        let error = code.as_deref().or(error);
        let status = status.map(|code| KeyValue::new("http.response.status_code", i64::from(code)));
        self.open.end(status, error);
    }

    /// The program ended with this code, or by something else that `error` names.
    pub fn exited(&self, code: Option<i32>, error: Option<&str>) {
        let code = code.map(|code| KeyValue::new("process.exit.code", i64::from(code)));
        self.open.end(code, error);
    }

    /// The function returned, or raised this SQLSTATE, or `error` says why it did neither.
    pub fn returned(&self, sqlstate: Option<&str>, error: Option<&str>) {
        let code = sqlstate.map(|it| KeyValue::new("db.response.status_code", it.to_owned()));
        self.open.end(code, error);
    }

    /// It took no time that anybody asks after: nobody is told of it.
    pub fn forget(&self) {
        self.open.forget();
    }

    /// The verdict was written by this sort of statement, or wasn't, and `error` says why.
    pub fn settled(&self, op: &'static str, error: Option<&str>) {
        self.open.end([KeyValue::new("legwork.flush.op", op)], error);
    }
}
