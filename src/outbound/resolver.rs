//! What a name stands for, and whether that may be reached.
//!
//! The system's resolver blocks a thread for as long as it likes, also once nobody waits any longer, and the daemon's own work
//! needs such threads too: so a name is looked up once at a time, and whoever comes meanwhile takes what that finds.

use crate::config::Egress;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hyper_util::client::legacy::connect::dns::Name;
use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    vec,
};
use tokio::task::spawn_blocking;
use tower::{BoxError, Service};

type Addresses = Arc<[SocketAddr]>;
type Lookup = fn(&str) -> io::Result<Addresses>;
type Found = Shared<BoxFuture<'static, Result<Addresses, Arc<io::Error>>>>;

/// Resolves a name and judges what it stands for. Connections are made to exactly what this gives, so
/// that nothing can change in between; one bad address condemns the name. Clones look up together.
#[derive(Clone)]
pub(crate) struct Resolver {
    egress: Option<Egress>,
    lookup: Lookup,
    last: Arc<Mutex<Option<Asked>>>,
}

/// A look-up.
struct Asked {
    name: Name,
    /// There as long as the thread is.
    goes_on: Weak<()>,
    found: Found,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("egress", &self.egress).finish_non_exhaustive()
    }
}

impl Resolver {
    /// By the system's; without a judge whatever it says may be reached.
    pub(crate) fn judging(egress: Option<Egress>) -> Self {
        Self::by(lookup, egress)
    }

    fn by(lookup: Lookup, egress: Option<Egress>) -> Self {
        Self { egress, lookup, last: Arc::default() }
    }

    /// Joins the look-up that goes on. One that is over may have been for long, with nobody there to hear of it.
    fn found(&self, name: &Name) -> Found {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let joined = last.as_ref().filter(|last| last.name == *name);
        if let Some(asked) = joined.filter(|asked| asked.goes_on.strong_count() > 0) {
            return asked.found.clone();
        }
        let thread = Arc::new(());
        let (lookup, host, goes_on) =
            (self.lookup, name.as_str().to_owned(), Arc::downgrade(&thread));
        let found = spawn_blocking(move || {
            let found = lookup(&host);
            drop(thread);
            found
        });
        let found = found.map(|ended| ended.unwrap_or_else(|panic| Err(io::Error::other(panic))));
        let found = found.map(|found| found.map_err(Arc::new)).boxed().shared();
        *last = Some(Asked { name: name.clone(), goes_on, found: found.clone() });
        found
    }
}

fn lookup(host: &str) -> io::Result<Addresses> {
    Ok((host, 0).to_socket_addrs()?.collect())
}

/// The same error for each who waited.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, egress) = (self.found(&name), self.egress.clone());
        Box::pin(async move {
            let addresses = found.await.map_err(|error| again(&error))?;
            let judge = |egress: Egress| {
                addresses.iter().try_for_each(|address| egress.judge(name.as_str(), address.ip()))
            };
            egress.map_or(Ok(()), judge)?;
            Ok(addresses.iter().copied().collect::<Vec<_>>().into_iter())
        })
    }
}

#[cfg(test)]
mod tests;
