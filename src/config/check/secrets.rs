//! Keys that name one file with a secret, or several while one is replaced.

use crate::config::{
    reader::{At, Reader},
    secret,
};
use std::path::Path;

/// Most secrets that a key names.
const FILES_MAX: usize = 64;

/// The secrets of a key's files. `unless` is what leaving the key out means.
pub(super) fn all<T>(
    reader: &mut Reader<'_>,
    at: At<'_>,
    (key, unless): (&str, &str),
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Vec<T> {
    let files = reader.one_or_more(at, key);
    let is_given = reader.raw(at, key).is_some();
    if files.is_empty() && is_given && reader.sound(at, &[key]) {
        let why = format!("no file is listed: leave the key out if {unless}");
        reader.refuse(at, key, &why);
    }
    if files.len() > FILES_MAX {
        let why = format!("{} files are listed, {FILES_MAX} are allowed", files.len());
        reader.refuse(at, key, &why);
        return Vec::new();
    }
    let mut secrets = Vec::new();
    for file in files {
        let secret = secret::read(Path::new(&file));
        match secret.and_then(|text| parse(&text).map_err(|why| format!("{file}: {why}"))) {
            Ok(secret) => secrets.push(secret),
            Err(why) => reader.refuse(at, key, &why),
        }
    }
    secrets
}
