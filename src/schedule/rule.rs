//! A pattern in a zone: which instants it fires at, whatever the clocks there do.
//!
//! Where the hour field names hours (`30 2 * * *`, `0 2,14 * * *`), each time of day counts once a day:
//! one that a shift leaves out comes at the shift, one that a shift repeats comes the first time. Where
//! it takes any hour (`*`, `*/2`), the schedule goes by the clock as it runs: what isn't shown doesn't
//! come, what is shown twice comes twice, so that `*/5 * * * *` is every five minutes through both.

use super::{CronError, Moment, UnknownZone, Zone, cron::Pattern};

/// Why there is no such rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The pattern is wrong.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The zone is.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
}

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pattern: Pattern,
    zone: Zone,
}

impl Rule {
    /// A pattern in a zone.
    pub fn new(cron: &str, zone: Zone) -> Result<Self, CronError> {
        Ok(Self { pattern: Pattern::new(cron)?, zone })
    }

    /// The same from texts.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, RuleError> {
        Ok(Self::new(cron, Zone::new(zone)?)?)
    }

    /// The pattern, with single blanks.
    pub fn cron(&self) -> &str {
        self.pattern.text()
    }

    /// Where its clock is.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// All that decides when it fires, as text: a rule with another text is another rule.
    pub fn text(&self) -> String {
        format!("{} {}", self.cron(), self.zone.name())
    }

    /// The first instant after this one. None is beyond the years that there are.
    pub fn next_after(&self, after: Moment) -> Option<Moment> {
        let (mut since, mut offset) = (after, self.zone.offset(after));
        let mut shown = after.0.checked_add(offset)?.checked_add(1)?;
        let mut found = None;
        loop {
            shown = shown.max(self.shown_before(since).unwrap_or(shown));
            let next = match found {
                Some(found) if found >= shown => found,
                _ => self.pattern.shown_from(shown)?,
            };
            let at = Moment(next - offset);
            let Some(shift) = self.zone.shift_after(since).filter(|shift| *shift <= at) else {
                return Some(at);
            };
            let shifted = self.zone.offset(shift);
            if self.pattern.names_hours() && next < shift.0 + shifted {
                return Some(shift);
            }
            // Clocks that are set back show again what was passed over.
            found = (shifted >= offset).then_some(next);
            (since, offset, shown) = (shift, shifted, shift.0 + shifted);
        }
    }

    /// The last instant after `after` and not after `now`: one second after another is asked for by
    /// halves, since years may lie between.
    pub fn last_until(&self, after: Moment, now: Moment) -> Option<Moment> {
        let fires_by_now = |from: i64| self.next_after(Moment(from)).is_some_and(|at| at <= now);
        if after >= now || !fires_by_now(after.0) {
            return None;
        }
        // From `low` on something fires until now, from `high` on nothing does.
        let (mut low, mut high) = (after.0, now.0);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fires_by_now(middle) { low = middle } else { high = middle }
        }
        Some(Moment(high))
    }

    /// The next instants after this one, at most so many.
    pub fn next(&self, after: Moment, count: usize) -> Vec<Moment> {
        let next = |at: &Moment| self.next_after(*at);
        std::iter::successors(next(&after), next).take(count).collect()
    }

    /// Up to what the clocks have shown already, where they were set back last: only of interest to a
    /// rule that counts each time of day once.
    fn shown_before(&self, at: Moment) -> Option<i64> {
        if !self.pattern.names_hours() {
            return None;
        }
        let shift = self.zone.shift_until(at)?;
        Some(shift.0 + self.zone.offset(Moment(shift.0 - 1)))
    }
}
