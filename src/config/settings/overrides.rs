//! What operators decided for queues at run time, which goes before what the file says.

use super::{QueueSettings, Settings};
use crate::{config::keys::CONCURRENCY_MAX, job::RateLimit};
use std::collections::BTreeMap;

/// What was decided for one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueOverride {
    /// Jobs that run at once.
    pub concurrency: Option<u32>,
    /// Starts per time.
    pub rate_limit: Option<RateLimit>,
}

/// What was decided for queues, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<String, QueueOverride>);

impl FromIterator<(String, String, String)> for Overrides {
    /// Of queue, setting and value. The database refuses what can't be meant; what comes from a later version, say, is
    /// passed over.
    fn from_iter<I: IntoIterator<Item = (String, String, String)>>(rows: I) -> Self {
        let mut overrides = Self::default();
        for (queue, setting, value) in rows {
            let of_queue = overrides.0.entry(queue).or_default();
            match setting.as_str() {
                "concurrency" => {
                    let allowed = |jobs: &u32| (1..=CONCURRENCY_MAX).contains(&u64::from(*jobs));
                    of_queue.concurrency = value.parse().ok().filter(allowed);
                }
                "rate_limit" => of_queue.rate_limit = value.parse().ok(),
                _ => {}
            }
        }
        overrides
    }
}

impl QueueSettings {
    fn with(self, decided: QueueOverride) -> Self {
        Self {
            concurrency: decided.concurrency.unwrap_or(self.concurrency),
            rate_limit: decided.rate_limit.or(self.rate_limit),
            ..self
        }
    }
}

impl Settings {
    /// These, with what was decided in the place of what they say.
    #[must_use]
    pub fn with_overrides(&self, overrides: &Overrides) -> Self {
        let decided = |queue: &QueueSettings| {
            let decided = overrides.0.get(queue.name.as_str()).copied().unwrap_or_default();
            queue.clone().with(decided)
        };
        Self { queues: self.queues.iter().map(decided).collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(rows: &[[&str; 3]]) -> QueueSettings {
        let own = |[queue, setting, value]: &[&str; 3]| {
            ((*queue).to_owned(), (*setting).to_owned(), (*value).to_owned())
        };
        let settings = Settings::default();
        assert_eq!(settings.queues[0].name.as_str(), "default");
        settings.with_overrides(&rows.iter().map(own).collect()).queues[0].clone()
    }

    #[test]
    fn what_is_decided_goes_before_the_file_and_the_rest_stays() {
        let file = &Settings::default().queues[0];
        assert_eq!(&decided(&[]), file);
        assert_eq!(&decided(&[["other", "concurrency", "3"]]), file);
        let both =
            decided(&[["default", "concurrency", "3"], ["default", "rate_limit", "5/m burst 2"]]);
        assert_eq!((both.concurrency, both.rate_limit), (3, Some("5/m burst 2".parse().unwrap())));
        assert_eq!(both.retention, file.retention);
    }

    #[test]
    fn what_no_daemon_can_go_by_is_passed_over() {
        let file = &Settings::default().queues[0];
        for (setting, value) in [
            ("concurrency", "0"),
            ("concurrency", "10001"),
            ("concurrency", "x"),
            ("rate_limit", "fast"),
            ("shape", "round"),
        ] {
            assert_eq!(&decided(&[["default", setting, value]]), file, "{setting} {value}");
        }
    }
}
