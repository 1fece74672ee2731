//! Moments for people: how long ago, or in how long.
//!
//! Both the moment and "now" come from the database, so a workstation's wrong clock can't make a job
//! look late. A moment that can't be read is shown as it came.

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// `3m ago`, `in 2h`, `now`.
pub(super) fn relative(moment: &str, now: &str) -> String {
    let parsed = |text| OffsetDateTime::parse(text, &Rfc3339);
    let (Ok(at), Ok(now)) = (parsed(moment), parsed(now)) else { return moment.to_owned() };
    let distance = at - now;
    match distance {
        d if d.abs() < Duration::SECOND => "now".into(),
        d if d.is_negative() => format!("{} ago", span(d.abs())),
        d => format!("in {}", span(d)),
    }
}

/// The moment itself, with the distance behind it.
pub(super) fn exact(moment: &str, now: &str) -> String {
    format!("{moment} ({})", relative(moment, now))
}

/// A moment that came as a value rather than as text.
pub(super) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// The largest unit of which there are two or more, to the nearest.
pub(super) fn span(distance: Duration) -> String {
    let seconds = distance.whole_seconds();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or_else(
        || format!("{seconds}s"),
        |(size, name)| format!("{}{name}", (seconds + size / 2) / size),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::same("2026-03-01T12:00:00Z", "now")]
    #[case::seconds("2026-03-01T11:58:30Z", "90s ago")]
    #[case::minutes("2026-03-01T12:05:30.5Z", "in 6m")]
    #[case::hours("2026-03-01T09:00:00Z", "3h ago")]
    #[case::days("2026-02-01T12:00:00Z", "28d ago")]
    #[case::unreadable("infinity", "infinity")]
    fn a_distance_reads_at_a_glance(#[case] moment: &str, #[case] expected: &str) {
        assert_eq!(relative(moment, "2026-03-01T12:00:00Z"), expected);
    }
}
