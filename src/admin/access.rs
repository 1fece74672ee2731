//! Who may ask the port what: decided before a route sees the request, from where it comes.
//!
//! Each row of the route table names its audience. What isn't in the table counts as a viewer's, so that
//! whoever may ask nothing can't find out what there is. Which names the port answers to is `hosts`.

use super::{problem::Problem, request::peer, routes::Route};
use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{collections::HashMap, sync::Arc};

/// What somebody may do; each may what those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything that isn't a secret.
    Viewer,
    /// Steer jobs and queues, and take profiles.
    Operator,
    /// Change how the daemon runs, and end it.
    Admin,
}

/// Who may ask a route; each is larger than those that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    /// Probes and scrapers, from anywhere.
    Everybody,
    /// Who has this role, or a higher one.
    Role(Role),
}

impl From<Role> for Audience {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

/// Who has which role: the machine itself every one, others none.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Roles of those who are here.
    here: Here,
}

/// Without a token the machine itself may do everything.
#[derive(Debug, Clone, Copy)]
struct Here(Role);

impl Default for Here {
    fn default() -> Self {
        Self(Role::Admin)
    }
}

/// The route table's audiences beside what decides.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    access: Access,
    audiences: Arc<HashMap<String, Vec<(Method, Audience)>>>,
}

impl Guard {
    pub(super) fn new(access: Access, routes: &[Route]) -> Self {
        let mut audiences: HashMap<_, Vec<_>> = HashMap::new();
        for route in routes {
            audiences
                .entry(route.path.clone())
                .or_default()
                .push((route.method.clone(), route.audience));
        }
        Self { access, audiences: Arc::new(audiences) }
    }

    /// Who may ask this. A method that a path doesn't take is told to whoever may ask the path anything.
    fn audience(&self, path: Option<&MatchedPath>, method: &Method) -> Audience {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let of_path = path.and_then(|path| self.audiences.get(path.as_str()));
        let of_path = of_path.map_or(&[][..], Vec::as_slice);
        let exactly = of_path.iter().find(|(of, _)| of == method).map(|(_, audience)| *audience);
        let largest = || of_path.iter().map(|(_, audience)| *audience).min();
        exactly.or_else(largest).unwrap_or(Audience::Role(Role::Viewer))
    }

    fn decide(&self, request: &Request) -> Result<(), Problem> {
        let path = request.extensions().get::<MatchedPath>();
        let Audience::Role(needed) = self.audience(path, request.method()) else { return Ok(()) };
        match self.access.role(request) {
            Some(role) if role >= needed => Ok(()),
            _ => Err(Problem::NotFound),
        }
    }
}

impl Access {
    fn role(&self, request: &Request) -> Option<Role> {
        let is_here = peer(request).is_some_and(|peer| peer.to_canonical().is_loopback());
        is_here.then_some(self.here.0)
    }
}

/// Lets the route answer, or answers in its place.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.decide(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
