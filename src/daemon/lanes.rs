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

impl GroupLane {
    /// With a room for what it may claim, where it waits.
    pub(super) fn new(group: Group, queue: &QueueSettings) -> Self {
        let room = group.waits().then(|| Slots::new(places(&group, queue)));
        Self { group, room }
    }

    /// The queue may run more jobs at once, or fewer.
    pub(super) fn resize(&self, queue: &QueueSettings) {
        if let Some(room) = &self.room {
            room.resize(places(&self.group, queue));
        }
    }
}

fn places(group: &Group, queue: &QueueSettings) -> u32 {
    group.most.min(queue.concurrency)
}

impl Lane {
    /// The lane of this queue, by these settings.
    pub(super) fn new(queue: &QueueSettings, settings: &Settings) -> Self {
        let groups = groups(queue, &settings.kinds, settings.claim.batch);
        let groups = groups.into_iter().map(|group| GroupLane::new(group, queue)).collect();
        Self { queue: queue.clone(), slots: Slots::new(queue.concurrency), groups }
    }

    pub(super) fn load(&self) -> QueueLoad {
        queue_load(&self.queue, &self.slots, self.groups.iter())
    }
}

/// One for each queue of the settings.
pub(super) fn lanes(settings: &Settings) -> Vec<Lane> {
    settings.queues.iter().map(|queue| Lane::new(queue, settings)).collect()
}

/// What the heartbeat tells of a queue.
pub(super) fn queue_load<'g>(
    queue: &QueueSettings,
    slots: &Slots,
    groups: impl Iterator<Item = &'g GroupLane>,
) -> QueueLoad {
    let room = |lane: &GroupLane| {
        let places = lane.room.clone()?;
        let kind = lane.group.kinds.first().filter(|_| lane.group.of_kind.is_some()).cloned();
        Some(WaitingRoom { kind, places })
    };
    QueueLoad {
        name: queue.name.clone(),
        limit: queue.rate_limit,
        slots: slots.clone(),
        rooms: groups.filter_map(room).collect(),
    }
}

/// What the heartbeat tells of all of them.
pub(super) fn load(queues: Vec<QueueLoad>, settings: &Settings, quiet: CancellationToken) -> Load {
    let kinds = settings.kinds.iter().map(|kind| (kind.name.clone(), kind.rate_limit)).collect();
    Load { queues, kinds, quiet }
}
