//! The client of a kind: what it trusts, what it may reach, how long it keeps connections, and when it gives
//! up those that all requests share.

use crate::{
    config::{Egress, HttpSettings},
    outbound,
};
use reqwest::{
    Client, Response, Version,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
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
pub(super) struct Connections(Mutex<Arc<Generation>>);

/// Those of a time: a client, which keeps them.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) client: Client,
    /// What the receiver spoke last.
    spoken: Mutex<Option<Version>>,
}

impl Connections {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self(Mutex::new(Generation::new(settings)))
    }

    pub(super) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// After a request that nobody answered: what comes next goes over new connections. What is under way
    /// goes on over the old ones. By HTTP/1.1 a request has taken its own connection with it.
    pub(super) fn leave(&self, unanswered: &Arc<Generation>, settings: &HttpSettings) {
        let spoken = unanswered.spoken();
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = Arc::ptr_eq(&current, unanswered);
        if is_current && spoken.is_none_or(|version| version == Version::HTTP_2) {
            *current = Generation::new(settings);
        }
    }
}

impl Generation {
    fn new(settings: &HttpSettings) -> Arc<Self> {
        Arc::new(Self { client: of(settings), spoken: Mutex::default() })
    }

    /// Notes what the receiver speaks.
    pub(super) fn answered(&self, response: &Response) {
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

fn of(settings: &HttpSettings) -> Client {
    outbound::client(&settings.authorities)
        .dns_resolver(Checked { egress: settings.egress.clone(), lookup: lookup as Lookup })
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MAX)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .build()
        .expect("everything that could be refused was checked with the configuration")
}

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Lookup = fn(String) -> Found;

/// The system's resolver.
fn lookup(host: String) -> Found {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
}

/// Resolves a name and judges what it stands for. Connections are made to exactly what this gives, so
/// that nothing can change in between; one bad address condemns the name.
struct Checked {
    egress: Egress,
    lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, egress) = ((self.lookup)(host.clone()), self.egress.clone());
        Box::pin(async move {
            let addresses = found.await?;
            addresses.iter().try_for_each(|address| egress.judge(&host, address.ip()))?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    async fn resolved(lookup: Lookup) -> Result<Vec<SocketAddr>, String> {
        let checked = Checked { egress: Egress::default(), lookup };
        let found = checked.resolve("example.org".parse().expect("a name")).await;
        found.map(Iterator::collect).map_err(|error| error.to_string())
    }

    fn given(addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().expect("an IP"), 0));
        let addresses: Vec<_> = addresses.collect();
        Box::pin(async { Ok(addresses) })
    }

    #[tokio::test]
    async fn public_addresses_are_handed_on_as_they_are() {
        let found = resolved(|_| given(&["8.8.8.8", "2606:4700::1"])).await.expect("public");
        assert_eq!(
            found.iter().map(|found| found.ip().to_string()).collect::<Vec<_>>(),
            ["8.8.8.8", "2606:4700::1"]
        );
    }

    #[tokio::test]
    async fn one_address_inside_condemns_the_name() {
        let denied = resolved(|_| given(&["8.8.8.8", "127.0.0.1"])).await.expect_err("loopback");
        assert!(denied.contains("127.0.0.1 is loopback"), "{denied}");
        let denied = resolved(|_| given(&["::ffff:10.0.0.1"])).await.expect_err("mapped");
        assert!(denied.contains("IPv4-mapped"), "{denied}");
    }

    #[tokio::test]
    async fn a_name_that_is_bound_anew_is_judged_anew() {
        static ASKED: AtomicBool = AtomicBool::new(false);
        let rebinding: Lookup = |_| {
            let asked_before = ASKED.swap(true, Ordering::SeqCst);
            given(&[if asked_before { "169.254.169.254" } else { "8.8.8.8" }])
        };
        resolved(rebinding).await.expect("public at first");
        resolved(rebinding).await.expect_err("a cloud's metadata the second time");
    }
}
