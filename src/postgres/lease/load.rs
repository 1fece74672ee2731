//! What a daemon says of its limits and its load, for `why()`: read from semaphores and settings, on the
//! heartbeat's thread. It waits for nothing, so that no handler can make a renewal late.

use crate::{
    job::{KindName, QueueName, RateLimit},
    worker::Slots,
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// A queue, as far as its load goes.
#[derive(Debug)]
pub struct QueueLoad {
    /// Which.
    pub name: QueueName,
    /// Its rate limit.
    pub limit: Option<RateLimit>,
    /// Its slots.
    pub slots: Slots,
    /// The waiting rooms of its limited groups.
    pub rooms: Vec<WaitingRoom>,
}

/// Where claimed jobs wait for a rate limit.
#[derive(Debug)]
pub struct WaitingRoom {
    /// The kind whose own limit they wait for; none where it is the queue's alone.
    pub kind: Option<KindName>,
    /// The room's places.
    pub places: Slots,
}

/// What a daemon publishes with its row.
#[derive(Debug, Default)]
pub struct Load {
    /// Its queues.
    pub queues: Vec<QueueLoad>,
    /// Its kinds, with their limits.
    pub kinds: Vec<(KindName, Option<RateLimit>)>,
    /// Cancelled once it claims nothing more.
    pub quiet: CancellationToken,
}

/// The row's columns of these names.
pub(super) struct Served {
    pub(super) queues: Vec<String>,
    pub(super) kinds: Vec<String>,
    pub(super) limits: Value,
    pub(super) load: Value,
}

impl Load {
    /// What it is at the moment.
    pub(super) fn told(&self) -> Served {
        Served {
            queues: self.queues.iter().map(|queue| queue.name.to_string()).collect(),
            kinds: self.kinds.iter().map(|(kind, _)| kind.to_string()).collect(),
            limits: self.limits(),
            load: self.now(),
        }
    }

    /// `daemon.limits`: what it starts at most.
    fn limits(&self) -> Value {
        let of_queue = |queue: &QueueLoad| {
            let mut limits = queue.limit.map(rate).unwrap_or_default();
            limits.insert("slots".into(), queue.slots.concurrency().into());
            (queue.name.to_string(), limits.into())
        };
        let of_kind =
            |(name, limit): (&KindName, RateLimit)| (name.to_string(), rate(limit).into());
        let queues: Map<_, Value> = self.queues.iter().map(of_queue).collect();
        let kinds: Map<_, Value> = self.limited().map(of_kind).collect();
        json!({ "queues": queues, "kinds": kinds })
    }

    fn limited(&self) -> impl Iterator<Item = (&KindName, RateLimit)> {
        self.kinds.iter().filter_map(|(kind, limit)| Some((kind, (*limit)?)))
    }

    /// `daemon.load`: how much of that is in use now. Semaphores are read one after another, so that
    /// a job on its way from one to the next may count twice or not at all.
    fn now(&self) -> Value {
        let of_queue = |queue: &QueueLoad| {
            let waiting: usize = queue.rooms.iter().map(|room| room.places.in_use()).sum();
            let load = json!({ "in_use": queue.slots.in_use(), "waiting": waiting });
            (queue.name.to_string(), load)
        };
        let of_kind = |(name, _): (&KindName, RateLimit)| {
            let rooms = self.queues.iter().flat_map(|queue| &queue.rooms);
            let of_it = rooms.filter(|room| room.kind.as_ref() == Some(name));
            let waiting: usize = of_it.map(|room| room.places.in_use()).sum();
            (name.to_string(), json!({ "waiting": waiting }))
        };
        let queues: Map<_, Value> = self.queues.iter().map(of_queue).collect();
        let kinds: Map<_, Value> = self.limited().map(of_kind).collect();
        json!({ "queues": queues, "kinds": kinds, "quiet": self.quiet.is_cancelled() })
    }
}

/// A limit as people write it, its burst beside it.
fn rate(limit: RateLimit) -> Map<String, Value> {
    let text = limit.to_string();
    let rate = text.split_whitespace().next().unwrap_or_default();
    let pairs = [("rate", Value::from(rate)), ("burst", limit.burst.get().into())];
    pairs.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn limits_stand_as_they_are_written_and_jobs_count_for_their_queue_and_their_kind() {
        let queue = |name: &str, limit: Option<&str>, rooms: Vec<WaitingRoom>| QueueLoad {
            name: QueueName::new(name).expect("a name"),
            limit: limit.map(|limit| limit.parse().expect("a limit")),
            slots: Slots::new(10),
            rooms,
        };
        let mail = KindName::new("mail").expect("a name");
        let free = KindName::new("free").expect("a name");
        let room =
            |kind: Option<&KindName>| WaitingRoom { kind: kind.cloned(), places: Slots::new(5) };
        let load = Load {
            queues: vec![
                queue("a", Some("30/m burst 2"), vec![room(Some(&mail)), room(None)]),
                queue("b", None, vec![room(Some(&mail))]),
            ],
            kinds: vec![(mail, Some("5/s".parse().expect("a limit"))), (free, None)],
            quiet: CancellationToken::new(),
        };
        assert_eq!(
            load.limits(),
            json!({
                "queues": {
                    "a": { "slots": 10, "rate": "30/m", "burst": 2 },
                    "b": { "slots": 10 },
                },
                "kinds": { "mail": { "rate": "5/s", "burst": 1 } },
            })
        );
        let held = [
            load.queues[0].slots.reserve(7, false).await,
            load.queues[0].rooms[0].places.reserve(3, false).await,
            load.queues[0].rooms[1].places.reserve(2, false).await,
            load.queues[1].rooms[0].places.reserve(1, false).await,
        ];
        assert!(held.iter().all(Option::is_some));
        assert_eq!(
            load.now(),
            json!({
                "queues": {
                    "a": { "in_use": 7, "waiting": 5 },
                    "b": { "in_use": 0, "waiting": 1 },
                },
                "kinds": { "mail": { "waiting": 4 } },
                "quiet": false,
            })
        );
    }
}
