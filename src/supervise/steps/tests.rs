//! Loops that stand still, wait by right, and move again, in paused time.

use super::*;
use crate::{
    supervise::{ExitPolicy, RESTART_BUDGET, Supervisor},
    telemetry::{
        health::{Check, Health, Phase},
        metrics::Metrics,
    },
};
use futures::FutureExt;
use std::sync::atomic::AtomicUsize;
use tokio::{sync::Notify, time::advance};

const LIMIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than a step may take until its loop is started again, the pause before that included.
const UNTIL_RESTART: Duration = Duration::from_secs(32);

/// A supervisor and a daemon that is ready but for its loops.
struct Watched {
    supervisor: Supervisor,
    health: Arc<Health>,
    loops: Check,
    metrics: Arc<Metrics>,
}

impl Watched {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::default());
        let health = Health::new(SECOND);
        health.enter(Phase::Ready);
        let loops = health.check("loops");
        Self { supervisor: Supervisor::shown_in(&metrics), health, loops, metrics }
    }

    /// Starts `loop` with the limit of this test.
    fn start<Life>(&self, name: &str, life: impl Fn() -> Life + Send + 'static)
    where
        Life: Future<Output = ()> + Send + 'static,
    {
        self.supervisor.spawn_watched(name, ExitPolicy::Restart, LIMIT, life);
    }

    /// Lets time pass, a second at a time; gives why the daemon isn't ready then.
    async fn after(&self, time: Duration) -> Option<String> {
        for _ in 0..time.as_secs() {
            sleep(SECOND).await;
        }
        self.supervisor.tell_late(&self.loops);
        assert_eq!(self.health.ready(), self.health.checks()[0].failing.is_none());
        self.health.checks().remove(0).failing
    }

    fn restarts(&self) -> u32 {
        self.supervisor.tasks()[0].restarts
    }

    fn shows(&self, line: &str) {
        let text = self.metrics.render();
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_stands_still_is_named_then_started_again_and_counted() {
    let watched = Watched::new();
    let (lives, counted) = (Arc::new(AtomicUsize::new(0)), "legwork_worker_restarts_total");
    let life = Arc::clone(&lives);
    watched.start("promoter", move || {
        let first = life.fetch_add(1, Relaxed) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
            waiting(std::future::pending::<()>()).await;
        }
    });
    assert_eq!(watched.after(LIMIT).await, None);
    watched.shows(&format!("{counted}{{component=\"promoter\",reason=\"stalled\"}} 0"));
    let reason = watched.after(2 * SECOND).await;
    assert_eq!(reason.as_deref(), Some("promoter has been in one step for 12 s"));
    assert_eq!(watched.after(17 * SECOND).await.as_deref().map(|r| &r[..8]), Some("promoter"));
    assert_eq!(lives.load(Relaxed), 1, "at 29 s it has its chance still");
    assert_eq!(watched.after(3 * SECOND).await, None, "the new one waits for work");
    assert_eq!((lives.load(Relaxed), watched.restarts()), (2, 1));
    watched.shows(&format!("{counted}{{component=\"promoter\",reason=\"stalled\"}} 1"));
    watched.after(10 * UNTIL_RESTART).await;
    assert_eq!(lives.load(Relaxed), 2, "who waits for work isn't late");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_stands_still_again_and_again_uses_its_budget_up() {
    let watched = Watched::new();
    watched.start("claimer[default/all]", std::future::pending);
    let budget = u32::try_from(RESTART_BUDGET).expect("a small number");
    watched.after(budget * UNTIL_RESTART).await;
    assert_eq!(watched.restarts(), budget);
    assert_eq!(watched.supervisor.failure().now_or_never(), None);
    watched.after(UNTIL_RESTART).await;
    let failure = watched.supervisor.failure().now_or_never();
    assert_eq!(failure.as_deref(), Some("claimer[default/all]"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_moves_in_time_is_never_late_however_much_it_does() {
    let watched = Watched::new();
    watched.start("rescuer", || async {
        loop {
            sleep(LIMIT).await;
            step();
        }
    });
    for _ in 0..20 {
        assert_eq!(watched.after(7 * SECOND).await, None);
    }
    assert_eq!(watched.restarts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_was_late_and_moves_is_a_reason_no_longer_and_is_left_alone() {
    let watched = Watched::new();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    watched.start("stats", move || {
        let gate = Arc::clone(&gate);
        async move {
            loop {
                gate.notified().await;
                step();
            }
        }
    });
    assert!(watched.after(29 * SECOND).await.is_some());
    go.notify_one();
    assert_eq!(watched.after(SECOND).await, None);
    assert!(watched.after(28 * SECOND).await.is_some(), "another step, another count");
    assert_eq!(watched.restarts(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_come_while_the_process_stood_still_is_taken_before_its_loop_is_ended() {
    let watched = Watched::new();
    let came = Arc::new(Notify::new());
    let answer = Arc::clone(&came);
    watched.start("completer", move || {
        let answer = Arc::clone(&answer);
        async move {
            answer.notified().await;
            waiting(std::future::pending::<()>()).await;
        }
    });
    sleep(SECOND).await;
    // As by SIGSTOP: the timers fire first, and sockets are looked at a moment later.
    advance(10 * UNTIL_RESTART).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    came.notify_one();
    assert_eq!(watched.after(2 * SECOND).await, None);
    assert_eq!(watched.restarts(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_outermost_and_also_when_it_is_given_up() {
    let watched = Watched::new();
    watched.start("poller", || async {
        waiting(async {
            waiting(async {}).await;
            sleep(2 * LIMIT).await;
        })
        .await;
        tokio::time::timeout(SECOND, waiting(std::future::pending::<()>())).await.ok();
        std::future::pending::<()>().await;
    });
    assert_eq!(watched.after(2 * LIMIT).await, None, "the outer wait goes on");
    let reason = watched.after(SECOND + LIMIT + 2 * SECOND).await;
    assert_eq!(reason.as_deref(), Some("poller has been in one step for 12 s"));
}

#[tokio::test(start_paused = true)]
async fn readiness_names_a_handful_of_loops_and_counts_the_rest() {
    let watched = Watched::new();
    for number in 0..8 {
        watched.start(&format!("dispatcher[q{number}/all]"), std::future::pending);
    }
    let reason = watched.after(12 * SECOND).await.expect("all are late");
    assert_eq!(reason.matches("has been in one step").count(), 5, "{reason}");
    assert!(reason.ends_with(", and 3 more"), "{reason}");
}
