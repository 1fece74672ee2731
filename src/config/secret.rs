//! Secrets that stand in files of their own.
//!
//! A secret that everybody on the machine may read or write is refused rather than used: the mistake is in
//! the file's mode, and would never be noticed otherwise.

use super::source;
use std::path::Path;

/// Longest secret, in bytes; URLs and tokens are a hundredth of it.
const MAX_BYTES: u64 = 64 * 1024;

/// The secret in a file, without the line ends after it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    source::absolute(path)?;
    let name = path.display();
    let (bytes, everybody) = source::bounded(path, MAX_BYTES)?;
    if let Some(why) = everybody.refused_a_secret(path) {
        return Err(why);
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} isn't UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{name} is empty")),
        secret => Ok(secret.to_owned()),
    }
}
