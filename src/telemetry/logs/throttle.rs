//! Cuts storms short: a warning or error that repeats too fast is left out and counted, and so is information
//! that strangers can cause.
//!
//! The key is the call site, of which there are as many as the program has log statements, and the kind of the job
//! that the line is about, so that a noisy kind hides no other; of kinds there are only so many at a time, and the
//! rest share one place. The next line that passes says how many were left out; where none comes, the writer asks once
//! the window is over, and at the end of the process. It writes nothing.

use crate::{job::KindName, telemetry::events};
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

/// Kinds that have windows of their own at a call site at a time.
pub(super) const KINDS_MAX: usize = 64;

/// What each call site wrote in its current windows.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Identifier, Place>>);

/// A call site.
#[derive(Debug)]
struct Place {
    metadata: &'static Metadata<'static>,
    event: Option<String>,
    /// How many lines it may write of a kind.
    most: usize,
    windows: HashMap<Whose, Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: usize,
    left_out: u64,
    /// Of the windows before, whose lines nobody has told of yet.
    left_out_before: u64,
}

/// What the lines of a window are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    /// No job.
    NoJob,
    /// Jobs of this kind.
    Kind(KindName),
    /// Jobs of any of the kinds for which there was no room.
    FurtherKinds,
}

/// Whose lines that were left out are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Those of windows that are over.
    Ended,
    /// All: nobody will speak any more.
    All,
}

/// Lines of one place, about jobs of one kind, that were left out.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub(super) place: &'static Metadata<'static>,
    /// The event that they told of, if it has a name.
    pub(super) event: Option<String>,
    pub(super) kind: Option<KindName>,
    pub(super) lines: u64,
}

impl Throttle {
    /// Whether a line about a job of this kind passes, and how many were left out since the last that did.
    pub(super) fn pass(
        &self,
        line: &Event<'_>,
        kind: impl FnOnce() -> Option<KindName>,
    ) -> Option<u64> {
        let metadata = line.metadata();
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(metadata.callsite()).or_insert_with(|| Place::of(line));
        if place.most == usize::MAX {
            return Some(0);
        }
        let (now, most) = (Instant::now(), place.most);
        let (whose, window) = place.window(kind(), now);
        if window.is_over(now) {
            (window.since, window.written) = (now, 0);
            window.left_out_before += std::mem::take(&mut window.left_out);
        }
        if window.written >= most {
            window.left_out += 1;
            return None;
        }
        window.written += 1;
        // What was left out of the shared window isn't of this line's kind alone: the writer tells of it.
        let is_shared = whose == Whose::FurtherKinds;
        Some(if is_shared { 0 } else { window.take_left_out(Due::All, now) })
    }

    /// What was left out and no line has told of. It counts as told.
    pub(super) fn untold(&self, due: Due) -> Vec<LeftOut> {
        let now = Instant::now();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.values_mut().flat_map(|place| place.untold(due, now)).collect()
    }
}

impl Place {
    fn of(line: &Event<'_>) -> Self {
        let (metadata, event) = (line.metadata(), name(line));
        let most = most(*metadata.level(), event.as_deref());
        Self { metadata, event, most, windows: HashMap::new() }
    }

    /// The window of this kind, or where there are many already, that of further kinds.
    fn window(&mut self, kind: Option<KindName>, now: Instant) -> (Whose, &mut Window) {
        let mut whose = kind.map_or(Whose::NoJob, Whose::Kind);
        let is_new = whose != Whose::NoJob && !self.windows.contains_key(&whose);
        if is_new && self.windows.len() >= KINDS_MAX {
            // What is over and has nothing to tell is as good as new.
            self.windows.retain(|_, window| !window.is_over(now) || window.has_left_out());
        }
        if is_new && self.windows.len() >= KINDS_MAX {
            whose = Whose::FurtherKinds;
        }
        let fresh = || Window { since: now, written: 0, left_out: 0, left_out_before: 0 };
        (whose.clone(), self.windows.entry(whose).or_insert_with(fresh))
    }

    fn untold(&mut self, due: Due, now: Instant) -> Vec<LeftOut> {
        let (place, event) = (self.metadata, &self.event);
        let take = |(whose, window): (&Whose, &mut Window)| LeftOut {
            place,
            event: event.clone(),
            kind: if let Whose::Kind(kind) = whose { Some(kind.clone()) } else { None },
            lines: window.take_left_out(due, now),
        };
        self.windows.iter_mut().map(take).filter(|left_out| left_out.lines > 0).collect()
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }

    fn has_left_out(&self) -> bool {
        self.left_out + self.left_out_before > 0
    }

    /// How many lines were left out that are due to be told of. They count as told.
    fn take_left_out(&mut self, due: Due, now: Instant) -> u64 {
        let is_due = due == Due::All || self.is_over(now);
        let now_over = if is_due { std::mem::take(&mut self.left_out) } else { 0 };
        now_over + std::mem::take(&mut self.left_out_before)
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
