//! Time zones by their IANA names, from the database that is built in.
//!
//! Built in and not the machine's: every daemon of one release then has the same instants, and a
//! container without zone files has them too. The price is that a country's new rule comes with a
//! release (ADR 0015).

use super::Moment;
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

/// There is no such zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}")]
pub struct UnknownZone(pub String);

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The zone of this name; capitals don't matter.
    pub fn new(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(name.to_owned());
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?;
        let name = zone.iana_name().ok_or_else(unknown)?.to_owned();
        Ok(Self { name, zone })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// Its name, as IANA writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every name there is.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// How many seconds its clocks are ahead of universal time.
    pub(super) fn offset(&self, at: Moment) -> i64 {
        i64::from(self.zone.to_offset(at.timestamp()).seconds())
    }

    /// When its clocks shift next, after this moment.
    pub(super) fn shift_after(&self, at: Moment) -> Option<Moment> {
        Some(whole(self.zone.following(at.timestamp()).next()?.timestamp()))
    }

    /// When its clocks shifted last, at this moment or before.
    pub(super) fn shift_until(&self, at: Moment) -> Option<Moment> {
        let later = Moment(at.0.saturating_add(1)).timestamp();
        Some(whole(self.zone.preceding(later).next()?.timestamp()))
    }

    /// What its clocks show, with their offset: `2026-03-29 03:00:00 +02:00`.
    pub fn shown(&self, at: Moment) -> String {
        let shown = at.timestamp().to_zoned(self.zone.clone());
        shown.strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }
}

fn whole(at: Timestamp) -> Moment {
    Moment(at.as_second())
}
