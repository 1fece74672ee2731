//! The client of a kind: what it trusts, what it may reach, how long it keeps connections, and when it gives
//! up those that all requests share.

use super::departure::Departing;
use crate::{
    config::HttpSettings,
    outbound::{Client, Incoming, Resolver, Terms},
    profile::Label,
    supervise,
};
use hyper::{Response, Version};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a connection is kept that nobody uses. Many servers close theirs after five seconds: one
/// that is about to be closed must not be taken for the next job.
const IDLE: Duration = Duration::from_secs(4);
/// Most connections to the receiver that are kept while nobody uses them.
const IDLE_MAX: usize = 64;
/// Most that the headers of an HTTP/2 answer may take, in bytes.
const HEADERS_MAX_BYTES: u32 = 16 * 1024;

/// The connections that a kind's requests go through now.
///
/// Over HTTP/2 all of them share one, and a request that is given up ends a stream of it and no more. One
/// that carries nothing any longer would be taken again by each job that follows: it is left behind.
#[derive(Debug)]
pub(super) struct Connections {
    current: Mutex<Arc<Generation>>,
    resolver: Resolver,
}

/// Those of a time: a client, which keeps them.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) client: Client<Departing>,
    /// What the receiver spoke last.
    spoken: Mutex<Option<Version>>,
}

impl Connections {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        let resolver = Resolver::judging(Some(settings.egress.clone()));
        Self { current: Mutex::new(Generation::new(settings, &resolver)), resolver }
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// After a request that nobody answered: what comes next goes over new connections. What is under way
    /// goes on over the old ones. By HTTP/1.1 a request has taken its own connection with it.
    pub(super) fn leave(&self, unanswered: &Arc<Generation>, settings: &HttpSettings) {
        let spoken = unanswered.spoken();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = Arc::ptr_eq(&current, unanswered);
        if is_current && spoken.is_none_or(|version| version == Version::HTTP_2) {
            *current = Generation::new(settings, &self.resolver);
        }
    }
}

impl Generation {
    fn new(settings: &HttpSettings, resolver: &Resolver) -> Arc<Self> {
        Arc::new(Self { client: of(settings, resolver), spoken: Mutex::default() })
    }

    /// Notes what the receiver speaks.
    pub(super) fn answered(&self, response: &Response<Incoming>) {
        *self.spoken.lock().unwrap_or_else(PoisonError::into_inner) = Some(response.version());
    }

    fn spoken(&self) -> Option<Version> {
        *self.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether requests are known to share a connection, so that they may have to wait for it.
    pub(super) fn is_shared(&self) -> bool {
        self.spoken() == Some(Version::HTTP_2)
    }
}

/// What the library runs for a request is the work of the kind whose job it is of, and is shown beside the workers.
fn of(settings: &HttpSettings, resolver: &Resolver) -> Client<Departing> {
    let terms = Terms {
        authorities: &settings.authorities,
        resolver: resolver.clone(),
        connect_timeout: settings.connect_timeout,
        idle: IDLE,
        idle_max: IDLE_MAX,
        headers_max_bytes: HEADERS_MAX_BYTES,
    };
    let start = supervise::http_client(&settings.target());
    let start = move |work| start(Box::pin(Label::current().over(work)));
    Client::new(&terms, Arc::new(start))
}
