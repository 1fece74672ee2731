//! How requests leave this daemon, whoever sends them: TLS with built-in authorities, and nothing followed,
//! no redirect and no proxy of the environment.
//!
//! Which addresses may be reached, and how long anything may take, is for who sends to say.

use reqwest::{Client, ClientBuilder, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use std::{sync::Arc, time::Duration};

/// An HTTP/2 connection under way from which nothing comes for the first time is asked for a sign of life,
/// and given up where none comes within the second: requests share it, and nothing else would end it.
const PING_AFTER: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that trusts the public authorities and these; HTTP/2 where the other side offers it.
pub(crate) fn client(authorities: &[CertificateDer<'static>]) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls(authorities))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .user_agent(concat!("legwork/", env!("CARGO_PKG_VERSION")))
}

/// TLS 1.2 and 1.3.
fn tls(authorities: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(authorities.iter().cloned());
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers what these versions need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}
