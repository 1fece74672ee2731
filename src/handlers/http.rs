//! POSTs the payload to a URL for each attempt: verdict by the answer's status and headers.
//!
//! Where to, with which headers and signed with which secrets stands in the configuration; of the row
//! only the payload travels, byte by byte, and what is known about the attempt. Nothing is followed: no
//! redirect, no proxy of the environment, no address that the kind may not reach.
//!
//! It decides no policy: limits, deadlines and what becomes of the job are others' business.

mod answer;
mod callback;
mod circuit;
mod client;
mod departure;
mod failure;
mod request;
mod sending;
mod signature;

use crate::{
    config::HttpSettings,
    executor::{Callbacks, Context, Handler, HandlerFuture},
    job::Outcome,
    telemetry::{
        metrics::{CircuitState, HttpHandlerMetrics, RequestEnd},
        spans::CallSpan,
    },
};
use answer::Answer;
use circuit::{Circuit, Sign, Ticket};
use client::Connections;
use failure::Failure;
use hyper::Uri;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::Instant;

/// Sends every job of a kind to one URL.
#[derive(Debug)]
pub struct Http {
    settings: HttpSettings,
    uri: Uri,
    connections: Arc<Connections>,
    circuit: Circuit,
    requests: HttpHandlerMetrics,
    callbacks: Arc<Callbacks>,
}

impl Http {
    /// Connections are kept and shared by all jobs of the kind, and by no other kind: another may not be
    /// allowed to reach what this one reaches.
    pub fn new(settings: HttpSettings) -> Self {
        let connections = Arc::new(Connections::new(&settings));
        let circuit = Circuit::new(settings.circuit, settings.target());
        let (requests, callbacks) = (HttpHandlerMetrics::default(), Arc::default());
        let uri = settings.url.as_str().parse();
        let uri = uri.expect("that it can be asked for was checked with the configuration");
        Self { settings, uri, connections, circuit, requests, callbacks }
    }

    /// What receivers call back reaches the attempts by these.
    #[must_use]
    pub fn called_by(mut self, callbacks: Arc<Callbacks>) -> Self {
        self.callbacks = callbacks;
        self
    }

    /// Counts how the requests end.
    #[must_use]
    pub fn counted_in(mut self, requests: HttpHandlerMetrics) -> Self {
        self.requests = requests;
        self
    }

    async fn attempt(&self, context: &Context) -> Outcome {
        let ticket = match self.circuit.enter(&self.requests) {
            Ok(ticket) => ticket,
            Err(parked) => return parked,
        };
        match &self.settings.callback {
            Some(callback) => self.attempt_with(callback, context, ticket).await,
            None => {
                self.outcome(self.request(context, ticket, None, &AtomicBool::new(false)).await)
            }
        }
    }

    fn outcome(&self, answer: Result<Answer, Failure>) -> Outcome {
        match answer {
            Ok(answer) => answer.outcome(),
            Err(failure) => failure.outcome(&self.settings.target()),
        }
    }

    /// Sends it, with the URL to call back where there is one, and tells how that ended: where `is_called` says that the
    /// receiver has called back, it is well, also if it is left before its answer.
    async fn request(
        &self,
        context: &Context,
        ticket: Ticket,
        callback: Option<String>,
        is_called: &AtomicBool,
    ) -> Result<Answer, Failure> {
        let mut exchange = Exchange::begin(self, context, ticket, is_called);
        let answer = self.exchange(context, callback, exchange.span.as_ref()).await;
        exchange.end = Some(match &answer {
            Ok(answer) => (RequestEnd::Status(answer.status()), answer.sign()),
            Err(failure) => (failure.end(), failure.sign()),
        });
        answer
    }

    fn span(&self, context: &Context) -> Option<CallSpan> {
        Some(context.span()?.request(&self.settings.url))
    }

    async fn exchange(
        &self,
        context: &Context,
        callback: Option<String>,
        span: Option<&CallSpan>,
    ) -> Result<Answer, Failure> {
        self.settings.judge_address().map_err(Failure::Denied)?;
        let mut headers = request::headers(context, &self.settings)?;
        request::trace(&mut headers, span);
        request::callback(&mut headers, callback);
        let response = self.answered(context, headers).await?;
        Answer::read(response, &self.settings, context.deadline()).await
    }
}

/// With its last attempt goes its circuit: one that nobody asks any more stands open in no metric.
impl Drop for Http {
    fn drop(&mut self) {
        self.requests.circuit(CircuitState::Closed);
    }
}

impl Handler for Http {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(self.attempt(context))
    }
}

/// Tells how a request ends, however it does: an attempt that is over drops the future, and the connection
/// with it.
struct Exchange<'a> {
    http: &'a Http,
    context: &'a Context,
    began: Instant,
    ticket: Option<Ticket>,
    is_called: &'a AtomicBool,
    end: Option<(RequestEnd, Sign)>,
    span: Option<CallSpan>,
}

impl<'a> Exchange<'a> {
    fn begin(
        http: &'a Http,
        context: &'a Context,
        ticket: Ticket,
        is_called: &'a AtomicBool,
    ) -> Self {
        let (began, span) = (Instant::now(), http.span(context));
        Self { http, context, began, ticket: Some(ticket), is_called, end: None, span }
    }

    /// Where neither the receiver nor the network had the last word.
    fn broken_off(&self) -> (RequestEnd, Sign) {
        if self.is_called.load(Ordering::Relaxed) {
            return (RequestEnd::Stopped, Sign::Well);
        }
        if !self.context.is_overdue() {
            return (RequestEnd::Stopped, Sign::Silent);
        }
        // A job may have less time than any receiver needs.
        let was_patient = self.began.elapsed() >= self.http.settings.connect_timeout;
        (RequestEnd::Timeout, if was_patient { Sign::Ill } else { Sign::Late })
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let (end, sign) = self.end.unwrap_or_else(|| self.broken_off());
        let requests = &self.http.requests;
        requests.ended(end, self.began.elapsed());
        if let Some(ticket) = self.ticket.take() {
            self.http.circuit.settled(ticket, sign, requests);
        }
        if let Some(span) = &self.span {
            span.answered(end.status(), end.error());
        }
    }
}
