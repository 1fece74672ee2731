//! Which kinds are claimed together: all unthrottled kinds of a queue, and each limited kind alone.
//!
//! A limited kind in a common claim would fill the channel with jobs that may not start yet, and
//! starve the others. Pure.

use crate::{
    config::{KindSettings, QueueSettings},
    job::{KindName, RateLimit},
};
use std::sync::Arc;

/// Kinds that one claim takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// For task names and metrics: `all`, or the kind.
    pub(super) name: String,
    /// The kinds.
    pub(super) kinds: Arc<[KindName]>,
    /// Most that one claim may take.
    pub(super) most: u32,
    /// The limit of the one kind that it then is.
    pub(super) of_kind: Option<RateLimit>,
    /// The limit of its queue.
    pub(super) of_queue: Option<RateLimit>,
}

impl Group {
    /// Whether its jobs wait for a limit before they start.
    pub(super) fn waits(&self) -> bool {
        self.of_kind.is_some() || self.of_queue.is_some()
    }
}

/// The groups of one queue; none where no kind is served.
pub(super) fn groups(queue: &QueueSettings, kinds: &[KindSettings], batch: u32) -> Vec<Group> {
    let within_a_second = |limit: Option<RateLimit>| {
        limit.map_or(batch, |limit| limit.starts_within_a_second()).min(batch)
    };
    let of_queue = queue.rate_limit;
    let most = within_a_second(of_queue);
    let (limited, free): (Vec<_>, Vec<_>) = kinds.iter().partition(|k| k.rate_limit.is_some());
    let mut groups = Vec::new();
    if !free.is_empty() {
        let mut kinds: Vec<_> = free.iter().map(|kind| kind.name.clone()).collect();
        // The order of the file makes no other group.
        kinds.sort();
        let kinds = kinds.into();
        groups.push(Group { name: "all".into(), kinds, most, of_kind: None, of_queue });
    }
    groups.extend(limited.iter().map(|kind| Group {
        name: kind.name.to_string(),
        kinds: [kind.name.clone()].into(),
        most: within_a_second(kind.rate_limit).min(most),
        of_kind: kind.rate_limit,
        of_queue,
    }));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{HandlerSettings, Retentions},
        job::QueueName,
    };

    #[test]
    fn unthrottled_kinds_are_one_group_and_each_limited_kind_is_one() {
        let queue = QueueSettings::new(QueueName::new("q").unwrap(), Retentions::default());
        let kind = |name: &str, limit: Option<&str>| KindSettings {
            rate_limit: limit.map(|limit| limit.parse().unwrap()),
            ..KindSettings::new(KindName::new(name).unwrap(), HandlerSettings::Noop)
        };
        let kinds =
            [kind("a", None), kind("slow", Some("1/m")), kind("b", None), kind("c", Some("50/s"))];
        let groups = groups(&queue, &kinds, 500);
        let shown: Vec<_> =
            groups.iter().map(|g| (g.name.as_str(), g.kinds.len(), g.most)).collect();
        assert_eq!(shown, [("all", 2, 500), ("slow", 1, 1), ("c", 1, 50)]);
    }
}
