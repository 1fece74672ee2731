//! What is kept and what isn't; what is written of it, tests/it/execution.rs holds to the rules of the format.

use super::*;
use crate::job::{JobId, QueueName};
use serde_json::{Value, json};
use std::sync::Arc;

fn subject(job: i64) -> Subject {
    let queue = QueueName::new("mail").expect("a name");
    Subject { job: JobId(job), token: 1, attempt: 1, kind: None, queue }
}

fn written(trace: &Trace) -> Value {
    let mut text = Vec::new();
    trace.write(&mut text, json!({})).expect("written");
    serde_json::from_slice(&text).expect("JSON")
}

fn named<'v>(trace: &'v Value, name: &str) -> Vec<&'v Value> {
    let events = trace["traceEvents"].as_array().expect("a list");
    events.iter().filter(|event| event["name"] == name).collect()
}

#[test]
fn nothing_is_kept_but_while_somebody_takes_a_trace() {
    let recorder = Arc::<Recorder>::default();
    let tell = |job| recorder.phase(Phase::Claimed, subject(job), "");
    assert!(!recorder.is_on());
    tell(1);
    let recording = recorder.start().expect("nobody takes one");
    assert!(recorder.is_on());
    tell(2);
    let jobs = |trace: &Trace| jobs::courses(trace).iter().map(|c| c.job.job.0).collect::<Vec<_>>();
    assert_eq!(jobs(&recording.end()), [2]);
    assert!(!recorder.is_on());
    tell(3);
    assert_eq!(jobs(&recorder.start().expect("it is over").end()), [0_i64; 0]);
}

#[test]
fn one_trace_at_a_time_and_one_that_is_given_up_leaves_nothing() {
    let recorder = Arc::<Recorder>::default();
    let tell = |task| recorder.place(task, Some("limiter"), 0);
    let first = recorder.start().expect("nobody takes one");
    assert_eq!(recorder.start().err(), Some(UnderWay));
    assert!(recorder.is_on(), "who is turned away ends nothing");
    // More than is kept, by several threads.
    (0..=EVENTS_MAX).for_each(|_| tell(1));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| tell(2));
        }
    });
    drop(first);
    assert!(!recorder.is_on());
    // Whoever looked at the flag before it fell tells it late.
    tell(3);
    let next = recorder.start().expect("it was given up");
    tell(4);
    let next = next.end();
    let places = next.events().map(|event| match event {
        Event::Place { task, .. } => *task,
        other => panic!("nobody told that: {other:?}"),
    });
    assert_eq!(places.collect::<Vec<_>>(), [4]);
    assert_eq!(written(&next)["otherData"]["lost_events"], 0);
    drop(next);
    assert!(recorder.start().is_ok(), "its turn went with it");
}

#[test]
fn events_beyond_the_limit_are_counted_and_told() {
    let recorder = Arc::<Recorder>::default();
    let recording = recorder.start().expect("nobody takes one");
    let tell = || recorder.place(1, Some("limiter"), 0);
    (0..EVENTS_MAX).for_each(|_| tell());
    let full = recorder.now();
    tell();
    let one_is_lost = recorder.now();
    (0..6).for_each(|_| tell());
    let taken = recording.end();
    let first = taken.micros(full)..=taken.micros(one_is_lost);
    assert!(recorder.start().is_err(), "what was taken is held");
    let trace = written(&taken);
    drop(taken);
    let lost = named(&trace, "7 events are lost from here on")[0]["ts"].as_f64().expect("a time");
    assert!(first.contains(&lost), "{lost} and {first:?}");
    for wait in named(&trace, "limiter") {
        let end = wait["ts"].as_f64().expect("a time") + wait["dur"].as_f64().expect("a length");
        assert!(end <= lost + 0.001, "nobody saw whether it went on: {wait}");
    }
    assert_eq!(trace["otherData"]["lost_events"], 7);
    let from = trace["otherData"]["lost_from_ms"].as_f64().expect("a time");
    assert!((from - lost / 1000.0).abs() < 1e-6, "{from} and {lost}");
    let told = named(&trace, "7 events are lost from here on");
    assert_eq!((told.len(), &told[0]["ph"], &told[0]["s"]), (1, &json!("i"), &json!("g")));
    let next = recorder.start().expect("it is over");
    tell();
    let next = written(&next.end());
    assert_eq!(named(&next, "limiter").len(), 1, "it doesn't end where the one before did");
    assert_eq!(next["otherData"]["lost_events"], 0);
    assert_eq!(next["otherData"]["lost_from_ms"], serde_json::Value::Null);
}

#[test]
fn an_arrow_of_which_one_end_is_missing_is_left_out() {
    let recorder = Arc::<Recorder>::default();
    let recording = recorder.start().expect("nobody takes one");
    recorder.woke(1, 11, recorder.now());
    recorder.woke(2, 12, recorder.now());
    recorder.polled(2, (12, None), recorder.now());
    recorder.polled(3, (13, None), recorder.now());
    let trace = written(&recording.end());
    let ends: Vec<_> = named(&trace, "wake").iter().map(|end| (&end["ph"], &end["id"])).collect();
    assert_eq!(ends, [(&json!("s"), &json!("12")), (&json!("f"), &json!("12"))]);
}

#[test]
fn an_arrow_leads_from_the_thread_that_wakes_to_the_one_that_polls() {
    let recorder = Arc::<Recorder>::default();
    let recording = recorder.start().expect("nobody takes one");
    let elsewhere = |work: &(dyn Fn() + Sync)| {
        let tell = || {
            work();
            crate::sys::thread_number()
        };
        std::thread::scope(|scope| scope.spawn(tell).join().expect("no panic"))
    };
    let here = crate::sys::thread_number();
    let there = elsewhere(&|| recorder.woke(1, 11, recorder.now()));
    recorder.polled(1, (11, None), recorder.now());
    recorder.woke(2, 12, recorder.now());
    let third = elsewhere(&|| recorder.polled(2, (12, None), recorder.now()));
    let trace = written(&recording.end());
    let end = |ph: &str, id: &str| {
        let ends = named(&trace, "wake");
        let mut ends = ends.into_iter().filter(|end| end["ph"] == ph && end["id"] == id);
        let (end, other) = (ends.next().expect("an end"), ends.next());
        assert!(other.is_none(), "{trace}");
        (end["tid"].as_u64(), end["ts"].as_f64())
    };
    for (id, from, to) in [("11", there, here), ("12", here, third)] {
        let (began, ended) = (end("s", id), end("f", id));
        assert_eq!((began.0, ended.0), (Some(from), Some(to)), "{trace}");
        assert!(began.1 <= ended.1, "{trace}");
    }
    assert_eq!(named(&trace, "wake").len(), 4, "{trace}");
}

/// As it is told by one who saw the trace before, once the next has begun.
#[test]
fn what_was_over_before_a_trace_is_no_end_of_an_arrow() {
    let recorder = Arc::<Recorder>::default();
    let recording = recorder.start().expect("nobody takes one");
    recorder.polled(1, (11, None), recorder.now());
    recorder.woke(2, 12, recorder.now());
    let mut taken = recording.end();
    let before = taken.span.0 - 1;
    let [wake, poll] = [
        Event::Wake { task: 1, flow: 11, began: before, ended: before },
        Event::Poll { task: 2, job: None, flow: 12, began: before, ended: before },
    ];
    taken.threads[0].1.events.extend([wake, poll]);
    assert_eq!(named(&written(&taken), "wake"), [0_i64; 0]);
}
