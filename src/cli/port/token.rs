//! The token that a daemon's port is asked with: of the URL or the file that is named or, where none is, of the configuration.

use super::super::{Context, exit::Usage};
use crate::config;
use anyhow::Context as _;
use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
};

/// A token is no longer than this, in bytes, with what ends its line.
const TOKEN_FILE_MAX_BYTES: u64 = 1024;

/// One that was given in a URL; no `Debug` shows it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct Token(String);

impl Token {
    /// As it stands in a URL, with the escapes that a URL needs; none where it can't be one.
    pub(super) fn in_url(text: &str) -> Option<Self> {
        let token = unescaped(text)?;
        is_token(&token).then_some(Self(token))
    }

    /// The token itself.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// `%2F` is a `/`, and so on.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            unescaped.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        unescaped.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(unescaped).ok()
}

fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

/// An admin's, where a daemon of this configuration has tokens; of several, the one that is listed last: the one before it is
/// the new one, which a daemon has only once it has read its file again.
pub(in crate::cli) fn configured(context: &Context) -> anyhow::Result<Option<String>> {
    let loaded = config::load(&context.source)?;
    if let Some(file) = loaded.admin_token_file() {
        return of(file).map(Some);
    }
    if loaded.settings.admin.tokens.is_empty() {
        return Ok(None);
    }
    let how = "the configuration has tokens and none of them is an admin's (admin.token_file): name a file with one by --token-file";
    Err(Usage(how.into()).into())
}

/// What stands in the file.
pub(in crate::cli) fn of(file: &Path) -> anyhow::Result<String> {
    let read = || {
        let mut text = String::new();
        fs::File::open(file)?.take(TOKEN_FILE_MAX_BYTES).read_to_string(&mut text)?;
        io::Result::Ok(text)
    };
    let text = read().with_context(|| format!("couldn't read {}", file.display()))?;
    let token = text.trim();
    if !is_token(token) {
        return Err(Usage(format!("there is no token in {}", file.display())).into());
    }
    Ok(token.to_owned())
}
