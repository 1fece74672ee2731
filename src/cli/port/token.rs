//! The token that a daemon's port is asked with.

use super::super::exit::Usage;
use anyhow::Context as _;
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// A token is no longer than this, in bytes, with what ends its line.
const TOKEN_FILE_MAX_BYTES: u64 = 1024;

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
