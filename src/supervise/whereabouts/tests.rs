//! What a task notes of its waits, in paused time: places and not ages, for the coarse clock runs on.

use super::*;
use crate::supervise::{ExitPolicy, Supervisor, TaskState};
use tokio::time::{sleep, timeout};

const MOMENT: Duration = Duration::from_millis(10);

/// Starts `life`, and lets it come to its first wait.
async fn started<Life>(life: impl Fn() -> Life + Send + 'static) -> Supervisor
where
    Life: Future<Output = ()> + Send + 'static,
{
    let supervisor = Supervisor::default();
    supervisor.spawn("task", ExitPolicy::Restart, life);
    tokio::task::yield_now().await;
    supervisor
}

fn place(supervisor: &Supervisor) -> Option<&'static str> {
    supervisor.tasks()[0].stay.map(|stay| stay.place.as_str())
}

async fn after(supervisor: &Supervisor, moments: u32) -> Option<&'static str> {
    sleep(MOMENT * moments).await;
    place(supervisor)
}

#[tokio::test(start_paused = true)]
async fn a_wait_shows_while_it_lasts_and_what_is_ready_at_once_never() {
    let supervisor = started(|| async {
        at(WaitPoint::ChannelSend, async {}).await;
        sleep(2 * MOMENT).await;
        at(WaitPoint::ClaimQuery, sleep(2 * MOMENT)).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(place(&supervisor), None);
    assert_eq!(after(&supervisor, 1).await, None);
    assert_eq!(after(&supervisor, 2).await, Some("claim.query"));
    assert_eq!(after(&supervisor, 2).await, None);
    assert_eq!(supervisor.tasks()[0].state, TaskState::Waiting);
}

#[tokio::test(start_paused = true)]
async fn the_innermost_of_several_waits_shows_and_the_outer_one_after_it() {
    let supervisor = started(|| {
        at(WaitPoint::Handler, async {
            at_process(WaitPoint::Child, 7, sleep(2 * MOMENT)).await;
            sleep(2 * MOMENT).await;
            at(WaitPoint::HttpBody, sleep(2 * MOMENT)).await;
            sleep(2 * MOMENT).await;
            std::future::pending::<()>().await;
        })
    })
    .await;
    let pid = || supervisor.tasks()[0].stay.and_then(|stay| stay.pid);
    assert_eq!((after(&supervisor, 1).await, pid()), (Some("child"), Some(7)));
    assert_eq!((after(&supervisor, 2).await, pid()), (Some("handler"), None));
    assert_eq!(after(&supervisor, 2).await, Some("http.body"));
    assert_eq!(after(&supervisor, 2).await, Some("handler"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_shows_no_longer_nor_does_what_was_round_it() {
    let supervisor = started(|| async {
        let inner = at(WaitPoint::HttpResponse, std::future::pending::<()>());
        // Noted later than the inner one.
        let outer = at(WaitPoint::Handler, async {
            sleep(MOMENT / 2).await;
            inner.await;
        });
        timeout(2 * MOMENT, outer).await.ok();
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(place(&supervisor), Some("handler"));
    assert_eq!(after(&supervisor, 1).await, Some("http.response"));
    assert_eq!(after(&supervisor, 2).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_went_wrong_last_is_remembered_and_cut() {
    let supervisor = started(|| async {
        failed(&std::io::Error::other("é".repeat(ERROR_MAX_BYTES)));
        sleep(MOMENT).await;
        panic!("a bug in {}", "a loop");
    })
    .await;
    let told = || supervisor.tasks()[0].last_error.clone().map(|error| error.text);
    assert_eq!(told(), Some("é".repeat(ERROR_MAX_BYTES / 2)));
    sleep(2 * MOMENT).await;
    assert_eq!(told().as_deref(), Some("it panicked: a bug in a loop"));
    assert_eq!(supervisor.tasks()[0].state, TaskState::Restarting);
    assert_eq!(place(&supervisor), Some("task.restart"));
}

#[tokio::test]
async fn outside_of_a_supervised_task_nothing_is_noted_and_nothing_fails() {
    assert!(here().is_none());
    failed(&std::io::Error::other("no"));
    timeout(MOMENT, at(WaitPoint::Sleep, std::future::pending::<()>()))
        .await
        .expect_err("it waits");
}

#[tokio::test]
async fn a_task_that_was_polled_says_when_and_whether_it_is_at_it() {
    let notes = Arc::new(Whereabouts::default());
    assert_eq!(notes.polled(), None);
    let seen = Arc::clone(&notes);
    notes.over(async move { assert!(seen.polled().is_some_and(|(_, now)| now)) }).await;
    assert!(notes.polled().is_some_and(|(ago, now)| !now && ago < Duration::from_mins(1)));
}
