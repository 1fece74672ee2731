//! The span of a request to the admin port, and those that begin below it: of statements, and of what it enqueues.
//!
//! A request whose trace is known is a value that lies in its future, as the job is in that of an attempt: whoever
//! asks the database or enqueues on its behalf finds it there, and is given nothing to hand on.

use super::{
    CallSpan, Sending, Tracer,
    open::{Above, Once, Open},
};
use crate::{job::QueueName, telemetry::Origin};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind},
};
use std::{borrow::Cow, future::Future, net::IpAddr, sync::Arc};

tokio::task_local! {
    static REQUEST: Arc<RequestSpan>;
}

/// What is told of a request; neither its query nor its headers, which may hold secrets.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// As it came.
    pub method: &'a str,
    /// The template of the route that takes it.
    pub route: Option<&'a str>,
    /// Told where a route takes it: elsewhere a stranger wrote it.
    pub path: &'a str,
    /// By which name and port it was asked.
    pub host: Option<(&'a str, Option<u16>)>,
    /// Who asks.
    pub client: Option<IpAddr>,
    /// Of HTTP.
    pub version: &'static str,
}

/// Methods that a span names; another is `_OTHER`, as OpenTelemetry has it.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

impl Asked<'_> {
    fn method(&self) -> Option<&'static str> {
        METHODS.into_iter().find(|known| *known == self.method)
    }

    fn name(&self) -> Cow<'static, str> {
        let method = self.method().unwrap_or("HTTP");
        self.route.map_or(method.into(), |route| format!("{method} {route}").into())
    }

    /// OpenTelemetry's words for HTTP (1.44).
    fn about(&self, request_id: Option<String>) -> Vec<KeyValue> {
        let mut about = vec![
            KeyValue::new("http.request.method", self.method().unwrap_or("_OTHER")),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("network.protocol.version", self.version),
        ];
        if let Some(route) = self.route {
            about.push(KeyValue::new("http.route", route.to_owned()));
            about.push(KeyValue::new("url.path", self.path.to_owned()));
        }
        if let Some((name, port)) = self.host {
            about.push(KeyValue::new("server.address", name.to_owned()));
            about.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
        }
        let client = self.client.map(|client| client.to_canonical().to_string());
        about.extend(client.map(|client| KeyValue::new("client.address", client)));
        about.extend(request_id.map(|id| KeyValue::new("legwork.request_id", id)));
        about
    }
}

/// One request, and its span where spans are made.
#[derive(Debug)]
pub struct RequestSpan {
    /// The span's, or the caller's.
    origin: Arc<Origin>,
    /// Absent where no spans are made.
    above: Option<Above>,
    open: Once,
}

impl RequestSpan {
    /// A request of which no span is made: what it leads to stands below whoever asks.
    pub fn none(caller: Origin) -> Self {
        Self { origin: Arc::new(caller), above: None, open: Once::new(None) }
    }

    /// What log lines and jobs are told.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Statements and jobs of `work` stand below it.
    pub fn over<Work: Future>(self: Arc<Self>, work: Work) -> impl Future<Output = Work::Output> {
        REQUEST.scope(self, work)
    }

    /// It was answered with this status. What a client did wrong is no error of ours.
    pub fn answered(&self, status: u16) {
        let error = (status >= 500).then(|| status.to_string());
        let status = KeyValue::new("http.response.status_code", i64::from(status));
        self.open.end([status], error.as_deref());
    }

    /// It was refused because of who asked. Nobody is told of it: whoever may ask nothing could otherwise have as
    /// many spans sent as there is room for.
    pub fn refused(&self) {
        self.open.forget();
    }
}

impl Tracer {
    /// The span of the request that now begins: below its caller's, whose decision it obeys, or a trace of its own.
    pub fn request(&self, asked: &Asked<'_>, caller: &Origin) -> RequestSpan {
        let parent = super::producer(caller);
        let context = self.context_of(parent.as_ref(), &SpanKind::Server);
        let open = context.is_sampled().then(|| Open {
            context: context.clone(),
            parent: parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: parent.is_some(),
            kind: SpanKind::Server,
            name: asked.name(),
            attributes: asked.about(caller.request_id.clone()),
            ..Open::now(self.outbox.clone())
        });
        let outbox = open.as_ref().map(|open| open.outbox.clone());
        let above = Above::new(context, Some(caller), outbox);
        RequestSpan {
            origin: Arc::clone(above.origin()),
            above: Some(above),
            open: Once::new(open),
        }
    }
}

/// The span of a statement of the request under way, if that is sampled; called as the summary says, which begins
/// with the statement's verb.
pub fn statement(summary: &'static str) -> Option<CallSpan> {
    let verb = summary.split(' ').next().unwrap_or_default();
    let about = [("db.operation.name", verb), ("db.query.summary", summary)];
    of_database(summary, &about)
}

/// The span of what the request under way does for a session, if that is sampled: it waits for a place, and connects.
pub fn session() -> Option<CallSpan> {
    of_database("connect", &[])
}

fn of_database(name: &'static str, more: &[(&'static str, &'static str)]) -> Option<CallSpan> {
    let begin = |request: &Arc<RequestSpan>| {
        let above = request.above.as_ref()?;
        let outbox = above.outbox()?;
        Some(above.call(SpanKind::Client, || {
            let mut about = vec![KeyValue::new("db.system.name", "postgresql")];
            about.extend(more.iter().map(|(key, value)| KeyValue::new(*key, *value)));
            about.extend(outbox.namespace());
            (name.into(), about)
        }))
    };
    REQUEST.try_with(begin).ok().flatten()
}

/// Jobs of this queue are about to be enqueued on behalf of the request under way: what is to stand in their metadata,
/// and the span of that. Outside of a request there is neither.
pub fn sending(queue: &QueueName) -> Sending {
    let begin = |request: &Arc<RequestSpan>| match &request.above {
        Some(above) => Sending::below(above, queue),
        None => Sending::untraced(Arc::clone(&request.origin)),
    };
    REQUEST.try_with(begin).unwrap_or_else(|_| Sending::untraced(Arc::default()))
}

/// The same without a span: they stand below the request itself.
pub fn sending_untraced() -> Sending {
    let begin = |request: &Arc<RequestSpan>| Sending::untraced(Arc::clone(&request.origin));
    REQUEST.try_with(begin).unwrap_or_else(|_| Sending::untraced(Arc::default()))
}
