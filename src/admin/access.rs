//! Who may ask the port what: decided before a route sees the request, from where it comes and by what it
//! knows.
//!
//! Each row of the route table names its audience. What isn't in the table counts as a viewer's, so that
//! whoever may ask nothing can't find out what there is. Which names the port answers to is `hosts`, how long
//! who guesses has to wait `guesses`; what a browser is made to ask by another's page is refused as well,
//! since its user may be here or have a token.

use super::{
    credentials,
    foreign::{self, Work},
    guesses::Guesses,
    problem::Problem,
    request::peer,
    routes::{AdminState, Route},
};
use crate::{
    config::{AdminToken, AdminTokens},
    executor::Callbacks,
    job::Lease,
    telemetry::metrics::{Refusal, RefusalMetrics},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use tokio::{sync::watch, time::Instant};

/// Who isn't known to be anywhere.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What somebody may do; each may what those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at what there is, but for payloads.
    Viewer,
    /// Steer jobs and queues, and see payloads.
    Operator,
    /// Take profiles, change how the daemon runs, and end it.
    Admin,
}

impl Role {
    /// Its name, as people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Who asks, for the audit: the role, and which token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor(pub(super) String);

/// Who may ask a route; each is larger than those that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Audience {
    /// Probes and scrapers, from anywhere.
    Everybody,
    /// Whose URL has the token of an attempt, from anywhere.
    Caller,
    /// Who has this role, or a higher one.
    Role(Role),
}

impl From<Role> for Audience {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

/// Who has which role. Without a token the machine itself has every one, and others have none; with one
/// everybody has that of the token that comes with the request.
#[derive(Debug, Clone)]
pub struct Access {
    tokens: watch::Receiver<AdminTokens>,
    guesses: Arc<Guesses>,
    /// Who sent tokens of no attempt.
    forgers: Arc<Guesses>,
}

impl Access {
    /// By the newest of these.
    pub fn by(tokens: watch::Receiver<AdminTokens>) -> Self {
        Self { tokens, guesses: Arc::default(), forgers: Arc::default() }
    }

    /// Told when there are other tokens than now.
    pub(super) fn tokens(&self) -> watch::Receiver<AdminTokens> {
        let mut tokens = self.tokens.clone();
        // What this one has never looked at isn't news to whoever comes today.
        tokens.mark_unchanged();
        tokens
    }

    /// Whether other machines can ask for more than health and metrics.
    pub(super) fn needs_token(&self) -> bool {
        !self.tokens.borrow().is_empty()
    }

    fn role(&self, request: &Request) -> Result<(Role, Actor), Problem> {
        if self.needs_token() {
            return self.role_by_token(request);
        }
        let is_here = peer(request).is_some_and(|peer| peer.to_canonical().is_loopback());
        let is_own = is_here && !foreign::is_handed_on(request.headers());
        let actor = || Actor(format!("{}, on the daemon's machine", Role::Admin.as_str()));
        if is_own { Ok((Role::Admin, actor())) } else { Err(Problem::NotFound) }
    }

    fn role_by_token(&self, request: &Request) -> Result<(Role, Actor), Problem> {
        let Some(token) = credentials::token(request.headers()) else {
            return Err(Problem::NoToken);
        };
        let (peer, now) = (peer(request).unwrap_or(NOWHERE), Instant::now());
        if let Some(wait) = self.guesses.wait(peer, now) {
            return Err(Problem::TooManyGuesses { wait });
        }
        let tokens = self.tokens.borrow();
        let Some((role, token)) = held(&tokens, &token) else {
            self.guesses.wrong(peer, &token, now);
            return Err(Problem::WrongToken);
        };
        Ok((role, Actor(format!("{}, token {}", role.as_str(), token.name()))))
    }
}

/// The highest role that a token has. Each is compared, so that the time says nothing.
fn held<'t>(tokens: &'t AdminTokens, presented: &str) -> Option<(Role, &'t AdminToken)> {
    let AdminTokens { admin, operator, viewer } = tokens;
    let roles = [(Role::Viewer, viewer), (Role::Operator, operator), (Role::Admin, admin)];
    let all = roles.into_iter().flat_map(|(role, of)| of.iter().map(move |token| (role, token)));
    all.fold(None, |found, one| if one.1.is(presented) { Some(one) } else { found })
}

/// The route table's audiences beside what decides.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    access: Access,
    refusals: RefusalMetrics,
    callbacks: Arc<Callbacks>,
    audiences: Arc<HashMap<String, Vec<(Method, Audience)>>>,
    /// The paths at which something is measured.
    measuring: Arc<HashSet<String>>,
}

impl Guard {
    pub(super) fn new(state: &AdminState, routes: &[Route]) -> Self {
        let mut audiences: HashMap<_, Vec<_>> = HashMap::new();
        for route in routes {
            let of_path: &mut Vec<_> = audiences.entry(route.path.clone()).or_default();
            of_path.push((route.method.clone(), route.audience));
        }
        let (access, refusals) = (state.access.clone(), state.metrics.admin_refusals());
        let callbacks = Arc::clone(&state.callbacks);
        let measuring = routes.iter().filter(|route| route.measures);
        let measuring = Arc::new(measuring.map(|route| route.path.clone()).collect());
        Self { access, refusals, callbacks, audiences: Arc::new(audiences), measuring }
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

    fn work(&self, path: Option<&MatchedPath>) -> Work {
        let measures = path.is_some_and(|path| self.measuring.contains(path.as_str()));
        if measures { Work::Measure } else { Work::Small }
    }

    /// Whose attempt it is. A signature is looked at whatever came from there before: it can't be guessed, and
    /// whoever shares an address with somebody who tries is not to be kept from calling back.
    fn attempt(&self, request: &Request) -> Result<Lease, Problem> {
        let token = request.uri().path().rsplit('/').next().unwrap_or_default();
        self.callbacks.lease(token).map_err(|_forged| {
            let (peer, now) = (peer(request).unwrap_or(NOWHERE), Instant::now());
            if let Some(wait) = self.access.forgers.wait(peer, now) {
                return Problem::TooManyGuesses { wait };
            }
            self.access.forgers.wrong(peer, token, now);
            Problem::OtherDaemon
        })
    }

    /// The role with which it is asked, and who asks, where a role is needed.
    fn decide(&self, request: &mut Request) -> Result<Option<(Role, Actor)>, Problem> {
        let path = request.extensions().get::<MatchedPath>();
        let needed = match self.audience(path, request.method()) {
            Audience::Everybody => return Ok(None),
            Audience::Caller => {
                let lease = self.attempt(request)?;
                request.extensions_mut().insert(lease);
                return Ok(None);
            }
            Audience::Role(needed) => needed,
        };
        let work = self.work(request.extensions().get());
        if foreign::is_foreign(request, work) {
            return Err(Problem::ForeignPage);
        }
        let (role, actor) = self.access.role(request)?;
        if role < needed {
            return Err(Problem::RoleTooSmall { needed, role });
        }
        Ok(Some((role, actor)))
    }
}

/// Lets the route answer, or answers in its place. Who asked, or why that is refused, goes with the answer,
/// for the log.
pub(super) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.decide(&mut request) {
        Ok(None) => next.run(request).await,
        Ok(Some((role, actor))) => {
            request.extensions_mut().insert(role);
            request.extensions_mut().insert(actor);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(role);
            response
        }
        Err(problem) => {
            let mut response = problem.into_response();
            if let Some(refusal) = refusal(problem) {
                guard.refusals.refused(refusal);
                response.extensions_mut().insert(refusal);
            }
            response
        }
    }
}

fn refusal(problem: Problem) -> Option<Refusal> {
    match problem {
        Problem::NotFound => Some(Refusal::Elsewhere),
        Problem::NoToken => Some(Refusal::NoToken),
        Problem::WrongToken | Problem::OtherDaemon => Some(Refusal::WrongToken),
        Problem::TooManyGuesses { .. } => Some(Refusal::TooManyGuesses),
        Problem::RoleTooSmall { .. } => Some(Refusal::Role),
        Problem::ForeignPage => Some(Refusal::ForeignPage),
        _ => None,
    }
}
