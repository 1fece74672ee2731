//! Which requests wait for a turn, and what of them has to be there first.
//!
//! A turn is for what a route does. Who sends a small body has it gathered before that, without a turn and on a place that
//! another may have meanwhile, or 64 slow clients would keep out everybody else for as long as a body may take. A body that
//! is large or of unknown length comes while its request has a turn, since otherwise there would be as many of them in
//! memory as connections; half of the turns are for such ones at most.

use super::{
    api::{self, body},
    cuts::Cuts,
    places::Place,
    problem::{Problem, Refusal},
    request::{BODY_MAX_BYTES, body_max},
    routes::{QUIET, Route},
};
use crate::telemetry::metrics::Cut;
use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Who waits for what.
#[derive(Clone)]
pub(super) struct Turns {
    /// The routes that read a body.
    reading: Arc<[(Method, String)]>,
    cuts: Cuts,
}

/// How a request's body comes.
#[derive(Debug, PartialEq, Eq)]
enum Comes {
    /// There is none, or none that anybody reads.
    Not,
    /// Before the turn.
    First,
    /// During the turn.
    Meanwhile,
}

impl Turns {
    pub(super) fn of(routes: &[Route], cuts: Cuts) -> Self {
        let reading = routes.iter().filter(|route| route.described.request_body.is_some());
        let reading = reading.map(|route| (route.method.clone(), route.path.clone()));
        Self { reading: reading.collect(), cuts }
    }

    fn body_of(&self, request: &Request, route: Option<&str>) -> Comes {
        let reads = |route: &&str| {
            self.reading.iter().any(|(method, path)| method == request.method() && path == route)
        };
        let read = route.filter(reads);
        match read {
            Some(route) if !request.body().is_end_stream() => comes(route, request.body()),
            _ => Comes::Not,
        }
    }
}

fn comes(route: &str, body: &impl HttpBody) -> Comes {
    let most = body.size_hint().upper().unwrap_or_else(|| body_max(route));
    // Of a batch the jobs are sent to the database as they come.
    if most <= BODY_MAX_BYTES && route != api::batch::PATH {
        Comes::First
    } else {
        Comes::Meanwhile
    }
}

/// Lets as many requests at once to their routes as there are turns. Probes and scrapes ask nobody and wait for nobody.
pub(super) async fn in_turn(
    State(turns): State<Turns>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let is_quiet = route.is_some_and(|route| QUIET.contains(&route));
    let place = request.extensions().get::<Arc<Place>>().filter(|_| !is_quiet).cloned();
    let Some(place) = place else { return next.run(request).await };
    let comes = turns.body_of(&request, route);
    if comes == Comes::First {
        request = match gathered(request, &place).await {
            Ok(request) => request,
            Err(refusal) => return turns.cuts.if_slow(refusal.into_response(), &place),
        };
    }
    if !place.comes_in_turn(comes == Comes::Meanwhile).await {
        turns.cuts.cut(Cut::Overloaded, place.peer());
        return Problem::Overloaded.into_response();
    }
    turns.cuts.if_slow(next.run(request).await, &place)
}

/// The request with its whole body.
async fn gathered(request: Request, place: &Place) -> Result<Request, Refusal> {
    place.gathers();
    let (head, body) = request.into_parts();
    let body = body::read_up_to(BODY_MAX_BYTES, Request::new(body)).await?;
    place.asked();
    Ok(Request::from_parts(head, Body::from(body)))
}
