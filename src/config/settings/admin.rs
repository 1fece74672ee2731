//! `[admin]`, checked: where the port is, by which names it goes, and the tokens of those who may ask it.

use ::url::Url;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::{fmt, net::SocketAddr};
use subtle::ConstantTimeEq;

/// `[admin]`
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Where it listens; absent = off.
    pub listen: Option<SocketAddr>,
    /// Names by which it is asked, besides addresses and `localhost`; in lower case.
    pub allow_hosts: Vec<String>,
    /// Where receivers of http kinds reach it.
    pub callback_url: Option<Url>,
    /// What those who ask have to know.
    pub tokens: AdminTokens,
}

/// Tokens by what they allow; several while one is replaced. Without any, the machine itself may do
/// everything, and others see health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminTokens {
    /// For everything.
    pub admin: Vec<AdminToken>,
    /// For jobs and queues.
    pub operator: Vec<AdminToken>,
    /// For looking.
    pub viewer: Vec<AdminToken>,
}

impl AdminTokens {
    /// Whether nothing has to be known.
    pub fn is_empty(&self) -> bool {
        self.admin.is_empty() && self.operator.is_empty() && self.viewer.is_empty()
    }
}

/// A token, as far as it has to be remembered: its SHA-256. What a memory dump or a bug shows of it is of no
/// use.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken([u8; SHA256_OUTPUT_LEN]);

impl AdminToken {
    /// How many bytes a token has: 32 can't be guessed, and more than 512 are no token.
    const BYTES: std::ops::RangeInclusive<usize> = 32..=512;

    /// Takes a token that is long enough, of what an `Authorization` header carries as it is.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const HOW: &str = "a token is 32 to 512 letters, digits and -._~+/=: make one with `openssl rand -hex 32`";
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let fits = Self::BYTES.contains(&text.len()) && text.bytes().all(legal);
        fits.then(|| Self(hashed(text))).ok_or(HOW)
    }

    /// Whether this is it, in a time that says nothing about how much of it is.
    pub fn is(&self, presented: &str) -> bool {
        self.0.ct_eq(&hashed(presented)).into()
    }
}

fn hashed(text: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}
