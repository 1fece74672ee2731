//! What others see, and what becomes of it, between two lanes of a start and of a reload. Nobody is asked there: no
//! database answers, and no job comes but those that a test gives.

use super::*;
use crate::{
    config::{self, Environment, Overrides, Source},
    daemon::{Daemon, Settings, shutdown::Budget},
    job::{ClaimedJob, JobId, Lease},
    maintenance::Stats,
    postgres::Connector,
    supervise::{Supervisor, TaskInfo},
    telemetry::{health::Health, metrics::Format},
    worker::Assignment,
};
use futures::poll;
use std::pin::pin;
use tokio::time::Instant;

/// Serves these queues, whose finished jobs are kept for so many days.
fn settings(queues: &[(&str, u8)]) -> Settings {
    let queue = |(name, days): &(&str, u8)| {
        format!("[[queue]]\nname = '{name}'\nconcurrency = 2\nretention = '{days}d'\n")
    };
    let text = "[database]\nurl = 'postgres://nobody@127.0.0.1:1/nowhere?sslmode=disable'\n\
        [admin]\nlisten = 'off'\n[shutdown]\ngrace = '0s'\n\
        [[kind]]\nname = 'k'\nhandler = 'noop'\n";
    let text = text.to_owned() + &queues.iter().map(queue).collect::<String>();
    let source = Source::without_file(Environment::of([("", ""); 0])).with_text(text);
    config::load(&source).expect("a configuration").settings
}

/// A daemon that has found its database, and whatever runs of it.
struct Starting {
    daemon: Daemon,
    health: Arc<Health>,
    supervisor: Supervisor,
    running: Running,
    signals: Signals,
}

impl Starting {
    fn new(queues: &[(&str, u8)]) -> Self {
        let daemon = Daemon::new(settings(queues), Environment::of([("", ""); 0]));
        let (health, supervisor) =
            (Health::new(Duration::from_secs(1)), Supervisor::shown_in(&daemon.metrics));
        let told = (&health, &daemon.metrics, &daemon.callbacks);
        let running = Running::new(&supervisor, told, &daemon.settings, None);
        Self { daemon, health, supervisor, running, signals: Signals::default() }
    }

    /// Opens lanes until it is told to end after so many.
    async fn start(&mut self, lanes: Option<usize>) -> bool {
        let settings = &self.daemon.settings;
        let url = settings.database_url().expect("a URL");
        let connector = Connector::new(url, &settings.database).expect("it can be read");
        let metrics = Arc::clone(&self.daemon.metrics);
        let (stats, registry) =
            (Stats::new(metrics, self.health.check("schema")), self.daemon.registry.clone());
        let with = (Overrides::default(), &self.signals);
        let mut start = pin!(self.running.start((&self.daemon, registry), &connector, stats, with));
        for _ in 0..lanes.unwrap_or_default() {
            assert!(poll!(&mut start).is_pending(), "there are more lanes");
        }
        if lanes.is_some() {
            self.signals.stop();
        }
        start.await.expect("no thread is refused")
    }

    /// The queues that anybody claims from.
    fn claimed(&self) -> Vec<String> {
        let of = |name: &str| Some(name.strip_prefix("claimer[")?.split('/').next()?.to_owned());
        self.supervisor.tasks().iter().filter_map(|task| of(task.name())).collect()
    }

    /// Goes to its end, which has to be in order.
    async fn ends_in_order(self) {
        let budget = Budget::new(&self.daemon.settings.shutdown, Instant::now());
        let ended = Box::pin(self.running.shut_down(budget, &self.signals)).await;
        assert!(ended.is_clean(), "{ended:?}");
        let left = self.supervisor.tasks();
        let of_lanes = ["claimer[", "dispatcher[", "worker[", "completer"];
        let left = left.iter().map(TaskInfo::name);
        let left: Vec<_> =
            left.filter(|name| of_lanes.iter().any(|of| name.starts_with(of))).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// How many jobs of a queue a scrape shows in line for a worker.
    async fn scraped(&self, queue: &str) -> Option<String> {
        let page = self.daemon.metrics.scraped(Format::Text).await;
        let line = format!("legwork_channel_depth{{queue=\"{queue}\"}} ");
        page.lines().find_map(|it| it.strip_prefix(&line)).map(str::to_owned)
    }

    /// Gives a job to the workers of a queue, which have no turn before somebody waits.
    async fn give(&self, queue: &str) {
        let name = QueueName::new(queue).expect("a name");
        let (slots, pool) = {
            let lanes = self.running.lanes();
            let lane = lanes.all().find(|lane| lane.queue.name == name).expect("it is open");
            (lane.slots.clone(), lane.pool.clone())
        };
        let slot = slots.reserve(1, false).await.and_then(|mut reserved| reserved.take());
        let lease = Lease { job: JobId(1), token: 1, holder: 1 };
        let kind = KindName::new("k").expect("a name");
        let job = ClaimedJob::new(lease, name, kind, "{}");
        pool.give([Assignment { job, slot: slot.expect("a free one") }]);
    }
}

#[tokio::test]
async fn a_start_that_is_told_to_end_between_two_lanes_opens_no_more_and_ends_in_order() {
    let mut starting = Starting::new(&[("a", 1), ("b", 1), ("c", 1)]);
    assert!(!starting.start(Some(2)).await, "it isn't up");
    assert_eq!(starting.claimed(), ["a", "b"]);
    assert_eq!(served(&starting.running.serving()).0.len(), 2, "who looks sees those");
    starting.ends_in_order().await;

    let mut told_before = Starting::new(&[("a", 1)]);
    assert!(!told_before.start(Some(0)).await && told_before.claimed().is_empty());
    told_before.ends_in_order().await;
    let mut told_last = Starting::new(&[("a", 1)]);
    assert!(!told_last.start(Some(1)).await, "all are open, and it isn't up all the same");
    told_last.ends_in_order().await;
    let mut whole = Starting::new(&[("a", 1), ("b", 1)]);
    assert!(whole.start(None).await && whole.claimed().len() == 2);
    whole.ends_in_order().await;
}

#[tokio::test]
async fn a_scrape_amid_a_reload_shows_each_queue_from_its_first_job_on() {
    let mut starting = Starting::new(&[("a", 1), ("gone", 1)]);
    assert!(starting.start(None).await);
    let (before, after) =
        (starting.daemon.settings.clone(), settings(&[("new", 1), ("a", 1), ("last", 1)]));
    let decided = Overrides::default();
    let mut adopting = Box::pin(starting.running.adopt(&before, &after, &decided));
    assert!(poll!(&mut adopting).is_pending(), "the first is open, and others have their turn");
    starting.give("new").await;
    starting.give("gone").await;
    assert_eq!(starting.scraped("new").await.as_deref(), Some("1"), "before all are changed");
    assert_eq!(starting.scraped("gone").await.as_deref(), Some("1"), "as long as it has jobs");
    let names = |queues: Vec<QueueName>| queues.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(served(&starting.running.serving()).0), ["a", "new"]);
    adopting.await;
    assert_eq!(names(served(&starting.running.serving()).0), ["new", "a", "last"]);
    starting.running.quiet.cancel();
}

#[tokio::test]
async fn a_reload_that_is_told_to_end_between_two_lanes_ends_in_order() {
    let mut starting = Starting::new(&[("a", 1), ("b", 1), ("gone", 1)]);
    assert!(starting.start(None).await);
    let (before, after) =
        (starting.daemon.settings.clone(), settings(&[("new", 1), ("a", 2), ("b", 2)]));
    let decided = Overrides::default();
    let mut adopting = Box::pin(starting.running.adopt(&before, &after, &decided));
    for _ in 0..2 {
        assert!(poll!(&mut adopting).is_pending(), "there are more lanes");
    }
    starting.signals.stop();
    drop(adopting);
    let mut queues: Vec<_> =
        starting.running.lanes().all().map(|lane| lane.queue.name.to_string()).collect();
    queues.sort();
    assert_eq!(queues, ["a", "b", "gone", "new"], "each is as it was, or as it is to be");
    starting.ends_in_order().await;
}

#[tokio::test]
async fn jobs_of_a_queue_that_a_reload_opens_are_kept_as_it_says_from_the_first_on() {
    let mut starting = Starting::new(&[("a", 1), ("gone", 3)]);
    assert!(starting.start(None).await);
    let (before, after) = (starting.daemon.settings.clone(), settings(&[("new", 7), ("a", 2)]));
    let days = |queue: &str| {
        let kept = starting.running.told.kept.borrow();
        kept.get(&QueueName::new(queue).expect("a name")).map(|kept| kept.completed)
    };
    let kept = |settings: &Settings, queue: &str| {
        let of = settings.queues.iter().find(|of| of.name.to_string() == queue);
        of.map(|of| of.retention.completed)
    };
    let decided = Overrides::default();
    let mut adopting = Box::pin(starting.running.adopt(&before, &after, &decided));
    assert!(poll!(&mut adopting).is_pending(), "the first is open, and others have their turn");
    assert!(days("new").is_some() && days("new") == kept(&after, "new"));
    assert_eq!(days("gone"), kept(&before, "gone"), "its last jobs may end still");
    adopting.await;
    assert_eq!(days("a"), kept(&after, "a"));
    starting.running.quiet.cancel();
}
