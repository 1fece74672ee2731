//! The lanes that are open: which claimers, dispatchers and workers each queue has, from the start and
//! after each reload (ADR 0021).
//!
//! A claim group is never changed. One whose kinds or limits are others now ends, and another begins beside
//! it; slots, hand-off and workers are the queue's and stay. What the old one has claimed goes its way: what
//! has a slot is run, what waits for a limit goes back to its place in line.

use super::{ExitPolicy, Running, Settings, Signals, steps};
use crate::{
    claimer::{Bell, ClaimGroup, Claimer, ClaimerShared, Lookout},
    completer::Verdicts,
    config::{HandlerSettings, Kept, KindSettings, QueueSettings},
    daemon::{
        groups::{Group, groups},
        lanes::{self, GroupLane, Lane, queue_load},
    },
    dispatcher::{BATCH_CAPACITY, Dispatcher, Limiter, Limits},
    executor::Registry,
    job::{KindName, QueueName, RateLimit},
    postgres::{Load, PostgresClaims},
    profile::Label,
    worker::{KindRuntime, Kinds, Pool, PoolParts, Slots},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::mpsc, task::yield_now, time::sleep};
use tokio_util::sync::CancellationToken;

/// What a lane is connected to.
pub(super) struct Links {
    pub(super) claiming: ClaimerShared<PostgresClaims>,
    /// How long a claimer may stay in one step.
    pub(super) limit: Duration,
    pub(super) lookout: Arc<Lookout<PostgresClaims>>,
    pub(super) bell: Bell,
    pub(super) verdicts: Verdicts,
    pub(super) grace_without_lease: Duration,
}

/// The lanes, and what they share.
#[derive(Default)]
pub(in crate::daemon) struct Lanes {
    /// Nothing before the start, and once the last worker is gone.
    links: Option<Links>,
    open: Vec<OpenLane>,
    /// Of queues that are no longer served, until their last job has ended.
    leaving: Vec<OpenLane>,
    kinds: Arc<[String]>,
    /// What runs which kind.
    registry: Registry,
    /// One for each limited kind, however many queues its jobs come from: the limit is the daemon's.
    limiters: HashMap<KindName, Limit>,
    serving: Arc<Mutex<Serving>>,
}

/// What others may look at while lanes are opened and changed, which takes its time where there are many: each queue is
/// in it from its first job on.
#[derive(Default)]
pub(super) struct Serving {
    pools: Vec<Pool>,
    queues: Vec<QueueName>,
    kinds: Arc<[String]>,
}

fn now(serving: &Mutex<Serving>) -> MutexGuard<'_, Serving> {
    serving.lock().unwrap_or_else(PoisonError::into_inner)
}

type Limit = (RateLimit, Arc<Limiter>);

struct OpenLane {
    queue: QueueSettings,
    slots: Slots,
    pool: Pool,
    limiter: Option<Limit>,
    groups: Vec<OpenGroup>,
    /// What may still bring jobs of groups that were told to end.
    ending: Vec<Weak<Dispatcher>>,
    /// Lets its workers end.
    leave: CancellationToken,
}

impl OpenLane {
    /// Ends the groups that aren't wanted.
    fn keep(&mut self, wanted: &[Group]) {
        self.ending.retain(|dispatcher| dispatcher.strong_count() > 0);
        for group in self.groups.extract_if(.., |group| !wanted.contains(&group.lane.group)) {
            self.ending.push(group.end());
        }
    }

    /// Whether it has no job and gets none: a dispatcher ends after its claimer, once what was claimed has gone
    /// somewhere, and jobs on their way hold a slot.
    fn is_over(&self) -> bool {
        let comes = |dispatcher: &Weak<Dispatcher>| dispatcher.strong_count() > 0;
        self.groups.is_empty() && !self.ending.iter().any(comes) && self.slots.in_use() == 0
    }
}

struct OpenGroup {
    lane: GroupLane,
    /// Ends claiming.
    halt: CancellationToken,
    /// Lets claimer and dispatcher end.
    leave: CancellationToken,
    /// Ends waiting in the dispatcher.
    give_back: CancellationToken,
    dispatcher: Weak<Dispatcher>,
}

impl OpenGroup {
    /// Has it claim nothing more, and end once what it has claimed has gone somewhere.
    fn end(self) -> Weak<Dispatcher> {
        // First this: who is halted and not let go waits, as under TSTP.
        self.leave.cancel();
        self.halt.cancel();
        if self.lane.room.is_some() {
            self.give_back.cancel();
        }
        self.dispatcher
    }
}

impl Lanes {
    /// Every queue's workers.
    pub(in crate::daemon) fn pools(&self) -> Vec<Pool> {
        self.all().map(|lane| lane.pool.clone()).collect()
    }

    /// Those that leave as well.
    fn all(&self) -> impl Iterator<Item = &OpenLane> {
        self.open.iter().chain(&self.leaving)
    }

    /// Where verdicts go, while anybody may have one.
    pub(in crate::daemon) fn verdicts(&self) -> Option<Verdicts> {
        self.links.as_ref().map(|links| links.verdicts.clone())
    }

    /// Nothing runs any more, and nothing will.
    pub(in crate::daemon) fn close(&mut self) {
        *self = Self { serving: Arc::clone(&self.serving), ..Self::default() };
        self.publish();
    }

    /// Lets others see how it stands now.
    fn publish(&self) {
        let queues = self.open.iter().map(|lane| lane.queue.name.clone()).collect();
        *now(&self.serving) =
            Serving { pools: self.pools(), queues, kinds: Arc::clone(&self.kinds) };
    }

    /// Whether a job of theirs is claimed or runs.
    pub(super) fn in_use(&self) -> bool {
        self.all().any(|lane| lane.slots.in_use() > 0)
    }

    /// What runs which kind.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The lane of a queue, to be changed: in the order in which lanes are taken they stand afterwards.
    fn take(&mut self, queue: &QueueName) -> Option<OpenLane> {
        [&mut self.open, &mut self.leaving].into_iter().find_map(|lanes| {
            let at = lanes.iter().position(|lane| lane.queue.name == *queue)?;
            Some(lanes.remove(at))
        })
    }

    /// Has the lanes of all other queues leave; gives the queues of those that leave, from before as well.
    fn leave_all_but(&mut self, queues: &[QueueSettings]) -> Vec<QueueName> {
        let stays = |lane: &OpenLane| queues.iter().any(|queue| queue.name == lane.queue.name);
        self.leaving.extend(self.open.extract_if(.., |lane| !stays(lane)));
        self.publish();
        self.leaving.iter_mut().for_each(|lane| lane.keep(&[]));
        self.leaving.iter().map(|lane| lane.queue.name.clone()).collect()
    }

    /// What runs the last jobs of a queue that leaves, if it hasn't left meanwhile.
    fn change_leaving(&mut self, queue: &QueueName, kinds: impl FnOnce(&Registry) -> Kinds) {
        if let Some(lane) = self.leaving.iter().find(|lane| lane.queue.name == *queue) {
            lane.pool.replace_kinds(kinds(&self.registry));
        }
    }

    fn limiters_of(&self, group: &GroupLane, of_queue: Option<&Limit>) -> Vec<Arc<Limiter>> {
        let of_kind = group.group.kinds.iter().find_map(|kind| self.limiters.get(kind));
        let limits = of_kind.into_iter().chain(of_queue);
        let mut limiters: Vec<_> = limits.map(|(_, limiter)| Arc::clone(limiter)).collect();
        limiters.sort_by_key(|limiter| limiter.interval());
        limiters
    }
}

/// The queues and kinds that are served.
pub(super) fn served(serving: &Mutex<Serving>) -> (Vec<QueueName>, Vec<String>) {
    let serving = now(serving);
    (serving.queues.clone(), serving.kinds.to_vec())
}

impl Running {
    pub(in crate::daemon) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where others see which lanes there are.
    pub(super) fn serving(&self) -> Arc<Mutex<Serving>> {
        Arc::clone(&self.lanes().serving)
    }

    /// Opens the first lanes. Others have their turn between two of them, and a signal that tells the daemon to end is
    /// heeded there: `false` where it came before all were open.
    pub(super) async fn open_lanes(
        &self,
        lanes: Vec<Lane>,
        (links, registry): (Links, Registry),
        (settings, signals): (&Settings, &Signals),
    ) -> bool {
        let sampled = Arc::downgrade(&self.lanes().serving);
        self.metrics.at_scrape(move |_| {
            if let Some(serving) = sampled.upgrade() {
                let pools = now(&serving).pools.clone();
                pools.iter().for_each(Pool::show);
            }
        });
        self.name(settings);
        self.go_by(registry, &settings.kinds).links = Some(links);
        for lane in lanes {
            if signals.is_asked_to_stop() {
                return false;
            }
            self.open_lane(&mut self.lanes(), lane, &settings.kinds);
            yield_now().await;
        }
        !signals.is_asked_to_stop()
    }

    /// Has the lanes be as these settings say; gives what the heartbeat tells of them, and how long their jobs
    /// are kept. `registry` has a handler for every kind. Dropped between two lanes, which is where others have their
    /// turn, each lane is as before or as it is to be.
    pub(super) async fn change_lanes(
        &self,
        settings: &Settings,
        registry: Registry,
    ) -> (Load, Kept) {
        self.name(settings);
        drop(self.go_by(registry, &settings.kinds));
        // They claim nothing more before others begin to, and jobs of those are done before all lanes are changed.
        let leaving = self.lanes().leave_all_but(&settings.queues);
        self.told.keep_as_well(&settings.queues);
        for queue in &settings.queues {
            self.serve(&mut self.lanes(), queue, settings);
            yield_now().await;
        }
        for queue in leaving {
            self.lanes().change_leaving(&queue, |registry| {
                self.kinds_of(registry, &queue, &settings.kinds)
            });
            yield_now().await;
        }
        let lanes = self.lanes();
        let load = |lane: &OpenLane| {
            queue_load(&lane.queue, &lane.slots, lane.groups.iter().map(|group| &group.lane))
        };
        let load = lanes::load(lanes.open.iter().map(load).collect(), settings, self.quiet.clone());
        let kept = lanes.all().map(|lane| (lane.queue.name.clone(), lane.queue.retention));
        (load, kept.collect())
    }

    /// What lanes that are opened or changed go by from now on.
    fn go_by(&self, registry: Registry, kinds: &[KindSettings]) -> MutexGuard<'_, Lanes> {
        let mut lanes = self.lanes();
        lanes.registry = registry;
        self.limit_kinds(&mut lanes, kinds);
        lanes
    }

    /// Has a queue be served as these settings say. One that leaves and is served again has its slots and its workers
    /// still.
    fn serve(&self, lanes: &mut Lanes, queue: &QueueSettings, settings: &Settings) {
        match lanes.take(&queue.name) {
            Some(lane) => self.change_lane(lanes, lane, (queue, settings)),
            None => self.open_lane(lanes, Lane::new(queue, settings), &settings.kinds),
        }
    }

    /// Tells the metrics whose names are to stand in labels.
    fn name(&self, settings: &Settings) {
        let queues: Vec<_> = settings.queues.iter().map(|queue| &queue.name).collect();
        let kinds: Vec<_> = settings.kinds.iter().map(|kind| &kind.name).collect();
        let schedules = settings.schedules.iter().map(|each| ("schedule", each.name.to_string()));
        let target = |kind: &KindSettings| match &kind.handler {
            HandlerSettings::Http(http) => Some(("target", http.target())),
            _ => None,
        };
        let targets = settings.kinds.iter().filter_map(target);
        self.metrics.serve(&queues, &kinds, schedules.chain(targets).collect());
    }

    fn change_lane(
        &self,
        lanes: &mut Lanes,
        mut lane: OpenLane,
        (queue, settings): (&QueueSettings, &Settings),
    ) {
        let wanted = groups(queue, &settings.kinds, settings.claim.batch);
        lane.keep(&wanted);
        lane.queue = queue.clone();
        lane.limiter = self.queue_limiter(lane.limiter.take(), queue);
        lane.slots.resize(queue.concurrency);
        lane.pool.resize(queue.concurrency);
        lane.groups.iter().for_each(|group| group.lane.resize(queue));
        lane.pool.replace_kinds(self.kinds_of(&lanes.registry, &queue.name, &settings.kinds));
        for group in wanted {
            if !lane.groups.iter().any(|open| open.lane.group == group) {
                let begun = self.begin_group(lanes, &lane, GroupLane::new(group, queue));
                lane.groups.extend(begun);
            }
        }
        lanes.open.push(lane);
        lanes.publish();
    }

    /// Closes lanes that leave once their last job has ended; never returns.
    pub(in crate::daemon) async fn close_lanes(&self) {
        const LOOK: Duration = Duration::from_millis(100);
        loop {
            self.left.notified().await;
            while self.close_what_is_over() {
                sleep(LOOK).await;
            }
        }
    }

    /// Whether lanes are left that leave.
    fn close_what_is_over(&self) -> bool {
        let lanes = &mut *self.lanes();
        for lane in lanes.leaving.extract_if(.., |lane| lane.is_over()) {
            lane.leave.cancel();
            lane.pool.close();
            now(&lanes.serving).pools.retain(|pool| *pool.queue() != lane.queue.name);
        }
        !lanes.leaving.is_empty()
    }

    fn open_lane(&self, lanes: &mut Lanes, lane: Lane, kinds: &[KindSettings]) {
        let Lane { queue, slots, groups } = lane;
        let Some(links) = &lanes.links else { return };
        let parts = PoolParts {
            queue: queue.name.clone(),
            concurrency: queue.concurrency,
            kinds: self.kinds_of(&lanes.registry, &queue.name, kinds),
            running: Arc::clone(&self.attempts),
            verdicts: links.verdicts.clone(),
            metrics: self.metrics.queue(&queue.name),
            grace_without_lease: links.grace_without_lease,
            tracer: self.tracer.clone(),
        };
        let leave = CancellationToken::new();
        let pool = Pool::new(parts, self.supervisor.until(leave.clone()));
        let limiter = self.queue_limiter(None, &queue);
        let (group_list, ending) = (Vec::new(), Vec::new());
        let mut open = OpenLane { queue, slots, pool, limiter, groups: group_list, ending, leave };
        for group in groups {
            let begun = self.begin_group(lanes, &open, group);
            open.groups.extend(begun);
        }
        lanes.open.push(open);
        lanes.publish();
    }

    /// Starts a claim group's dispatcher and claimer.
    fn begin_group(&self, lanes: &Lanes, of: &OpenLane, lane: GroupLane) -> Option<OpenGroup> {
        let links = lanes.links.as_ref()?;
        let mut begun = OpenGroup {
            lane,
            dispatcher: Weak::new(),
            halt: self.quiet.child_token(),
            leave: self.stop_claiming.child_token(),
            give_back: self.stop_dispatching.child_token(),
        };
        let (group, room) = (&begun.lane.group, &begun.lane.room);
        let supervisor = self.supervisor.until(begun.leave.clone());
        let limiters = lanes.limiters_of(&begun.lane, of.limiter.as_ref());
        let limits = Limits { limiters, slots: of.slots.clone() };
        let (outbox, inbox) = mpsc::channel(BATCH_CAPACITY);
        let dispatcher = Dispatcher::new(inbox, limits, of.pool.clone(), begun.give_back.clone());
        let dispatcher = Arc::new(dispatcher);
        begun.dispatcher = Arc::downgrade(&dispatcher);
        let name = format!("dispatcher[{}/{}]", of.queue.name, group.name);
        supervisor.spawn_watched(name, ExitPolicy::Restart, steps::OF_MEMORY, move || {
            Arc::clone(&dispatcher).run()
        });
        let claim_group = ClaimGroup {
            queue: of.queue.name.clone(),
            kinds: Arc::clone(&group.kinds),
            most: group.most,
            slots: room.clone().unwrap_or_else(|| of.slots.clone()),
            outbox,
        };
        let (halt, stop) = (begun.halt.clone(), begun.leave.clone());
        let shared = ClaimerShared { halt, stop, ..links.claiming.clone() };
        let claimer = Arc::new(Claimer::new(shared, claim_group, links.bell.waker()));
        links.lookout.look_for(&claimer.post());
        let name = format!("claimer[{}/{}]", of.queue.name, group.name);
        supervisor.spawn_watched(name, ExitPolicy::Restart, links.limit, move || {
            Arc::clone(&claimer).run()
        });
        Some(begun)
    }

    fn kinds_of(&self, registry: &Registry, queue: &QueueName, kinds: &[KindSettings]) -> Kinds {
        let runtime = |kind: &KindSettings| {
            let handler = Arc::clone(registry.get(kind.name.as_str())?);
            let metrics = self.metrics.job(queue, &kind.name);
            let (policy, label) = (kind.policy.clone(), Label::of(&kind.name, queue));
            let runtime = KindRuntime { policy, handler, label, metrics };
            Some((kind.name.clone(), Arc::new(runtime)))
        };
        kinds.iter().filter_map(runtime).collect()
    }

    /// A limit that stays keeps its bucket; another one begins with an empty one, as at the start.
    fn limit_kinds(&self, lanes: &mut Lanes, kinds: &[KindSettings]) {
        lanes.kinds = kinds.iter().map(|kind| kind.name.to_string()).collect();
        let mut before = std::mem::take(&mut lanes.limiters);
        let limit = |kind: &KindSettings| {
            let metrics = format!("kind:{}", kind.name);
            let limit = self.limit(before.remove(&kind.name), kind.rate_limit, &metrics)?;
            Some((kind.name.clone(), limit))
        };
        lanes.limiters = kinds.iter().filter_map(limit).collect();
    }

    fn queue_limiter(&self, before: Option<Limit>, queue: &QueueSettings) -> Option<Limit> {
        self.limit(before, queue.rate_limit, &format!("queue:{}", queue.name))
    }

    fn limit(&self, before: Option<Limit>, now: Option<RateLimit>, name: &str) -> Option<Limit> {
        let now = now?;
        let new = || (now, Arc::new(Limiter::new(now, self.metrics.limiter(name))));
        Some(before.filter(|(limit, _)| *limit == now).unwrap_or_else(new))
    }
}

#[cfg(test)]
mod tests;
