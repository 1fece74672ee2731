//! `log.filter`: `tracing`'s syntax, and the one trap in it.

use crate::config::keys::closest;
use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Refuses what `tracing` can't read, and a misspelt level, which it would take for a target whose
/// every line is wanted.
pub(super) fn check(text: &str) -> Result<(), String> {
    const MAX_BYTES: usize = 1024;
    let levels = LEVELS.join(", ");
    if text.trim().is_empty() || text.len() > MAX_BYTES {
        return Err(format!("write a level ({levels}) or target=level, at most {MAX_BYTES} bytes"));
    }
    let lower = text.to_ascii_lowercase();
    let bare = lower.split(',').map(str::trim).filter(|part| !part.contains(['=', '[', ':']));
    for word in bare.filter(|word| !LEVELS.contains(word)) {
        if let Some(near) = closest(word, LEVELS.into_iter(), 0.5) {
            return Err(format!("{word:?} isn't a level; did you mean {near:?}?"));
        }
    }
    let why = |error| format!("{text:?} isn't a filter: {error}");
    EnvFilter::builder().parse(text).map(drop).map_err(why)
}
