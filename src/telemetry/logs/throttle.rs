//! Cuts storms short: a warning or error that repeats too fast is left out and counted.
//!
//! The key is the call site, of which there are as many as the program has log statements, so the
//! table needs no bound of its own. The next line that passes says how many were left out.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{Level, Metadata, callsite::Identifier};

/// Lines that one call site may write in a window.
pub(super) const LINES_PER_WINDOW: usize = 10;
/// Length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// What each call site wrote in its current window.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Identifier, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    written: usize,
    left_out: u64,
}

impl Throttle {
    /// Whether the line passes, and how many were left out since the last that did.
    pub(super) fn pass(&self, metadata: &Metadata<'_>) -> Option<u64> {
        if *metadata.level() > Level::WARN {
            return Some(0);
        }
        let now = Instant::now();
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Window { since: now, written: 0, left_out: 0 };
        let window = sites.entry(metadata.callsite()).or_insert_with(fresh);
        if now.duration_since(window.since) >= WINDOW {
            (window.since, window.written) = (now, 0);
        }
        if window.written >= LINES_PER_WINDOW {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}
