//! What is shown of a connection, and what its end costs the others.

use super::*;
use crate::{
    supervise::{ExitPolicy, Supervisor, TaskInfo},
    telemetry::metrics::Metrics,
};
use std::future::pending;
use tokio::{sync::oneshot, task::yield_now};

/// What stands beside a task that had this run.
async fn beside(supervisor: &Supervisor, work: Work) -> Vec<TaskInfo> {
    let (mut work, start) = (Some(work), http_client("http://r:80"));
    supervisor.spawn("worker[a]#0", ExitPolicy::Log, move || {
        if let Some(work) = work.take() {
            start(work);
        }
        pending()
    });
    // Each is polled once.
    for _ in 0..4 {
        yield_now().await;
    }
    supervisor.tasks().into_iter().filter(|task| task.name() == "http[http://r:80]").collect()
}

#[tokio::test]
async fn a_connection_is_listed_with_the_task_that_asked_for_it_until_it_ends() {
    let metrics = Arc::new(Metrics::default());
    let supervisor = Supervisor::shown_in(&metrics);
    let (end, ends) = oneshot::channel::<()>();
    let tasks = beside(&supervisor, Box::pin(async { ends.await.unwrap_or_default() })).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].stay.map(|stay| stay.place), Some(WaitPoint::HttpClient));
    assert_eq!(supervisor.alive().unregistered(), 0, "nobody takes it for a leak");
    let shown = metrics.render();
    assert!(shown.contains("legwork_supervised_tasks{component=\"http\"} 1\n"), "{shown}");
    drop(end);
    supervisor.registry.until_none("http[").await;
}

#[tokio::test]
async fn one_that_panics_is_off_the_list_and_takes_nobody_along() {
    let supervisor = Supervisor::default();
    let broken = Box::pin(async { panic!("on purpose") });
    assert!(beside(&supervisor, broken).await.is_empty());
    assert_eq!(supervisor.tasks().len(), 1);
}

#[tokio::test]
async fn without_a_task_of_ours_it_runs_all_the_same() {
    let (ran, runs) = oneshot::channel();
    http_client("http://r:80")(Box::pin(async { ran.send(()).expect("the test waits") }));
    runs.await.expect("it ran");
}
