//! Profiles of a running daemon, asked for over its port and read by whoever reads them: `go tool pprof` where it is
//! at hand.

mod connections;
mod handlers;
// Of the kernel's own list, and with the allocator of the daemon.
#[cfg(target_os = "linux")]
mod quiet;
#[cfg(target_os = "linux")]
mod soak;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use legwork::config::DatabaseUrl;
use legwork::{Context, HandlerError, Job, QueueOptions};
use nix::sys::signal::Signal;
use rstest::rstest;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::support::judge::go_pprof;
use crate::support::{self, Answer, Daemon, TestDb, pooled};

/// This process has one sampler.
static TURN: Mutex<()> = Mutex::const_new(());

/// A kind that does nothing, and the port.
pub(crate) fn configuration(db: &TestDb) -> String {
    format!(
        "[database]\nurl = \"{}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
         [[kind]]\nname = \"idle\"\nhandler = \"noop\"\n",
        db.url()
    )
}

pub(crate) async fn daemon(db: &TestDb) -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&configuration(db)).await;
    let address = daemon.admin().await;
    (daemon, address)
}

pub(crate) async fn ask(address: SocketAddr, path: &str) -> Answer {
    let question = format!("GET /debug/pprof/{path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    support::http::ask(address, &question).await
}

/// What a second one is told while a first is under way, which leaves once that was told.
pub(crate) async fn second(
    first: impl AsyncFn() -> Answer,
    second: impl AsyncFn() -> Answer,
) -> Answer {
    let told = async {
        let mut last = None;
        support::eventually("the second is refused", async || {
            last.insert(second().await).status == 409
        })
        .await;
        last.expect("an answer")
    };
    let long = async {
        loop {
            // One of the others' may have come before it.
            assert_eq!(first().await.status, 409, "it takes a minute and more");
        }
    };
    tokio::select! {
        () = long => unreachable!("it goes on for ever"),
        told = told => told,
    }
}

/// Whoever waits for what takes a while is told that the daemon ends, in the form that is read there.
#[rstest]
#[case::a_profile("/debug/pprof/profile", true)]
#[case::a_trace_as_go_has_it("/debug/pprof/trace", true)]
#[case::a_trace("/debug/trace", false)]
#[case::a_bundle("/debug/bundle", false)]
fn what_the_end_of_the_daemon_cuts_short_is_told_so(#[case] path: &str, #[case] is_of_go: bool) {
    support::run(async |db| {
        let (mut daemon, address) = daemon(&db).await;
        let question = format!("GET {path}?seconds=60 HTTP/1.0\r\nHost: {address}\r\n\r\n");
        let route = format!("path=\"{path}\"");
        let ends = async {
            support::eventually("it is under way", async || {
                daemon.metric("legwork_http_requests_in_flight", &[&route]).await > 0.0
            })
            .await;
            daemon.signal(Signal::SIGTERM);
        };
        let (answer, ()) = tokio::join!(support::http::ask(address, &question), ends);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
        assert_eq!(answer.header("x-go-pprof"), is_of_go.then_some("1"));
        let told = if is_of_go { "the daemon ends" } else { "urn:legwork:problem:daemon-ends" };
        assert!(answer.text().contains(told), "{}", answer.text());
        assert_eq!(daemon.exit(support::PATIENCE).await.code(), Some(0), "{}", daemon.printed());
    });
}

#[test]
fn go_reads_a_profile_as_typed_with_its_mapping_and_build_id() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let url = format!("http://{address}/debug/pprof/profile?seconds=5");
        let Some(top) = go_pprof(&["-top", &url]).await else { return };
        for part in ["Type: cpu", "Duration: ", "File: legwork", "Build ID: ", "flat%"] {
            assert!(top.contains(part), "{part} in {top}");
        }
        assert!(!top.contains("filename not available"), "{top}");
        daemon.stop().await;
    });
}

#[test]
fn a_profile_comes_in_each_format_and_says_what_it_is() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let plain = ask(address, "profile?seconds=1").await;
        assert_eq!(
            (plain.status, plain.header("content-type")),
            (200, Some("application/octet-stream"))
        );
        assert_eq!(plain.header("content-disposition"), Some("attachment; filename=\"profile\""));
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(plain.body[..2], [0x1f, 0x8b], "it is gzipped");
        let svg = ask(address, "profile?seconds=1&format=svg").await;
        assert_eq!(svg.header("content-type"), Some("image/svg+xml"));
        assert!(svg.text().contains("</svg>"), "{}", svg.text());
        let folded = ask(address, "profile?seconds=1&hz=100&format=folded").await.text();
        let is_folded = |line: &str| {
            line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<u64>().is_ok())
        };
        assert!(folded.lines().all(is_folded), "{folded}");
        let scope = ask(address, "profile?seconds=1&format=speedscope").await.text();
        let scope: Value = serde_json::from_str(&scope).expect("JSON");
        assert!(scope["shared"]["frames"].is_array(), "{scope}");
        daemon.stop().await;
    });
}

#[test]
fn one_profile_at_a_time_and_none_for_who_has_left() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let busy = async || ask(address, "profile?seconds=1").await;
        let refused = second(async || ask(address, "profile?seconds=120").await, busy).await;
        assert_eq!(refused.status, 409);
        assert_eq!(refused.header("x-go-pprof"), Some("1"));
        assert!(refused.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
        assert!(refused.text().contains("at the moment"), "{}", refused.text());
        // The first has left with the end of the choice above.
        support::eventually("the profile ends with its client", async || {
            busy().await.status == 200
        })
        .await;
        daemon.stop().await;
    });
}

#[test]
fn a_question_that_makes_no_sense_is_told_what_would() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let wrong = [
            ("profile?seconds=0", "1 to 120"),
            ("profile?seconds=121", "1 to 120"),
            ("profile?seconds=1000000000", "1 to 120"),
            ("profile?seconds=soon", "1 to 120"),
            ("profile?seconds=1&hz=1000", "1 to 100"),
            ("profile?seconds=1&hz=101", "1 to 100"),
            ("profile?seconds=1&format=gif", "speedscope"),
            ("profile?second=1", "did you mean \"seconds\""),
        ];
        for (path, said) in wrong {
            let answer = ask(address, path).await;
            assert_eq!((answer.status, answer.header("x-go-pprof")), (400, Some("1")), "{path}");
            assert!(answer.text().contains(said), "{path}: {}", answer.text());
        }
        daemon.stop().await;
    });
}

#[test]
fn the_program_its_symbols_and_the_list_of_profiles_are_told() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let line = ask(address, "cmdline").await.text();
        let words: Vec<&str> = line.split('\0').collect();
        assert!(words[0].ends_with("legwork") && words.last() == Some(&"run"), "{words:?}");
        assert_eq!(ask(address, "symbol").await.text(), "num_symbols: 1\n");
        let question =
            "POST /debug/pprof/symbol HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n0x1";
        let answer = support::http::ask(address, question).await;
        assert_eq!(answer.text(), "num_symbols: 1\n0x1 0x1\n");
        let page = ask(address, "").await;
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        let command = format!("go tool pprof -top http://{address}/debug/pprof/heap");
        assert!(page.text().contains(&command), "{}", page.text());
        let crafted = "GET /debug/pprof/ HTTP/1.0\r\nHost: localhost:1<b>\r\n\r\n";
        assert!(!support::http::ask(address, crafted).await.text().contains("1<b>"));
        daemon.stop().await;
    });
}

#[test]
fn an_address_among_the_arguments_is_told_without_its_password() {
    support::run(async |db| {
        // A server in a container has one already.
        let url = db.url().replace("&user=", "&password=s3cr3t-of-the-address&user=");
        let arguments = ["run", "--database-url", &url];
        let daemon = Daemon::start_with(&configuration(&db), &arguments).await;
        let line = ask(daemon.admin().await, "cmdline").await.text();
        let told = line.split('\0').next_back().expect("a word");
        assert_eq!(told, DatabaseUrl::new(&url).redacted());
        assert_ne!(told, url);
        daemon.stop().await;
    });
}

#[inline(never)]
fn burn(rounds: u64) -> u64 {
    (0..rounds * 20_000).fold(0, |sum, number| black_box(sum ^ number))
}

async fn heavy(_: Value, _: Context) -> Result<(), HandlerError> {
    burn(black_box(100));
    Ok(())
}

async fn light(_: Value, _: Context) -> Result<(), HandlerError> {
    burn(black_box(25));
    Ok(())
}

#[test]
fn cpu_time_is_told_apart_by_kind_and_queue() {
    support::run(async |db| {
        let _turn = TURN.lock().await;
        let daemon = pooled::builder(&db.url())
            .queue("work", QueueOptions::concurrency(1))
            .handler("heavy", heavy)
            .handler("light", light)
            .build()
            .expect("a daemon");
        let mut session = db.connect().await;
        for _ in 0..60 {
            for kind in ["heavy", "light"] {
                let job = Job::new(kind).queue("work");
                legwork::enqueue(&mut session, &job).await.expect("a row");
            }
        }
        // The profile's time is CPU time of this process, in which other tests run as well; labels tell.
        let profile = legwork::profile::cpu::take(Duration::from_secs(3), 99);
        let (profile, ended) = tokio::join!(profile, daemon.once().run());
        ended.expect("an end");
        let profile = profile.expect("a profile");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), profile.pprof().expect("a file")).expect("written");
        let path = file.path().to_str().expect("a path");
        if let Some(top) = go_pprof(&["-top", "-tagfocus=kind=heavy", path]).await {
            assert!(top.contains("profiling::burn") && !top.contains("profiling::light"), "{top}");
        }
        if let Some(tags) = go_pprof(&["-tags", path]).await {
            assert!(tags.contains("heavy") && tags.contains("work"), "{tags}");
        }
        let of = |kind: &str| -> u64 {
            let folded = profile.folded();
            let lines = folded.lines().filter(|line| line.starts_with(&format!("{kind};")));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let (heavy, light) = (of("heavy"), of("light"));
        assert!(light > 0 && (2 * light..10 * light).contains(&heavy), "{heavy} and {light}");
    });
}

#[test]
fn of_a_profile_of_gos_that_there_is_not_it_is_said_what_to_look_at_instead() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        for (name, instead) in
            [("mutex", "/debug/trace"), ("block", "/debug/trace"), ("threadcreate", "/debug/tasks")]
        {
            let answer = ask(address, &format!("{name}?seconds=5")).await;
            assert_eq!((answer.status, answer.header("x-go-pprof")), (404, Some("1")), "{name}");
            assert!(answer.text().contains(instead), "{name}: {}", answer.text());
        }
        daemon.stop().await;
    });
}
