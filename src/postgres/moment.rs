//! Moments as people and programs write them, and as statements take them.
//!
//! RFC 3339 has moments that Postgres reads otherwise or not at all: offsets of sixteen hours and more, and the year 0000,
//! which is its 1 BC. So no text goes on as it came: whatever takes a moment reads it here, and statements get it in UTC.

use std::fmt::Write as _;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Why a text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMoment {
    /// It isn't written as one.
    #[error("write it as RFC 3339 has it, such as 2030-01-31T08:00:00Z")]
    Unreadable,
    /// In UTC, in which moments are kept and shown, its year is before 0000 or after 9999, and so has no form in RFC 3339.
    #[error("in UTC it has to be in the years 0000 to 9999")]
    OutsideYears,
}

/// A moment as RFC 3339 has it.
pub fn moment(text: &str) -> Result<OffsetDateTime, NoMoment> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NoMoment::Unreadable)?;
    let in_utc = at.checked_to_offset(UtcOffset::UTC);
    let has_form = in_utc.is_some_and(|at| (0..=9999).contains(&at.year()));
    has_form.then_some(at).ok_or(NoMoment::OutsideYears)
}

/// An instant in a form that every `DateStyle` and `TimeZone` reads alike.
pub(in crate::postgres) fn timestamp_text(at: OffsetDateTime) -> String {
    // At the ends of the calendar, where no text that is read here leads, a moment may have no form in UTC.
    let at =
        at.checked_to_offset(UtcOffset::UTC).unwrap_or_else(|| at.replace_offset(UtcOffset::UTC));
    let (date, clock) = (at.date(), at.time());
    // Before the year 1 is the year 1 BC.
    let (year, era) = match date.year() {
        year @ 1.. => (year, ""),
        year => (1 - year, " BC"),
    };
    let mut text = format!("{year:04}-{:02}-{:02}", u8::from(date.month()), date.day());
    let (hour, minute, second) = (clock.hour(), clock.minute(), clock.second());
    write!(text, " {hour:02}:{minute:02}:{second:02}.{:06}+00{era}", clock.microsecond()).ok();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use time::{PrimitiveDateTime, macros::offset};

    #[rstest]
    #[case::utc("2026-03-01T01:02:03Z", "2026-03-01 01:02:03.000000+00")]
    #[case::small_letters("2026-03-01t01:02:03z", "2026-03-01 01:02:03.000000+00")]
    #[case::fraction("2026-03-01T01:02:03.5+02:00", "2026-02-28 23:02:03.500000+00")]
    #[case::finer_than_postgres("2026-03-01T01:02:03.123456789Z", "2026-03-01 01:02:03.123456+00")]
    #[case::sixteen_hours("2026-11-29T00:00:00+16:00", "2026-11-28 08:00:00.000000+00")]
    #[case::largest_offset("2027-02-28T00:00:00+23:59", "2027-02-27 00:01:00.000000+00")]
    #[case::least_offset("2027-02-28T00:00:00-23:59", "2027-02-28 23:59:00.000000+00")]
    #[case::year_zero("0000-01-01T00:00:00Z", "0001-01-01 00:00:00.000000+00 BC")]
    #[case::year_one("0001-01-01T00:00:00Z", "0001-01-01 00:00:00.000000+00")]
    #[case::last("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999+00")]
    #[case::ends_in_the_last("9999-12-31T23:59:59+00:01", "9999-12-31 23:58:59.000000+00")]
    fn a_moment_is_sent_in_utc_whatever_its_offset(#[case] text: &str, #[case] sent: &str) {
        assert_eq!(timestamp_text(moment(text).expect("a moment")), sent);
    }

    #[rstest]
    #[case::infinity("infinity", NoMoment::Unreadable)]
    #[case::a_word("tomorrow", NoMoment::Unreadable)]
    #[case::a_day("2026-03-01", NoMoment::Unreadable)]
    #[case::no_offset("2026-03-01T01:02:03", NoMoment::Unreadable)]
    #[case::offset_of_a_day("2026-03-01T01:02:03+24:00", NoMoment::Unreadable)]
    #[case::five_digits("12026-03-01T01:02:03Z", NoMoment::Unreadable)]
    #[case::before_the_first("0000-01-01T00:00:00+00:01", NoMoment::OutsideYears)]
    #[case::behind_the_last("9999-12-31T23:59:59-00:01", NoMoment::OutsideYears)]
    #[case::far_behind_the_last("9999-12-31T23:59:59-23:59", NoMoment::OutsideYears)]
    fn what_is_no_moment_is_refused(#[case] text: &str, #[case] why: NoMoment) {
        assert_eq!(moment(text), Err(why));
    }

    #[test]
    fn the_ends_of_the_calendar_can_be_written() {
        let (least, most) = (PrimitiveDateTime::MIN, PrimitiveDateTime::MAX);
        assert!(timestamp_text(least.assume_offset(offset!(+23:59))).starts_with("10000-01-01 "));
        assert!(timestamp_text(most.assume_offset(offset!(-23:59))).starts_with("9999-12-31 "));
    }
}
