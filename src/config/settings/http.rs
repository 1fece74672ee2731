//! The keys of `handler = "http"`, checked.

use crate::config::{Denied, Egress};
use ::url::Url;
use rustls::pki_types::CertificateDer;
use std::{fmt, time::Duration};

/// Where the requests of a kind go and what they carry.
#[derive(Clone, PartialEq)]
pub struct HttpSettings {
    /// Where to; http or https, without user, password and fragment.
    pub url: Url,
    /// Headers besides Legwork's own.
    pub headers: Vec<(String, String)>,
    /// What requests are signed with; the receiver needs to know one of them.
    pub secrets: Vec<SigningSecret>,
    /// Authorities that are trusted besides the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Which addresses it may reach.
    pub egress: Egress,
    /// How long finding the address, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long the receiver may take until its answer begins.
    pub response_timeout: Duration,
    /// How much of an answer's body is read, in bytes.
    pub max_result: usize,
    /// When it is left alone.
    pub circuit: CircuitSettings,
    /// How it calls back where it answers 202; absent = a 202 completes the job.
    pub callback: Option<CallbackSettings>,
}

/// `async = true`: a receiver may take a job by 202 and say later what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackSettings {
    /// Where receivers reach the admin port of this daemon.
    pub base: Url,
    /// How long nothing may be heard of an attempt; absent = for as long as it has time.
    pub timeout: Option<Duration>,
}

impl CallbackSettings {
    /// Where the calls of a token go to.
    pub fn url(&self, token: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base}/api/v1/callbacks/{token}")
    }
}

/// When nothing is sent to a receiver that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitSettings {
    /// After so many failures in a row; 0 = never.
    pub failures: u32,
    /// For how long, until one request sees whether it is well again.
    pub open_for: Duration,
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self { failures: 20, open_for: Duration::from_secs(30) }
    }
}

impl HttpSettings {
    /// Where nothing else is said.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// Where nothing else is said; Standard Webhooks advises 15 to 30 s.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Where nothing else is said, in bytes.
    pub const MAX_RESULT: usize = 64 * 1024;

    /// Requests to this URL, unsigned, to public addresses only.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            secrets: Vec::new(),
            authorities: Vec::new(),
            egress: Egress::default(),
            connect_timeout: Self::CONNECT_TIMEOUT,
            response_timeout: Self::RESPONSE_TIMEOUT,
            max_result: Self::MAX_RESULT,
            circuit: CircuitSettings::default(),
            callback: None,
        }
    }

    /// Scheme, host and port: what metrics and errors call it. A path may hold a secret.
    pub fn target(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether an address that stands in the URL itself may be reached. Names are judged by what they stand
    /// for, at each connection.
    pub(crate) fn judge_address(&self) -> Result<(), Denied> {
        self.egress.judge_address(&self.url)
    }
}

impl fmt::Debug for HttpSettings {
    /// Without the headers' values, which may be secrets, and without the path, for the same reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpSettings")
            .field("target", &self.target())
            .field("headers", &names)
            .field("secrets", &self.secrets)
            .field("egress", &self.egress)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("max_result", &self.max_result)
            .field("circuit", &self.circuit)
            .field("callback", &self.callback)
            .finish_non_exhaustive()
    }
}

/// The bytes of a `whsec_…` secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// How many bytes a secret has: what Standard Webhooks asks for.
    const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        const HOW: &str = "a signing secret is whsec_ and 24 to 64 random bytes in base64: make one \
                           with `echo whsec_$(openssl rand -base64 32)`";
        let bytes = text.strip_prefix("whsec_").and_then(|base64| STANDARD.decode(base64).ok());
        bytes.filter(|bytes| Self::BYTES.contains(&bytes.len())).map(Self).ok_or(HOW)
    }

    /// What to sign with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}
