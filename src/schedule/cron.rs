//! Cron patterns: five fields, or six with the seconds in front, on a calendar without zones.
//!
//! `croner` reads them and walks the calendar. It is asked in universal time alone, where no clock ever
//! shifts; what a shift does is `rule`'s business.

use super::Moment;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::TimeZone;

/// Longest pattern, in bytes.
const CRON_MAX_BYTES: usize = 256;

/// The fields with what may stand in each, the optional one first.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, L for the last, 15W for the working day nearest to the 15th"),
    ("month", "1 to 12 or JAN to DEC"),
    ("weekday", "0 to 7 or SUN to SAT, MON#2 for the second of a month, FRIL for the last"),
];

/// Why a text is no cron pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five or six of them.
    #[error(
        "it has {0} fields: write minute, hour, day of the month, month and weekday, with the seconds \
         in front if they are needed"
    )]
    Fields(usize),
    /// Longer than anybody needs.
    #[error("it is longer than {CRON_MAX_BYTES} bytes")]
    TooLong,
    /// One field is wrong.
    #[error(
        "its {field} {text:?} is none: write {allowed}, as one value, a list a,b, a range a-b, * for \
         any or */n for every nth"
    )]
    Field {
        /// Which.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What may.
        allowed: &'static str,
    },
    /// No calendar has such a day.
    #[error("it never fires: no date is like that")]
    Never,
}

/// A pattern that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// With single blanks.
    text: String,
    cron: Cron,
    names_hours: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, CronError> {
        if text.len() > CRON_MAX_BYTES {
            return Err(CronError::TooLong);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !matches!(fields.len(), 5 | 6) {
            return Err(CronError::Fields(fields.len()));
        }
        let kinds = &FIELDS[FIELDS.len() - fields.len()..];
        for (at, field) in fields.iter().enumerate() {
            let mut alone = vec!["*"; fields.len()];
            alone[at] = field;
            if read(&alone).is_none() {
                let (field, allowed) = kinds[at];
                return Err(CronError::Field { field, text: fields[at].to_owned(), allowed });
            }
        }
        let cron = read(&fields).ok_or(CronError::Never)?;
        let names_hours = !fields[fields.len() - 4].contains('*');
        let pattern = Self { text: fields.join(" "), cron, names_hours };
        // The calendar repeats after 400 years, and a pattern names no year.
        pattern.shown_from(0).map(|_| pattern).ok_or(CronError::Never)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it names hours of the day, and not each or every nth of them.
    pub(super) fn names_hours(&self) -> bool {
        self.names_hours
    }

    /// The first match from this on, of a clock that shows seconds since 1970 and never shifts.
    pub(super) fn shown_from(&self, shown: i64) -> Option<i64> {
        let from = Moment(shown).timestamp().to_zoned(TimeZone::UTC);
        let found = self.cron.find_next_occurrence(&from, true).ok()?;
        Some(found.timestamp().as_second())
    }
}

fn read(fields: &[&str]) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Optional).build();
    parser.parse(&fields.join(" ")).ok()
}
