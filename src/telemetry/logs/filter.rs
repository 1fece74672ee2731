//! Which lines appear: what the file says, or for a while what an operator asked for.
//!
//! Whoever wants to see more during an incident forgets to take it back, and a log that fills a disk is the next
//! incident. So what is asked for ends by itself, and a reload in between changes what it ends in. It starts no
//! timer: the daemon's beat has it look.

use super::{LogsError, NOTICES, WARNINGS};
use crate::{config::filter_is_for_all, schedule::Moment, telemetry::events};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Which lines appear. Clones share it.
#[derive(Debug, Clone)]
pub struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    levels: Arc<Mutex<Levels>>,
}

#[derive(Debug)]
struct Levels {
    /// What holds where nothing else was asked for.
    configured: String,
    asked: Option<Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    filter: String,
    since: String,
    until: String,
    due: Instant,
}

/// Which lines appear at the moment, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// By what the log goes.
    pub filter: String,
    /// What it goes by where nothing else was asked for.
    pub configured: String,
    /// Since when it goes by something else, by this machine's clock; none where it doesn't.
    pub since: Option<String>,
    /// Until when.
    pub until: Option<String>,
}

impl Filter {
    pub(super) fn new(handle: reload::Handle<EnvFilter, Registry>, configured: &str) -> Self {
        let levels = Levels { configured: configured.to_owned(), asked: None };
        Self { handle, levels: Arc::new(Mutex::new(levels)) }
    }

    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these, or once what was asked for has ended.
    pub fn set(&self, filter: &str) -> Result<(), LogsError> {
        let read = read(filter)?;
        let mut levels = self.levels();
        if levels.asked.is_none() {
            self.handle.reload(read)?;
        }
        filter.clone_into(&mut levels.configured);
        Ok(())
    }

    /// For so long these, whatever was asked for before.
    #[expect(
        clippy::disallowed_methods,
        reason = "shown to people; the monotonic clock decides when it ends"
    )]
    pub fn ask(&self, filter: &str, time: Duration) -> Result<Level, LogsError> {
        let read = read(filter)?;
        let now = SystemTime::now();
        let (since, until) = (moment(now), moment(now + time));
        let asked = Asked { filter: filter.to_owned(), since, until, due: Instant::now() + time };
        // Said by whichever of the two filters lets it through.
        let is_heard = tracing::enabled!(tracing::Level::WARN);
        if is_heard {
            say(&asked);
        }
        let mut levels = self.levels();
        self.handle.reload(read)?;
        levels.asked = Some(asked.clone());
        drop(levels);
        if !is_heard {
            say(&asked);
        }
        Ok(self.level())
    }

    /// Goes back to what is configured, before the time of what was asked for is over; says whether anything was.
    pub fn take_back(&self) -> Result<bool, LogsError> {
        let is_heard = tracing::enabled!(tracing::Level::WARN);
        let mut levels = self.levels();
        if levels.asked.is_none() {
            return Ok(false);
        }
        if is_heard {
            say_back(&levels.configured, "somebody took back what was asked for");
        }
        self.handle.reload(read(&levels.configured)?)?;
        levels.asked = None;
        let configured = levels.configured.clone();
        drop(levels);
        if !is_heard {
            say_back(&configured, "somebody took back what was asked for");
        }
        Ok(true)
    }

    /// Goes back to what is configured once the time of what was asked for is over.
    pub fn revert_when_due(&self) {
        let mut levels = self.levels();
        if levels.asked.as_ref().is_none_or(|asked| asked.due > Instant::now()) {
            return;
        }
        // It was read before; and should it not be taken, the next look tries again.
        let Ok(read) = read(&levels.configured) else { return };
        if self.handle.reload(read).is_err() {
            return;
        }
        levels.asked = None;
        let configured = levels.configured.clone();
        drop(levels);
        say_back(&configured, "the time of what was asked for is over");
    }

    /// What holds at the moment.
    pub fn level(&self) -> Level {
        let levels = self.levels();
        let (configured, asked) = (levels.configured.clone(), levels.asked.clone());
        let Some(Asked { filter, since, until, .. }) = asked else {
            return Level { filter: configured.clone(), configured, since: None, until: None };
        };
        Level { filter, configured, since: Some(since), until: Some(until) }
    }
}

fn say(asked: &Asked) {
    let Asked { filter, until, .. } = asked;
    tracing::warn!(
        event = events::LOG_FILTER_CHANGED,
        log.filter = filter,
        until,
        "the log goes by another filter for a while"
    );
}

fn say_back(configured: &str, why: &str) {
    tracing::warn!(
        event = events::LOG_FILTER_CHANGED,
        log.filter = configured,
        "the log goes by log.filter again: {why}"
    );
}

/// As people read it, by this machine's clock.
fn moment(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    Moment::of(since).to_string()
}

pub(super) fn read(filter: &str) -> Result<EnvFilter, LogsError> {
    let mut read = EnvFilter::try_new(filter)?;
    // Else the warning that nothing else is logged would be the first that isn't.
    if !filter_is_for_all(filter) {
        read = read.add_directive(format!("{WARNINGS}=warn").parse()?);
    }
    if filter.split(',').any(|part| part.trim_start().starts_with(NOTICES)) {
        return Ok(read);
    }
    Ok(read.add_directive(format!("{NOTICES}=off").parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::level_filters::LevelFilter;

    fn filter() -> (Filter, impl tracing::Subscriber) {
        use tracing_subscriber::{Layer, fmt, layer::SubscriberExt};
        let (layer, handle) = reload::Layer::new(read("info").expect("a filter"));
        let lines = fmt::layer().with_writer(std::io::sink);
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(layer));
        (Filter::new(handle, "info"), subscriber)
    }

    /// Asked of the filter itself: what a place in the code has cached is all tests' together.
    fn lets_through(filter: &Filter) -> LevelFilter {
        let most = filter.handle.with_current(EnvFilter::max_level_hint);
        most.expect("its subscriber is there").expect("it has a level")
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_ends_in_what_is_configured_by_then() {
        let (filter, subscriber) = filter();
        let _hearing = tracing::subscriber::set_default(subscriber);
        assert_eq!(lets_through(&filter), LevelFilter::INFO);
        let level = filter.ask("debug", Duration::from_mins(1)).expect("a filter");
        assert_eq!(lets_through(&filter), LevelFilter::DEBUG);
        assert!(level.until > level.since && level.since.is_some(), "{level:?}");
        assert_eq!((level.filter.as_str(), level.configured.as_str()), ("debug", "info"));

        // A reload in between doesn't take it away, and a wrong one changes nothing.
        filter.set("warn").expect("a filter");
        assert!(filter.set("x=y=z").is_err() && filter.ask("[", Duration::from_secs(1)).is_err());
        tokio::time::advance(Duration::from_secs(59)).await;
        filter.revert_when_due();
        assert_eq!(lets_through(&filter), LevelFilter::DEBUG);
        tokio::time::advance(Duration::from_secs(1)).await;
        filter.revert_when_due();
        assert_eq!(lets_through(&filter), LevelFilter::WARN);
        let level =
            Level { filter: "warn".into(), configured: "warn".into(), since: None, until: None };
        assert_eq!(filter.level(), level);
        filter.set("debug").expect("a filter");
        assert_eq!(lets_through(&filter), LevelFilter::DEBUG, "a reload changes it again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_taken_back_before_its_time_and_once() {
        let (filter, subscriber) = filter();
        let _hearing = tracing::subscriber::set_default(subscriber);
        let before = filter.level();
        assert!(!filter.take_back().expect("a filter"), "nothing was asked for");
        filter.ask("off", Duration::from_mins(1)).expect("a filter");
        assert!(filter.take_back().expect("a filter"));
        assert_eq!((filter.level(), lets_through(&filter)), (before, LevelFilter::INFO));
        assert!(!filter.take_back().expect("a filter"), "it was taken back before");
        // Its time doesn't end what is asked for next.
        filter.ask("debug", Duration::from_hours(1)).expect("a filter");
        tokio::time::advance(Duration::from_mins(2)).await;
        filter.revert_when_due();
        assert_eq!(lets_through(&filter), LevelFilter::DEBUG);
    }
}
