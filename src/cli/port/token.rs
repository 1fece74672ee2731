//! The token that a daemon's port is asked with: of the file that is named or, where none is, of the configuration.

use super::super::{Context, exit::Usage};
use crate::config;
use anyhow::Context as _;
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// A token is no longer than this, in bytes, with what ends its line.
const TOKEN_FILE_MAX_BYTES: u64 = 1024;

/// An admin's, where a daemon of this configuration has tokens; of several, the one that is listed first.
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
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if token.is_empty() || !token.chars().all(fits) {
        return Err(Usage(format!("there is no token in {}", file.display())).into());
    }
    Ok(token.to_owned())
}
