//! What is wrong with a configuration: all of it, each with its place, as a compiler would say it.
//!
//! People fix configuration in rounds if they are told of one mistake a round; so nothing here stops
//! at the first. No secret gets in: whoever makes a mistake decides what of the value it shows.

use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong and what to write instead; one sentence that reads alone.
    pub message: String,
    /// Where: `legwork.toml:12`, `environment LEGWORK_LOG__FILTER`, `flag --database-url`.
    pub place: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.place {
            Some(place) => write!(f, "\n  --> {place}"),
            None => Ok(()),
        }
    }
}

/// Every mistake of one configuration, in the order of the file; at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    listed: Vec<Mistake>,
    /// How many were found beyond [`MISTAKES_MAX`].
    more: usize,
}

/// Mistakes that are listed; further ones are counted. A file with more isn't a configuration.
const MISTAKES_MAX: usize = 200;

impl Mistakes {
    /// A single one that has no place.
    pub(super) fn one(message: String) -> Self {
        Self { listed: vec![Mistake { message, place: None }], more: 0 }
    }

    /// Notes a mistake.
    pub(crate) fn push(&mut self, message: impl Into<String>, place: Option<&str>) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        self.listed.push(Mistake { message: message.into(), place: place.map(str::to_owned) });
    }

    /// Whether further ones are only counted, so that no work need go into their wording.
    pub(super) fn is_full(&self) -> bool {
        self.listed.len() >= MISTAKES_MAX
    }

    /// The mistakes, at most 200 of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.listed.iter()
    }

    /// `Ok` with the value if nothing was wrong.
    pub(crate) fn unless_any<T>(mut self, value: impl FnOnce() -> T) -> Result<T, Self> {
        if self.listed.is_empty() {
            return Ok(value());
        }
        self.listed.sort_by_key(order);
        self.listed.dedup();
        Err(self)
    }
}

/// File mistakes by line, then those of the environment and flags as they came.
fn order(mistake: &Mistake) -> (bool, usize) {
    let line = |place: &str| place.rsplit_once(':')?.1.parse::<usize>().ok();
    match mistake.place.as_deref().and_then(line) {
        Some(line) => (false, line),
        None => (true, 0),
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.listed.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nerror: there are {more} more mistakes"),
        }
    }
}
