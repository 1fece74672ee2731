//! What tasks tell a trace, in paused time.

use super::*;
use crate::supervise::{ExitPolicy, at};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

const MOMENT: Duration = Duration::from_millis(10);

/// Two tasks: one that waits to be called, and one that calls it each moment.
fn pair() -> Supervisor {
    let (supervisor, call) = (Supervisor::default(), Arc::<Notify>::default());
    let called = Arc::clone(&call);
    supervisor.spawn("called[1]", ExitPolicy::Restart, move || {
        let called = Arc::clone(&called);
        async move {
            loop {
                at(WaitPoint::ClaimCall, called.notified()).await;
                at(WaitPoint::ChannelSend, sleep(MOMENT / 2)).await;
            }
        }
    });
    supervisor.spawn("caller", ExitPolicy::Restart, move || {
        let call = Arc::clone(&call);
        async move {
            loop {
                sleep(MOMENT).await;
                call.notify_one();
            }
        }
    });
    supervisor
}

fn written(trace: &Trace) -> Vec<Value> {
    let mut text = Vec::new();
    trace.write(&mut text, json!({})).expect("written");
    let trace: Value = serde_json::from_slice(&text).expect("JSON");
    trace["traceEvents"].as_array().expect("a list").clone()
}

#[tokio::test(start_paused = true)]
async fn a_trace_has_polls_waits_of_their_length_and_who_woke_whom() {
    let supervisor = pair();
    sleep(MOMENT * 3 / 2).await;
    let trace = supervisor.record(MOMENT * 3, Vec::new).await.expect("nobody takes one");
    let events = written(&trace);
    let of = |name: &str, phase: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["name"] == name && event["ph"] == phase).collect()
    };
    let lengths = |name| of(name, "X").iter().map(|wait| wait["dur"].as_f64()).collect::<Vec<_>>();
    assert_eq!(lengths("channel.send")[..2], [Some(5e3); 2]);
    assert!(lengths("claim.call").contains(&Some(5e3)), "{:?}", lengths("claim.call"));
    assert!(of("called[1]", "X").len() >= 4 && of("caller", "X").len() >= 3, "{events:?}");
    // Each call of it lies in a poll of its caller; the timer wakes the other.
    let wakes = of("wake called[1]", "X");
    assert!(!wakes.is_empty(), "{events:?}");
    let arrows = |phase| of("wake", phase).iter().map(|end| end["id"].clone()).collect::<Vec<_>>();
    assert!(!arrows("s").is_empty());
    for id in arrows("f") {
        assert!(arrows("s").contains(&id), "{id} has one end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_comes_or_goes_meanwhile_has_its_name_and_no_wait_beyond_its_end() {
    let supervisor = Supervisor::default();
    let recorded = supervisor.record(MOMENT * 4, Vec::new);
    let life = async {
        sleep(MOMENT).await;
        supervisor.spawn("brief", ExitPolicy::Log, || at(WaitPoint::Sleep, sleep(MOMENT)));
        std::future::pending::<()>().await;
    };
    let trace = tokio::select! {
        trace = recorded => trace.expect("nobody takes one"),
        () = life => unreachable!("it waits for ever"),
    };
    let events = written(&trace);
    assert!(events.iter().any(|event| event["args"]["name"] == "brief"), "{events:?}");
    let wait = events.iter().find(|event| event["name"] == "sleep").expect("its wait");
    assert_eq!(wait["dur"].as_f64(), Some(1e4), "{wait}");
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_is_given_up_leaves_tasks_that_are_woken_as_before() {
    let supervisor = pair();
    let given_up = tokio::time::timeout(MOMENT * 2, supervisor.record(MOMENT * 9, Vec::new)).await;
    assert!(given_up.is_err());
    sleep(MOMENT * 3).await;
    let place = supervisor.tasks()[0].stay.map(|stay| stay.place);
    let before = supervisor.tasks()[0].last_run;
    assert!(place.is_some() && before.is_some());
    let trace = supervisor.record(MOMENT * 3, Vec::new).await.expect("it was given up");
    assert!(written(&trace).iter().any(|event| event["name"] == "called[1]" && event["ph"] == "X"));
}
