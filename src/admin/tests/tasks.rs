//! The tree of tasks where there are thousands, and what it says of one.

use super::*;
use crate::{
    job::{JobId, KindName, Lease, QueueName},
    supervise::{ExitPolicy, Supervisor, TaskInfo, WaitPoint, at},
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

/// Fails so often, then is polled once while it waits, and waits on.
fn stumbles(supervisor: &Supervisor, name: &str, times: usize) {
    let mut lives = 0;
    supervisor.spawn(name, ExitPolicy::Restart, move || {
        lives += 1;
        async move {
            assert!(lives > times, "on purpose");
            let waits = async {
                tokio::time::sleep(A_WHILE).await;
                std::future::pending::<()>().await;
            };
            at(WaitPoint::Sleep, waits).await;
        }
    });
}

/// Far more than between two questions, unless the machine is very slow: then less is told apart, and nothing fails.
const A_WHILE: Duration = Duration::from_millis(400);

/// The figures of one task before an answer and after it, and what the answer says: in between, to a tenth of a second.
fn between(before: Duration, said: f64, after: Duration) {
    let (before, after) = (before.as_secs_f64() - 0.051, after.as_secs_f64() + 0.051);
    assert!((before..=after).contains(&said), "{said} isn't between {before} and {after}");
}

#[tokio::test]
async fn restarts_and_the_last_run_are_told_of_each_task_as_the_supervisor_has_them() {
    let (state, counts) = (state(), [("pulse#1", 2), ("pulse#2", 0), ("pulse#3", 1)]);
    let supervisor = state.supervisor.clone();
    for (name, times) in counts {
        stumbles(&supervisor, name, times);
    }
    let tasks = || {
        let named = |(name, _)| supervisor.tasks().into_iter().find(|task| task.name() == name);
        counts.map(|count| named(count).unwrap())
    };
    // All have begun to wait, and were polled since.
    let settled = |task: &TaskInfo| {
        let (Some(stay), Some(last_run)) = (task.stay, task.last_run) else { return false };
        stay.place == WaitPoint::Sleep && stay.taken > last_run + A_WHILE / 2 && last_run > A_WHILE
    };
    while !tasks().iter().all(settled) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = tasks();
    let (json, text) = served(state, async |at| {
        (get(at, "/debug/tasks", "").await, get(at, "/debug/tasks?format=text", "").await)
    })
    .await;
    let after = tasks();

    let tree: Value = serde_json::from_str(body(&json)).unwrap();
    let component = &tree["components"][0];
    assert_eq!((&component["name"], &component["restarts"]), (&"pulse".into(), &3.into()));
    for (place, (name, times)) in counts.into_iter().enumerate() {
        let (before, after) = (&before[place], &after[place]);
        let listed = component["listed"].as_array().unwrap();
        let task = listed.iter().find(|task| task["name"] == name).unwrap();
        assert_eq!(task["restarts"], times, "{task}");
        let ran = task["last_run_seconds_ago"].as_f64().unwrap();
        between(before.last_run.unwrap(), ran, after.last_run.unwrap());

        let line = text.lines().find(|line| line.contains(name)).unwrap();
        let told =
            line.split(", ").find_map(|part| part.strip_prefix("ran ")?.strip_suffix(" s ago"));
        between(before.last_run.unwrap(), told.unwrap().parse().unwrap(), after.last_run.unwrap());
        let said = line.ends_with(&format!(", {times} restarts"));
        assert_eq!((said, line.contains("restarts")), (times > 0, times > 0), "{line}");
    }
}
