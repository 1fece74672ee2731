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
#[derive(Clone, Eq)]
pub struct AdminToken([u8; SHA256_OUTPUT_LEN]);

/// In a time that says nothing about how much is alike, so that no comparison of tokens does.
impl PartialEq for AdminToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

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

    /// What it is called where it is told who did something: the begin of its SHA-256, by which whoever has the token can
    /// find it and nobody else can guess it.
    pub fn name(&self) -> String {
        self.0.iter().take(4).fold(String::new(), |name, byte| format!("{name}{byte:02x}"))
    }

    /// Whether this is it, in a time that says nothing about how much of it is.
    pub fn is(&self, presented: &str) -> bool {
        *self == Self(hashed(presented))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A comparison of another sort would go unnoticed: it gives the same answers.
    #[test]
    fn tokens_are_compared_in_constant_time_and_in_no_other_way() {
        let (code, _) = include_str!("admin.rs").split_once("#[cfg(test)]").unwrap_or_default();
        let token = code.split("pub struct AdminToken(").nth(1).expect("what a token does");
        let derived = code.split("pub struct AdminToken(").next().and_then(|it| it.lines().last());
        assert_eq!(derived, Some("#[derive(Clone, Eq)]"));
        let compares: Vec<_> = token
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("==") || line.contains("eq("))
            .collect();
        assert_eq!(
            compares,
            [
                "fn eq(&self, other: &Self) -> bool {",
                "self.0.ct_eq(&other.0).into()",
                "*self == Self(hashed(presented))",
            ]
        );
    }

    #[test]
    fn a_token_is_itself_and_no_other() {
        let of = |text: &str| AdminToken::parse(&text.repeat(32)).expect("a token");
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert!(of("a").is(&"a".repeat(32)) && !of("a").is(&"b".repeat(32)));
    }
}
