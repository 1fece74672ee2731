//! Execution traces of a running daemon, held to the rules of Chrome's format: what Perfetto opens.

mod places;
mod rules;

use std::io::Read;
use std::net::SocketAddr;

use legwork::{Enqueued, Job};
use serde_json::Value;

use crate::profiling::second;
use crate::statements::value;
use crate::support::{self, Answer, Daemon, TestDb, receiver::Receiver};
use rules::{Tracks, holds};

/// A kind whose receiver never answers, one that sleeps, and the port.
fn configuration(db: &TestDb, url: &str) -> String {
    format!(
        "[database]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [shutdown]\ngrace = \"0s\"\n[[kind]]\nname = \"call\"\nhandler = \"http\"\nurl = \"{url}\"\n\
         allow_hosts = [\"127.0.0.1\"]\n[[kind]]\nname = \"nap\"\nhandler = \"sleep\"\n",
        db.url()
    )
}

async fn ask(address: SocketAddr, path: &str, headers: &str) -> Answer {
    support::http::ask(address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n"))
        .await
}

/// One that takes requests and never answers.
async fn silent() -> Receiver {
    Receiver::doing(async |stream| {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await
}

#[test]
fn a_trace_shows_polls_wake_ups_waits_and_the_phases_of_jobs() {
    support::run(async |db| {
        let receiver = silent().await;
        let daemon = Daemon::start(&configuration(&db, &receiver.url("/"))).await;
        let (at, mut session) = (daemon.admin().await, db.connect().await);
        let called = legwork::enqueue(&mut session, &Job::new("call")).await.expect("a row");
        let Enqueued::New(called) = called else { panic!("it has no unique key") };
        support::eventually("a worker waits for the receiver", async || {
            daemon.get("/debug/tasks?format=text").await.1.contains("http.response")
        })
        .await;

        let taken = ask(at, "/debug/trace?seconds=2", "");
        let naps = async {
            loop {
                let nap = Job::new("nap").payload(&0.02);
                legwork::enqueue(&mut session, &nap).await.expect("a row");
                let left = "SELECT count(*) FROM legwork.job WHERE kind = 'nap'";
                while value(&mut session, left).await != "0" {}
            }
        };
        let taken = tokio::select! {
            taken = taken => taken,
            () = naps => unreachable!("it goes on for ever"),
        };
        assert_eq!((taken.status, taken.header("content-type")), (200, Some("application/json")));
        let trace: Value = serde_json::from_slice(&taken.body).expect("JSON");
        assert_eq!(trace["otherData"]["lost_events"], 0);
        assert_eq!(trace["otherData"]["pid"], daemon.pid().as_raw());
        holds(&trace);
        shows_threads(&Tracks::of(&trace));
        shows_jobs(&Tracks::of(&trace), called.0);
        daemon.stop().await;
    });
}

/// Polls of the workers and attempts in them, and who woke whom.
fn shows_threads(tracks: &Tracks<'_>) {
    let polls = tracks.slices("poll");
    let workers: Vec<_> =
        polls.iter().filter(|poll| text(&poll["name"]).starts_with("worker[default]#")).collect();
    assert!(!workers.is_empty(), "no poll of a worker");
    assert!(polls.iter().any(|poll| poll["name"] == "completer"), "no poll of the completer");
    let attempts = tracks.slices("attempt");
    let nap = attempts.iter().find(|attempt| attempt["name"] == "nap").expect("a nap's poll");
    assert_eq!(nap["args"]["queue"], "default");
    let round = workers.iter().any(|poll| rules::is_within(nap, poll));
    assert!(round, "a nap is polled by its worker: {nap}");
    let woken = tracks.ends("f");
    assert!(!woken.is_empty(), "nobody woke anybody");
}

/// What the naps went through, and where the other one hangs.
fn shows_jobs(tracks: &Tracks<'_>, called: i64) {
    let steps = tracks.asynchronous(|begin| begin["args"]["kind"] == "nap");
    let phases = ["nap", "claimed", "queued", "started", "handler", "verdict", "flushed"];
    let complete = steps.values().any(|steps| *steps == phases);
    assert!(complete, "no nap with all its phases in their order: {steps:?}");

    let handler = tracks.begins("handler", |args| args["job"] == called);
    assert_eq!(handler["args"]["kind"], "call");
    assert_eq!(handler["args"]["began_before"], true);
    assert_eq!(tracks.begins("call", |args| args["job"] == called)["args"]["goes_on"], true);
    let ended = tracks.begins("nap", |args| args["goes_on"].is_null());
    assert_eq!(ended["cat"], "job", "{ended}");
    let waits = tracks.slices("wait");
    let hangs = waits.iter().find(|wait| wait["name"] == "http.response").expect("its wait");
    assert!(tracks.name(hangs).starts_with("worker[default]#"), "{hangs}");
    assert!(hangs["dur"].as_f64() > Some(1.9e6), "it waits all the time: {hangs}");
    let naps = waits.iter().filter(|wait| wait["name"] == "sleep").count();
    assert!(naps > 0, "no nap waits");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn a_trace_is_packed_for_who_unpacks_it() {
    support::run(async |db| {
        let daemon = Daemon::start(&configuration(&db, "http://127.0.0.1:1/")).await;
        let at = daemon.admin().await;
        let answer = ask(at, "/debug/trace", "Accept-Encoding: br, gzip\r\n").await;
        assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&answer.body[..]);
        unpacked.read_to_string(&mut text).expect("it is whole");
        holds(&serde_json::from_str(&text).expect("JSON"));
        daemon.stop().await;
    });
}

#[test]
fn one_trace_at_a_time_and_none_for_who_has_left() {
    support::run(async |db| {
        let daemon = Daemon::start(&configuration(&db, "http://127.0.0.1:1/")).await;
        let at = daemon.admin().await;
        let long = async || ask(at, "/debug/trace?seconds=60", "").await;
        let short = async || ask(at, "/debug/pprof/trace?seconds=1", "").await;
        let refused = second(long, short).await;
        assert_eq!(refused.status, 409);
        assert_eq!(refused.header("x-go-pprof"), Some("1"));
        assert!(refused.text().contains("execution trace"), "{}", refused.text());
        // The first has left with the end of the choice above.
        support::eventually("the trace ends with its client", async || {
            ask(at, "/debug/trace?seconds=1", "").await.status == 200
        })
        .await;
        for path in ["/debug/trace?seconds=0", "/debug/trace?seconds=61", "/debug/trace?second=1"] {
            assert_eq!(ask(at, path, "").await.status, 400, "{path}");
        }
        daemon.stop().await;
    });
}
