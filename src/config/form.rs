//! Text and numbers into values with units, and back; pure.
//!
//! Each function says what it read or what to write instead, without naming the key or the place,
//! which are the reader's to tell.

use super::keys::{CONCURRENCY_MAX, Form};
use crate::job::{RETENTION_MAX, RateLimit, Retention};
use std::time::Duration;

const UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `250ms`, `5s`, `10m`, `24h`, `30d`: a whole number and one unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    Some(Duration::from_millis(measured(text, &UNITS_MS)?))
}

/// `512B`, `64KiB`, `1MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    measured(text, &SIZES)
}

fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The shortest text that [`duration`] reads back as this.
pub(super) fn duration_text(time: Duration) -> String {
    written(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &UNITS_MS, "0s")
}

/// The shortest text that [`size`] reads back as this.
pub(super) fn size_text(bytes: u64) -> String {
    written(bytes, &SIZES, "0B")
}

fn written(amount: u64, units: &[(&str, u64)], zero: &str) -> String {
    let fits = units.iter().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    fits.map_or_else(|| zero.into(), |(unit, factor)| format!("{}{unit}", amount / factor))
}

/// `20`, `cpus`, `2*cpus`: jobs at once, given that many CPUs.
pub(super) fn concurrency(text: &str, cpus: usize) -> Option<u64> {
    let cpus = u64::try_from(cpus).ok()?;
    match text.strip_suffix("cpus") {
        Some("") => Some(cpus),
        Some(times) => plain(times.strip_suffix('*')?)?.checked_mul(cpus),
        None => plain(text),
    }
}

fn plain(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `24h`, `30d`, `none`.
pub(super) fn retention(text: &str) -> Option<Retention> {
    match text {
        "none" => Some(Retention::None),
        text => duration(text).filter(|time| is_retention(*time)).map(Retention::For),
    }
}

/// Whether finished jobs can be kept so long.
pub(super) fn is_retention(time: Duration) -> bool {
    !time.is_zero() && time <= RETENTION_MAX
}

/// `100/s burst 20`.
pub(super) fn rate_limit(text: &str) -> Option<RateLimit> {
    text.parse().ok()
}

impl Form {
    /// What the value should have been, after “isn't”.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Text | Self::Filter | Self::Name | Self::Cron | Self::Zone => "text",
            Self::Url => "a connection URL",
            Self::Path => "a path",
            Self::Paths => "a path or a list of paths",
            Self::HttpUrl => "an http or https URL",
            Self::Switch => "true or false",
            Self::Duration { .. } => "a duration",
            Self::Size { .. } => "a size",
            Self::Count { .. } | Self::Signed { .. } => "a whole number",
            Self::Cap { .. } => "a whole number or \"none\"",
            Self::Number { .. } => "a number",
            Self::Concurrency => "a number of jobs",
            Self::Retention => "a retention",
            Self::RateLimit => "a rate limit",
            Self::OneOf(_) => "one of these",
            Self::Address => "an address",
            Self::Words => "a list of texts",
            Self::Pairs => "a table of texts",
            Self::Json => "JSON",
        }
    }

    /// How it is written.
    pub(super) fn how(self) -> String {
        match self {
            Self::Text | Self::Filter | Self::Name | Self::Cron | Self::Zone => {
                "write it in quotes".into()
            }
            Self::Url => "write \"postgres://user@host/database\"".into(),
            Self::Path => "write it absolute and in quotes".into(),
            Self::Paths => {
                "write \"/run/secrets/now\" or [\"/run/secrets/new\", \"/run/secrets/old\"]".into()
            }
            Self::HttpUrl => "write \"https://host/path\"".into(),
            Self::Switch => "write true or false, without quotes".into(),
            Self::Duration { .. } => "write 250ms, 5s, 10m, 24h or 30d".into(),
            Self::Size { .. } => "write 512B, 64KiB or 1MiB".into(),
            Self::Count { .. } | Self::Signed { .. } | Self::Number { .. } => {
                format!("write {}, without quotes", self.range())
            }
            Self::Concurrency | Self::Retention | Self::Cap { .. } => {
                format!("write {}", self.range())
            }
            Self::RateLimit => {
                "write \"100/s\", \"30/m\" or \"5/h burst 2\", or leave the key out".into()
            }
            Self::OneOf(words) => format!("write one of {}", words.join(", ")),
            Self::Address => "write \"127.0.0.1:9464\", \"[::1]:9464\" or \"off\"".into(),
            Self::Words => "write [\"one\", \"two\"]".into(),
            Self::Pairs => "write { NAME = \"value\" }".into(),
            Self::Json => "write a table, a list or a number, or JSON in quotes".into(),
        }
    }

    /// What is allowed, as the reference and refusals show it.
    pub(super) fn range(self) -> String {
        match self {
            Self::Duration { min, max } => {
                format!("{} to {}", duration_text(min), duration_text(max))
            }
            Self::Size { min, max } => format!("{} to {}", size_text(min), size_text(max)),
            Self::Count { min, max } => format!("{min} to {max}"),
            Self::Signed { min, max } => format!("{min} to {max}"),
            Self::Cap { min, max } => format!("{min} to {max}, or \"none\""),
            Self::Number { min, max } => format!("{min:?} to {max:?}"),
            Self::Concurrency => format!("1 to {CONCURRENCY_MAX}, \"cpus\" or \"N*cpus\""),
            Self::Retention => {
                format!("a duration up to {}, or \"none\"", duration_text(RETENTION_MAX))
            }
            Self::OneOf(words) => words.join(", "),
            Self::Switch => "true or false".into(),
            Self::RateLimit => "N/s, N/m or N/h, with `burst N` if needed".into(),
            Self::Name => "1 to 128 of letters, digits, _ . : -".into(),
            Self::Address => "IP:port, or \"off\"".into(),
            Self::Text => "text of one line".into(),
            Self::Filter => "a level, or target=level, separated by commas".into(),
            Self::Url => "postgres://user@host/database".into(),
            Self::Path => "an absolute path".into(),
            Self::Paths => "an absolute path, or a list of them".into(),
            Self::HttpUrl => "https://host/path".into(),
            Self::Words => "a list of texts".into(),
            Self::Pairs => "a table of texts".into(),
            Self::Json => "a table, list, number or switch, or any JSON as text".into(),
            Self::Cron => "5 fields of a cron pattern, or 6 with the seconds in front".into(),
            Self::Zone => "an IANA name".into(),
        }
    }
}
