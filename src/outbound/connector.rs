//! How a connection comes about: the look-up, TCP and TLS, all three within one time.

use super::Terms;
use hyper::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use std::{error::Error, io, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tower::{
    BoxError,
    timeout::{Timeout, error::Elapsed},
    util::BoxCloneSyncService,
};

/// A silent connection is asked by the kernel for a sign of life after this long, and as often again; after three
/// without one it is broken. It breaks as well where what was sent isn't acknowledged within [`UNACKNOWLEDGED_MAX`].
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_TRIES: u32 = 3;
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// Makes connections. Boxed, since the library moves what it waits for.
pub(super) type Connector =
    BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

pub(super) fn of(terms: &Terms<'_>) -> Connector {
    let mut tcp = HttpConnector::new_with_resolver(terms.resolver.clone());
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(terms.connect_timeout));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(KEEPALIVE_TRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
    let tls = HttpsConnectorBuilder::new()
        .with_tls_config(tls(terms.authorities))
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    BoxCloneSyncService::new(Timeout::new(tls, terms.connect_timeout))
}

/// Whether a connection took longer than it may, by its own time or by the kernel's.
pub(crate) fn is_late(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<Elapsed>()
        || cause.downcast_ref().is_some_and(|io: &io::Error| io.kind() == io::ErrorKind::TimedOut)
}

/// TLS 1.2 and 1.3. Which versions of HTTP are offered is for the connector to say.
fn tls(authorities: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(authorities.iter().cloned());
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers what these versions need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
