//! What `default.toml` says of each key: its default or an example, and a sentence.
//!
//! The JSON Schema takes its descriptions and defaults from here, and tests hold the reference to it, so
//! that nothing is written twice. Pure.

use super::default_file;
use std::fmt::Write as _;

/// A key as the file shows it.
#[derive(Debug)]
pub(super) struct Documented {
    /// `section.key`.
    pub(super) path: String,
    /// As written; absent where the line is an example.
    pub(super) default: Option<String>,
    /// As written; absent where the line is the default.
    pub(super) example: Option<String>,
    /// With the range in brackets.
    pub(super) sentence: String,
}

/// The keys of `default.toml`, examples included, with the comments above them.
pub(super) fn documented() -> Vec<Documented> {
    let (mut section, mut comment, mut all) = (String::new(), String::new(), Vec::new());
    for line in default_file().lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let name = bare.split(" = ").next().unwrap_or_default();
        let is_key = bare.contains(" = ")
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
        if bare.starts_with('[') {
            bare.trim_matches(['[', ']']).clone_into(&mut section);
            comment.clear();
        } else if is_key {
            let value = bare.split_once(" = ").map(|(_, value)| value.to_owned());
            let (default, example) = if bare == line { (value, None) } else { (None, value) };
            let sentence = std::mem::take(&mut comment).trim().to_owned();
            all.push(Documented { path: format!("{section}.{name}"), default, example, sentence });
        } else if line.starts_with('#') {
            // A write to a text can't fail.
            write!(comment, " {bare}").ok();
        } else {
            comment.clear();
        }
    }
    all
}
