//! Events: what a listener hears, what it is told that it missed, and when it ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{daemon, get, post};
use crate::process::{Configuration, SLACK};
use crate::statements::{end, execute};
use crate::support::{self, Daemon, PATIENCE, Proxy};

/// Somebody who listens.
struct Listener(BufReader<TcpStream>);

/// An event as it came.
#[derive(Debug, PartialEq)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

impl Listener {
    /// Listens, once the daemon has said that it does.
    async fn at(daemon: &Daemon, query: &str, headers: &str) -> Self {
        Self::greeted(daemon, query, headers).await.0
    }

    /// The same, with the id of the greeting, where it has one.
    async fn greeted(daemon: &Daemon, query: &str, headers: &str) -> (Self, Option<String>) {
        let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
        let head =
            format!("GET /api/v1/events{query} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let mut listener = Self(BufReader::new(stream));
        let head = listener.block().await.join("\n");
        assert!(head.contains(" 200 OK") && head.contains("text/event-stream"), "{head}");
        let greeting = listener.block().await;
        assert_eq!(greeting[0], "retry: 1000");
        let id = greeting.get(1).map(|line| line.strip_prefix("id: ").expect("an id").to_owned());
        (listener, id)
    }

    /// Lines up to an empty one; none at the end.
    async fn block(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.0.read_line(&mut line)).await;
            read.expect("something comes").expect("it can be read");
            if line.trim_end().is_empty() {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// The next event, behind comments that nothing happened.
    async fn event(&mut self) -> Event {
        let telling = async {
            loop {
                let block = self.block().await;
                if !block.first().is_some_and(|line| line.starts_with(':')) {
                    return block;
                }
            }
        };
        // The comments alone would go on for ever.
        let block = timeout(2 * PATIENCE, telling).await.expect("an event comes");
        let field = |name: &str| {
            let found = block.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or_else(|| panic!("no {name} in {block:?}")).to_owned()
        };
        let data = serde_json::from_str(&field("data")).expect("it is JSON");
        Event { id: field("id"), name: field("event"), data }
    }

    /// Everything that still comes.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        let read = timeout(PATIENCE, self.0.read_to_string(&mut rest)).await;
        read.expect("it ends").expect("it can be read");
        rest
    }
}

async fn enqueue(daemon: &Daemon, body: &str) -> Value {
    let answer = post(daemon, "/api/v1/jobs", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["id"].clone()
}

/// A second queue and a second kind.
const BESIDE: &str = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n[[queue]]\nname = 'default'\n[[queue]]\nname = 'second'\n";
const SLEEP: &str = r#"{"kind": "sleep", "payload": {"seconds": 0, "secret": "x"}}"#;

#[test]
fn a_job_that_ends_is_heard_of_without_its_payload_and_a_listener_that_comes_back_misses_nothing() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let mut listener = Listener::at(&daemon, "", "").await;
        let id = enqueue(&daemon, SLEEP).await;
        let heard = listener.event().await;
        let data = json!({"id": id, "kind": "sleep", "queue": "default", "outcome": "completed", "attempt": 1});
        assert_eq!((&*heard.name, &heard.data), ("job.finished", &data));
        drop(listener);
        let missed = enqueue(&daemon, SLEEP).await;
        support::eventually("it has ended", async || {
            let job = get(&daemon, &format!("/api/v1/jobs/{missed}")).await;
            job.json()["state"] == "completed"
        })
        .await;
        let last = format!("Last-Event-ID: {}\r\n", heard.id);
        let mut back = Listener::at(&daemon, "", &last).await;
        let heard = back.event().await;
        assert_eq!((&*heard.name, &heard.data["id"]), ("job.finished", &missed));

        for stranger in ["0123456789abcdef-1", "nonsense", "-", "", "5f0c7a1e93d2b846-1é"] {
            let last = format!("Last-Event-ID: {stranger}\r\n");
            let (mut back, id) = Listener::greeted(&daemon, "", &last).await;
            assert_eq!(id, None, "{stranger}: who is cut off before the gap would pass over it");
            assert_eq!(back.event().await.name, "gap", "{stranger}");
        }
        daemon.stop().await;
    });
}

#[test]
fn a_listener_that_is_cut_off_before_anything_happened_misses_nothing_either() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let (listener, id) = Listener::greeted(&daemon, "", "").await;
        drop(listener);
        let missed = enqueue(&daemon, SLEEP).await;
        support::eventually("it has ended", async || {
            let job = get(&daemon, &format!("/api/v1/jobs/{missed}")).await;
            job.json()["state"] == "completed"
        })
        .await;
        let last = format!("Last-Event-ID: {}\r\n", id.expect("the greeting has an id"));
        let (mut back, same) = Listener::greeted(&daemon, "", &last).await;
        assert_eq!(format!("Last-Event-ID: {}\r\n", same.expect("an id")), last);
        assert_eq!(back.event().await.data["id"], missed);
        daemon.stop().await;
    });
}

#[test]
fn a_listener_hears_of_what_it_asked_for_alone() {
    support::run(async |db| {
        let mut daemon = daemon(&db.url(), BESIDE).await;
        let mut of_all = Listener::at(&daemon, "", "").await;
        let of_the_queue = Listener::at(&daemon, "?queue=second", "").await;
        let of_the_kind = Listener::at(&daemon, "?kind=noop", "").await;
        let of_both = Listener::at(&daemon, "?queue=second&kind=noop", "").await;
        let mut of_the_type = Listener::at(&daemon, "?type=daemon.reloaded", "").await;
        let mut ids = Vec::new();
        for (kind, queue) in
            [("sleep", "default"), ("sleep", "second"), ("noop", "default"), ("noop", "second")]
        {
            let job = json!({"kind": kind, "queue": queue, "payload": {"seconds": 0}});
            ids.push(enqueue(&daemon, &job.to_string()).await);
            // Only now the next one, so that the order is known in which they are told.
            assert_eq!(of_all.event().await.data["id"], *ids.last().expect("one"));
        }
        daemon.signal(Signal::SIGHUP);
        assert_eq!(of_the_type.event().await.name, "daemon.reloaded");
        daemon.signal(Signal::SIGTERM);
        for (listener, heard) in
            [(of_the_queue, vec![1, 3]), (of_the_kind, vec![2, 3]), (of_both, vec![3])]
        {
            let mut listener = listener;
            for index in heard {
                assert_eq!(listener.event().await.data["id"], ids[index]);
            }
            assert_eq!(listener.block().await, [""; 0], "nothing more until the end");
        }
        assert_eq!(daemon.exit(SLACK * 3).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_queue_that_is_paused_or_resumed_is_heard_of_by_its_name_and_by_who_asked_for_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "SELECT legwork.pause('second')").await;
        let daemon = daemon(&db.url(), BESIDE).await;
        daemon.logged("queue.paused").await;
        let mut of_all = Listener::at(&daemon, "", "").await;
        let mut of_the_queue = Listener::at(&daemon, "?queue=default", "").await;
        let mut of_the_type = Listener::at(&daemon, "?type=queue.resumed", "").await;
        let mut of_a_kind = Listener::at(&daemon, "?kind=noop", "").await;
        execute(&mut session, "SELECT legwork.pause('default')").await;
        execute(&mut session, "SELECT legwork.resume('second')").await;
        for (name, queue) in [("queue.paused", "default"), ("queue.resumed", "second")] {
            let heard = of_all.event().await;
            assert_eq!((&*heard.name, heard.data), (name, json!({ "queue": queue })));
        }
        let heard = of_the_queue.event().await;
        assert_eq!((&*heard.name, heard.data), ("queue.paused", json!({ "queue": "default" })));
        let heard = of_the_type.event().await;
        assert_eq!((&*heard.name, heard.data), ("queue.resumed", json!({ "queue": "second" })));
        // Of a kind is a job alone.
        let id = enqueue(&daemon, r#"{"kind": "noop", "queue": "second"}"#).await;
        assert_eq!(of_a_kind.event().await.data["id"], id);
        daemon.stop().await;
        end(session).await;
    });
}

/// Told by the notification: what the survey would find it can't, for it waits for a lock.
#[test]
fn pauses_drains_and_their_ends_are_heard_of_once_each_however_short_they_are() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), BESIDE).await;
        daemon.logged("listener.connected").await;
        let (mut session, mut holds) = (db.connect().await, db.connect().await);
        execute(&mut holds, "BEGIN; LOCK TABLE legwork.job IN ACCESS EXCLUSIVE MODE").await;
        let mut listener = Listener::at(&daemon, "?queue=second", "").await;
        for (call, told) in [
            ("pause('second')", &["queue.paused"][..]),
            ("resume('second')", &["queue.resumed"]),
            ("pause('second')", &["queue.paused"]),
            ("drain('second')", &["queue.draining"]),
            ("resume('second')", &["queue.resumed"]),
            ("drain('second')", &["queue.paused", "queue.draining"]),
            ("resume('second')", &["queue.resumed"]),
        ] {
            execute(&mut session, &format!("SELECT legwork.{call}")).await;
            for name in told {
                let heard = listener.event().await;
                assert_eq!(
                    (&*heard.name, heard.data),
                    (*name, json!({ "queue": "second" })),
                    "{call}"
                );
            }
        }
        assert_eq!(daemon.logged("queue.draining").await["job.queue"], "second");
        end(holds).await;
        daemon.stop().await;
        assert!(!listener.rest().await.contains("event: queue."), "nothing is told twice");
        end(session).await;
    });
}

/// The survey is the net, each 20 s: nobody listens, and the controller's own look is minutes away.
#[test]
fn a_pause_that_nobody_was_notified_of_is_heard_of_all_the_same() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "SELECT legwork.pause('default')").await;
        let kinds = [BESIDE.to_owned(), "[claim]\nnotify = false\n".to_owned()];
        let lease = (Duration::from_mins(3), Duration::from_mins(1));
        let url = db.url();
        let configuration = Configuration { lease, ..Configuration::of(&url, &kinds) };
        let daemon = Daemon::start(&configuration.text()).await;
        // Its first look is over, which would find the other pause as well.
        daemon.logged("queue.paused").await;
        let mut listener = Listener::at(&daemon, "?type=queue.paused", "").await;
        execute(&mut session, "SELECT legwork.pause('second')").await;
        assert_eq!(listener.event().await.data, json!({ "queue": "second" }));
        daemon.stop().await;
        end(session).await;
    });
}

/// No wait for a fact: a batch has to last for long enough that its operation can be ended before the next.
const SLOW: &str =
    "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_sleep(0.001); RETURN OLD; END $$";

#[test]
fn an_operation_is_heard_of_with_each_batch_and_at_its_end_whoever_ends_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let jobs = "INSERT INTO legwork.job (kind, queue) SELECT 'waits', 'mail' FROM generate_series(1, 1200)";
        execute(&mut session, jobs).await;
        let daemon = daemon(&db.url(), "").await;
        let mut listener = Listener::at(&daemon, "", "").await;
        let wanted = r#"{"action": "discard", "filter": {"queue": "mail"}}"#;
        let begun = post(&daemon, "/api/v1/jobs/bulk", wanted).await.json();
        let id = &begun["id"];
        for (name, state, changed) in [
            ("operation.progress", "running", 500),
            ("operation.progress", "running", 1000),
            ("operation.ended", "done", 1200),
        ] {
            let heard = listener.event().await;
            let data = json!({"id": id, "action": "discard", "state": state, "looked_at": changed, "changed": changed});
            assert_eq!((&*heard.name, heard.data), (name, data));
        }
        drop(listener);

        // One whose end comes from elsewhere, between two batches.
        execute(&mut session, jobs).await;
        let mut listener = Listener::at(&daemon, "?type=operation.ended", "").await;
        let mut progress = Listener::at(&daemon, "?type=operation.progress", "").await;
        let slows = "CREATE TRIGGER slow BEFORE DELETE ON legwork.job FOR EACH ROW EXECUTE FUNCTION public.slow()";
        execute(&mut session, &format!("{SLOW}; {slows}")).await;
        let id = post(&daemon, "/api/v1/jobs/bulk", wanted).await.json()["id"].clone();
        assert_eq!(progress.event().await.data["id"], id);
        execute(&mut session, &format!("SELECT legwork.cancel_bulk({id})")).await;
        let heard = listener.event().await;
        assert_eq!((&heard.data["id"], &heard.data["state"]), (&id, &json!("cancelled")));

        // And one that the database refuses to go on with.
        let refuses =
            "CREATE OR REPLACE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE 'not this one'; END $$";
        execute(&mut session, refuses).await;
        let id = post(&daemon, "/api/v1/jobs/bulk", wanted).await.json()["id"].clone();
        let heard = listener.event().await;
        assert_eq!((&heard.data["id"], &heard.data["state"]), (&id, &json!("failed")));

        // And one of two that take turns, while the other goes on.
        execute(&mut session, &format!("{SLOW}; {jobs}")).await;
        let one = post(&daemon, "/api/v1/jobs/bulk", wanted).await.json()["id"].clone();
        let other = post(&daemon, "/api/v1/jobs/bulk", wanted).await.json()["id"].clone();
        let mut begun = [&one, &other].map(|_| false);
        while begun != [true, true] {
            let id = progress.event().await.data["id"].clone();
            begun = [begun[0] || id == one, begun[1] || id == other];
        }
        execute(&mut session, &format!("SELECT legwork.cancel_bulk({one})")).await;
        let mut ends = [(); 2].map(|()| String::new());
        for end in &mut ends {
            let heard = listener.event().await.data;
            *end = format!("{} {}", heard["id"], heard["state"]);
        }
        ends.sort();
        assert_eq!(ends, [format!("{one} \"cancelled\""), format!("{other} \"done\"")]);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_daemon_without_its_database_is_heard_when_its_work_begins_and_when_its_leases_are_lost() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        proxy.blackhole();
        // The port is there before the database is.
        let kinds = [BESIDE.to_owned()];
        let daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        let mut listener = Listener::at(&daemon, "", "").await;
        proxy.heal();
        assert_eq!(listener.event().await.name, "daemon.ready");
        support::eventually("it is ready", async || daemon.get("/health/ready").await.0 == 200)
            .await;

        // It hears of an outage that costs the leases, and goes on listening behind it.
        proxy.blackhole();
        assert_eq!(listener.event().await.name, "daemon.lost");
        proxy.heal();
        assert_eq!(listener.event().await.name, "daemon.ready", "it serves again");
        let mut session = db.connect().await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('noop')").await;
        assert_eq!(listener.event().await.name, "job.finished");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn listeners_are_few_and_leave_the_port_to_others() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "").await;
        let mut all = Vec::new();
        for _ in 0..8 {
            all.push(Listener::at(&daemon, "", "").await);
        }
        let refused = get(&daemon, "/api/v1/events").await;
        assert_eq!((refused.status, refused.problem()), (429, "too-many-streams".to_owned()));
        assert_eq!(refused.header("retry-after"), Some("5"));
        for path in ["/health/live", "/metrics", "/api/v1/queues"] {
            assert_eq!(get(&daemon, path).await.status, 200, "{path}");
        }
        all.pop();
        support::eventually("there is a place again", async || {
            let again = get_head(&daemon).await;
            again.contains(" 200 OK")
        })
        .await;
        for wrong in ["type=job.started", "kind=a+b", "quue=x"] {
            assert_eq!(
                get(&daemon, &format!("/api/v1/events?{wrong}")).await.status,
                400,
                "{wrong}"
            );
        }
        daemon.stop().await;
    });
}

/// The first line of an answer that may have no end.
async fn get_head(daemon: &Daemon) -> String {
    let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
    let head = "GET /api/v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let mut line = String::new();
    let mut stream = BufReader::new(stream);
    let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
    read.expect("something comes").expect("it can be read");
    line
}

#[test]
fn a_stream_ends_with_the_daemon_after_the_last_events() {
    support::run(async |db| {
        let mut daemon = daemon(&db.url(), "").await;
        // In chunks, of which the last one says that nothing was cut off.
        let mut stream = TcpStream::connect(daemon.admin().await).await.expect("it listens");
        let head = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("retry: ") {
            line.clear();
            let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
            assert_ne!(read.expect("something comes").expect("it can be read"), 0);
        }
        daemon.signal(Signal::SIGTERM);
        let rest = Listener(stream).rest().await;
        assert!(rest.contains("event: daemon.draining\n"), "{rest}");
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "it was cut off: {rest:?}");
        assert_eq!(daemon.exit(SLACK * 3).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn a_reload_while_the_daemon_drains_cuts_nobody_off_whose_token_stays() {
    support::run(async |db| {
        let mut daemon = daemon(&db.url(), "").await;
        let long = enqueue(&daemon, r#"{"kind": "sleep", "payload": {"seconds": 600}}"#).await;
        support::eventually("it runs", async || {
            get(&daemon, &format!("/api/v1/jobs/{long}")).await.json()["state"] == "running"
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        daemon.logged("shutdown.phase").await;
        let mut listener = Listener::at(&daemon, "?type=job.finished", "").await;
        daemon.signal(Signal::SIGHUP);
        daemon.logged("config.reloaded").await;
        let cancelled = post(&daemon, &format!("/api/v1/jobs/{long}/cancel"), "{}").await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        assert_eq!(listener.event().await.data["id"], long, "it is heard on");
        daemon.exit(SLACK * 3).await;
    });
}

#[test]
fn a_stream_ends_when_the_tokens_are_others() {
    const OLD: &str = "a-token-of-32-bytes-to-look-at-it";
    const NEW: &str = "another-token-of-32-bytes-to-look";
    support::run(async |db| {
        let tokens = tempfile::tempdir().expect("a directory can be made");
        let file = tokens.path().join("viewer");
        let write = |token: &str| {
            fs::write(&file, token).expect("it can be written");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("the file is ours");
        };
        write(OLD);
        let text = Configuration::of(&db.url(), &[]).text();
        let key = format!("[admin]\nviewer_token_file = {file:?}\n");
        let daemon = Daemon::start(&text.replace("[admin]\n", &key)).await;
        daemon.logged("daemon.started").await;
        let bearer = format!("Authorization: Bearer {OLD}\r\n");
        let mut listener = Listener::at(&daemon, "", &bearer).await;
        daemon.signal(Signal::SIGHUP);
        assert_eq!(listener.event().await.name, "daemon.reloaded", "the same tokens end nothing");
        write(NEW);
        daemon.signal(Signal::SIGHUP);
        listener.rest().await;
        // Whoever comes with the new one is heard on.
        let bearer = format!("Authorization: Bearer {NEW}\r\n");
        let mut listener = Listener::at(&daemon, "", &bearer).await;
        daemon.signal(Signal::SIGHUP);
        assert_eq!(listener.event().await.name, "daemon.reloaded");
        daemon.stop().await;
    });
}
