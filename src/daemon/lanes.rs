//! Each queue's slots, its claim groups and the rooms in which limited jobs wait.
//!
//! They are made before anything runs, because the heartbeat starts first and tells how full they are.

use super::groups::{Group, groups};
use crate::{
    config::{QueueSettings, Settings},
    postgres::{Load, QueueLoad, WaitingRoom},
    worker::Slots,
};
use tokio_util::sync::CancellationToken;

/// A queue with what bounds it.
pub(super) struct Lane {
    pub(super) queue: QueueSettings,
    pub(super) slots: Slots,
    pub(super) groups: Vec<GroupLane>,
}

/// A claim group with what its jobs are claimed into.
pub(super) struct GroupLane {
    pub(super) group: Group,
    /// Limited jobs are claimed into a waiting room; the queue's slots are for those that run. Where
    /// there is no limit, there is no room.
    pub(super) room: Option<Slots>,
}

/// One for each queue of the settings.
pub(super) fn lanes(settings: &Settings) -> Vec<Lane> {
    let lane = |queue: &QueueSettings| {
        let group_lane = |group: Group| {
            let is_limited = group.is_limited || queue.rate_limit.is_some();
            let places = group.most.min(queue.concurrency);
            GroupLane { group, room: is_limited.then(|| Slots::new(places)) }
        };
        let groups = groups(queue, &settings.kinds, settings.claim.batch);
        Lane {
            queue: queue.clone(),
            slots: Slots::new(queue.concurrency),
            groups: groups.into_iter().map(group_lane).collect(),
        }
    };
    settings.queues.iter().map(lane).collect()
}

/// What the heartbeat tells of them.
pub(super) fn load(lanes: &[Lane], settings: &Settings, quiet: CancellationToken) -> Load {
    let room = |lane: &GroupLane| {
        let places = lane.room.clone()?;
        let kind = lane.group.kinds.first().filter(|_| lane.group.is_limited).cloned();
        Some(WaitingRoom { kind, places })
    };
    let queue = |lane: &Lane| QueueLoad {
        name: lane.queue.name.clone(),
        limit: lane.queue.rate_limit,
        slots: lane.slots.clone(),
        rooms: lane.groups.iter().filter_map(room).collect(),
    };
    let kinds = settings.kinds.iter();
    Load {
        queues: lanes.iter().map(queue).collect(),
        kinds: kinds.filter_map(|kind| Some((kind.name.clone(), kind.rate_limit?))).collect(),
        quiet,
    }
}
