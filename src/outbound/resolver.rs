//! What a name stands for, and whether that may be reached.

use crate::config::Egress;
use hyper_util::client::legacy::connect::dns::Name;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    vec,
};
use tower::{BoxError, Service};

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Lookup = fn(String) -> Found;
type Judged = Pin<Box<dyn Future<Output = Result<vec::IntoIter<SocketAddr>, BoxError>> + Send>>;

/// Resolves a name and judges what it stands for. Connections are made to exactly what this gives, so
/// that nothing can change in between; one bad address condemns the name.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    egress: Option<Egress>,
    lookup: Lookup,
}

impl Resolver {
    /// By the system's; without a judge whatever it says may be reached.
    pub(super) fn judging(egress: Option<Egress>) -> Self {
        Self { egress, lookup }
    }
}

fn lookup(host: String) -> Found {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Judged;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Judged {
        let host = name.as_str().to_owned();
        let (found, egress) = ((self.lookup)(host.clone()), self.egress.clone());
        Box::pin(async move {
            let addresses = found.await?;
            let judge = |egress: Egress| {
                addresses.iter().try_for_each(|address| egress.judge(&host, address.ip()))
            };
            egress.map_or(Ok(()), judge)?;
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    async fn resolved(lookup: Lookup) -> Result<Vec<SocketAddr>, String> {
        let mut judging = Resolver { egress: Some(Egress::default()), lookup };
        let found = judging.call("example.org".parse().expect("a name")).await;
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
    async fn without_a_judge_any_address_is_handed_on() {
        let lookup: Lookup = |_| given(&["127.0.0.1"]);
        let mut trusting = Resolver { egress: None, lookup };
        let found = trusting.call("collector".parse().expect("a name")).await.expect("any");
        assert_eq!(found.map(|found| found.ip().to_string()).collect::<Vec<_>>(), ["127.0.0.1"]);
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
