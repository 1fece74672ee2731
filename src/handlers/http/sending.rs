//! Sends a request and waits for the head of its answer, each with a time of its own.

use super::{
    Http,
    answer::LAST,
    client::Generation,
    departure::{self, Departure},
    failure::Failure,
};
use crate::{
    executor::Context,
    outbound::{Incoming, ResponseFuture},
    supervise::{WaitPoint, at},
};
use futures::future::{Either, select};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::client::legacy;
use std::{pin::pin, sync::Arc};
use tokio::time::{Instant, timeout};

impl Http {
    /// Sends it, and once more where nothing of it has reached anybody.
    pub(super) async fn answered(
        &self,
        context: &Context,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        match self.answered_at_once(context, headers.clone()).await {
            Err(Failure::Unsent(_)) => self.answered_at_once(context, headers).await,
            other => other,
        }
    }

    async fn answered_at_once(
        &self,
        context: &Context,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        let generation = self.connections.current();
        let mut waiting = Waiting { http: self, context, generation: &generation, is_over: false };
        let (body, mut departure) = departure::of(&context.job().payload);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        let answer = generation.client.send(request);
        let response = self.head(answer, &mut departure, &waiting).await?;
        waiting.is_over = true;
        let response =
            response.map_err(|error| Failure::of_request(&error, departure.has_left()))?;
        generation.answered(&response);
        Ok(response)
    }

    async fn head(
        &self,
        answer: ResponseFuture,
        departure: &mut Departure,
        waiting: &Waiting<'_>,
    ) -> Result<Result<Response<Incoming>, legacy::Error>, Failure> {
        let (began, limit) = (Instant::now(), self.settings.response_timeout);
        let leaves = departure.before(waiting.last_departure(began));
        match at(WaitPoint::HttpSend, select(answer, pin!(leaves))).await {
            Either::Left((answered, _)) => Ok(answered),
            // The receiver's time runs from here: it can't help what went before.
            Either::Right((true, answer)) => {
                let answer = at(WaitPoint::HttpResponse, timeout(limit, answer));
                answer.await.map_err(|_| Failure::Silent(limit))
            }
            Either::Right((false, _)) => Err(Failure::Crowded(began.elapsed())),
        }
    }
}

/// A request under way.
struct Waiting<'a> {
    http: &'a Http,
    context: &'a Context,
    generation: &'a Arc<Generation>,
    /// It was answered or has failed; otherwise somebody has lost patience.
    is_over: bool,
}

impl Waiting<'_> {
    /// When it is too late to leave. Connecting has a limit of its own, and fails by it; what hasn't left by
    /// then waits for room on a connection that is there.
    fn last_departure(&self, now: Instant) -> Instant {
        let settings = &self.http.settings;
        let connected = now + settings.connect_timeout;
        let last = self.context.deadline().checked_sub(LAST).unwrap_or(now);
        let known = if self.generation.is_shared() { now } else { connected };
        (connected + settings.response_timeout).min(last.max(known))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let is_stopped = self.context.cancellation().is_cancelled() && !self.context.is_overdue();
        if !self.is_over && !is_stopped {
            self.http.connections.leave(self.generation, &self.http.settings);
        }
    }
}
