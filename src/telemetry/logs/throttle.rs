//! Cuts storms short: a warning or error that repeats too fast is left out and counted, and so is information
//! that strangers can cause.
//!
//! The key is the call site, of which there are as many as the program has log statements, so the
//! table needs no bound of its own. The next line that passes says how many were left out; where none
//! comes, the writer asks once the window is over, and at the end of the process. It writes nothing.

use crate::telemetry::events;
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{
    Event, Level, Metadata,
    callsite::Identifier,
    field::{Field, Visit},
};

/// Warnings or errors that one call site may write in a window.
pub(super) const LINES_PER_WINDOW: usize = 10;
/// Length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// What each call site wrote in its current window.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Identifier, Window>>);

#[derive(Debug)]
struct Window {
    place: &'static Metadata<'static>,
    event: Option<String>,
    /// How many lines it may write.
    most: usize,
    since: Instant,
    written: usize,
    left_out: u64,
}

/// Whose lines that were left out are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Those of windows that are over.
    Ended,
    /// All: nobody will speak any more.
    All,
}

/// Lines of one place that were left out.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub(super) place: &'static Metadata<'static>,
    /// The event that they told of, if it has a name.
    pub(super) event: Option<String>,
    pub(super) lines: u64,
}

impl Throttle {
    /// Whether the line passes, and how many were left out since the last that did.
    pub(super) fn pass(&self, line: &Event<'_>) -> Option<u64> {
        let place = line.metadata();
        if *place.level() > Level::INFO {
            return Some(0);
        }
        let now = Instant::now();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            let event = name(line);
            let most = most(*place.level(), event.as_deref());
            Window { place, event, most, since: now, written: 0, left_out: 0 }
        };
        let window = places.entry(place.callsite()).or_insert_with(fresh);
        if window.most == usize::MAX {
            return Some(0);
        }
        if window.is_over(now) {
            (window.since, window.written) = (now, 0);
        }
        if window.written >= window.most {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// What was left out and no line has told of. It counts as told.
    pub(super) fn untold(&self, due: Due) -> Vec<LeftOut> {
        let now = Instant::now();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = places.values_mut().filter(|window| window.left_out > 0);
        let windows = windows.filter(|window| due == Due::All || window.is_over(now));
        let take = |window: &mut Window| LeftOut {
            place: window.place,
            event: window.event.clone(),
            lines: std::mem::take(&mut window.left_out),
        };
        windows.map(take).collect()
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }
}

/// How many lines of a place appear in a window.
fn most(level: Level, event: Option<&str>) -> usize {
    let limited = events::LIMITED.iter().find(|(limited, _)| event == Some(*limited));
    match (limited, event) {
        (_, Some(event)) if events::UNTHROTTLED.contains(&event) => usize::MAX,
        (Some((_, most)), _) => *most,
        _ if level > Level::WARN => usize::MAX,
        _ => LINES_PER_WINDOW,
    }
}

/// The event of a line. All lines of a place tell of the same.
fn name(line: &Event<'_>) -> Option<String> {
    let mut name = Name(None);
    line.record(&mut name);
    name.0
}

struct Name(Option<String>);

impl Visit for Name {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
