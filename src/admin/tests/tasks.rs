//! The tree of tasks where there are thousands, and what it says of one.

use super::*;
use crate::{
    job::{JobId, KindName, Lease, QueueName},
    supervise::{ExitPolicy, WaitPoint, at},
};
use serde_json::Value;

const WORKERS: u32 = 8000;

/// Workers that all run a job and wait.
fn crowd(state: &AdminState) {
    for number in 1..=WORKERS {
        let running = Arc::clone(&state.attempts);
        let name = format!("worker[q]#{number}");
        state.supervisor.spawn(name, ExitPolicy::Restart, move || {
            let running = Arc::clone(&running);
            async move {
                let lease = Lease { job: JobId(number.into()), token: 1, holder: 1 };
                let (queue, kind) = (QueueName::new("q").unwrap(), KindName::new("k").unwrap());
                let _listed = running.begin(lease, (queue, kind)).unwrap();
                at(WaitPoint::Sleep, std::future::pending::<()>()).await;
            }
        });
    }
}

#[tokio::test]
async fn thousands_are_all_counted_and_those_with_the_oldest_jobs_are_listed() {
    let state = state();
    crowd(&state);
    while state.attempts.list().len() < WORKERS as usize {
        tokio::task::yield_now().await;
    }
    let (some, many, text, counted) = served(state, async |at| {
        (
            get(at, "/debug/tasks?limit=10", "").await,
            get(at, "/debug/tasks", "").await,
            get(at, "/debug/tasks?limit=2", "Accept: text/plain\r\n").await,
            get(at, "/debug/pprof/goroutine?debug=1", "").await,
        )
    })
    .await;
    let workers = |answer: &str| {
        let tree: Value = serde_json::from_str(body(answer)).unwrap();
        assert_eq!(tree["tokio"]["registered"], WORKERS);
        tree["components"][0].clone()
    };
    let listed = |of: &Value| of["listed"].as_array().unwrap().clone();
    let some = workers(&some);
    assert_eq!((&some["name"], &some["tasks"]), (&"worker".into(), &WORKERS.into()));
    assert_eq!(some["waits"]["sleep"]["tasks"], WORKERS);
    let jobs: Vec<_> = listed(&some).iter().map(|task| task["job"]["id"].as_u64()).collect();
    assert_eq!(jobs, (1..=10).map(Some).collect::<Vec<_>>());
    assert_eq!(listed(&workers(&many)).len(), 1000);
    assert!(body(&text).contains("  … and 7998 more\n"), "{text}");
    assert!(body(&counted).contains("8000 @ worker sleep\n"), "{counted}");
    assert!(body(&counted).contains("# labels: {\"kind\":\"k\", \"queue\":\"q\"}\n"), "{counted}");
}

#[tokio::test]
async fn an_error_is_told_with_its_age_and_makes_no_line_of_its_own() {
    let state = state();
    state.supervisor.spawn("promoter", ExitPolicy::Restart, || async {
        crate::supervise::failed(&std::io::Error::other("no\ntokio: 0 tasks alive"));
        at(WaitPoint::RetryPause, std::future::pending::<()>()).await;
    });
    let (json, text) = served(state, async |at| {
        let json = get(at, "/debug/tasks?format=json", "Accept: text/plain\r\n").await;
        (json, get(at, "/debug/tasks?format=text", "").await)
    })
    .await;
    let tree: Value = serde_json::from_str(body(&json)).unwrap();
    let task = &tree["components"][0]["listed"][0];
    assert_eq!(task["last_error"]["text"], "no\ntokio: 0 tasks alive");
    assert_eq!((&task["state"], &task["waits"]["at"]), (&"waiting".into(), &"retry.pause".into()));
    assert_eq!(text.matches("\ntokio: ").count(), 1, "{text}");
    assert!(text.contains(" ago: no tokio: 0 tasks alive\n"), "{text}");
}
