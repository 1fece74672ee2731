//! Tasks that end, fail and are waited for, in paused time.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_started_again_until_its_budget_is_used_up() {
    let supervisor = Supervisor::default();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    supervisor.spawn("loop", ExitPolicy::Restart, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { panic!("a bug") }
    });
    assert_eq!(supervisor.failure().await, "loop");
    assert_eq!(runs.load(Ordering::Relaxed) as usize, RESTART_BUDGET + 1);
}

#[tokio::test(start_paused = true)]
async fn an_unasked_end_of_a_vital_task_is_a_failure() {
    let supervisor = Supervisor::default();
    supervisor.spawn("vital", ExitPolicy::Shutdown, || async {});
    assert_eq!(supervisor.failure().await, "vital");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_told_to_leave_may_end_and_no_other_may() {
    let (supervisor, leave) = (Supervisor::default(), CancellationToken::new());
    for (name, leave) in [("left", leave.clone()), ("other", CancellationToken::new())] {
        let told = leave.clone();
        supervisor.until(leave).spawn(name, ExitPolicy::Shutdown, move || {
            let told = told.clone();
            async move { told.cancelled().await }
        });
    }
    leave.cancel();
    let soon = || Instant::now() + Duration::from_secs(1);
    assert!(supervisor.ended("left", soon()).await);
    assert!(!supervisor.ended("other", soon()).await, "it wasn't told");
    supervisor.spawn("vital", ExitPolicy::Shutdown, || async {});
    assert_eq!(supervisor.failure().await, "vital", "the only one that nobody told");
}

#[tokio::test(start_paused = true)]
async fn after_expect_ends_a_clean_end_is_no_failure_and_is_waited_for() {
    let supervisor = Supervisor::default();
    let gate = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&gate);
    supervisor.spawn("a[x]", ExitPolicy::Shutdown, move || {
        let gate = Arc::clone(&waits);
        async move { gate.notified().await }
    });
    supervisor.expect_ends();
    let soon = || Instant::now() + Duration::from_secs(1);
    assert!(!supervisor.ended("a", soon()).await, "it still waits at its gate");
    assert!(supervisor.ended("b", soon()).await, "nothing else runs");
    gate.notify_one();
    assert!(supervisor.ended("a", soon()).await);
    assert!(supervisor.failure().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_leaves_the_registry() {
    let supervisor = Supervisor::default();
    supervisor.spawn("hung", ExitPolicy::Restart, std::future::pending);
    assert_eq!(supervisor.tasks().len(), 1);
    supervisor.abort("hung");
    assert!(supervisor.ended("hung", Instant::now() + Duration::from_secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn the_metrics_show_what_runs_what_was_started_again_and_what_nobody_owns() {
    let metrics = Arc::new(Metrics::default());
    let supervisor = Supervisor::shown_in(&metrics);
    for name in ["worker[a]#0", "worker[b]#0", "claimer[a/all]"] {
        supervisor.spawn(name, ExitPolicy::Restart, std::future::pending);
    }
    let mut panics = true;
    supervisor.spawn("stats", ExitPolicy::Restart, move || {
        let panics = std::mem::take(&mut panics);
        async move {
            assert!(!panics, "a bug");
            std::future::pending::<()>().await;
        }
    });
    let restarted = async || {
        while supervisor.tasks().iter().all(|task| task.restarts == 0) {
            // Paused time moves on only while every task waits.
            sleep(RESTART_PAUSE).await;
        }
    };
    tokio::time::timeout(RESTART_WINDOW, restarted()).await.expect("it is started again");
    let shows = |line: &str| {
        let text = metrics.render();
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    };
    shows("legwork_supervised_tasks{component=\"worker\"} 2");
    shows("legwork_supervised_tasks{component=\"claimer\"} 1");
    shows("legwork_worker_restarts_total{component=\"stats\",reason=\"panic\"} 1");
    shows("legwork_worker_restarts_total{component=\"worker\",reason=\"panic\"} 0");
    shows("legwork_unsupervised_tasks 0");
    supervisor.abort("worker[");
    assert!(supervisor.ended("worker[", Instant::now() + Duration::from_secs(1)).await);
    shows("legwork_supervised_tasks{component=\"worker\"} 0");
}
