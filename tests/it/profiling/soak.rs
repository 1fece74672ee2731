//! Profile after profile of a daemon whose handlers do what an interrupt likes least: allocate, panic with and without a
//! word, unwind, and start tasks, threads and programs; for half of the time with heap sampling, which walks stacks as well. No
//! job may be lost by it, what runs is seen, and seen down to where its job began.

#[path = "../../../src/profile/tests/falls.rs"]
mod falls;

use std::hint::black_box;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use legwork::config::Environment;
use legwork::daemon::Daemon;
use legwork::profile::heap;
use legwork::{Context, HandlerError, Job, KindOptions};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use tempfile::NamedTempFile;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use self::falls::{falls, falls_aloud, falls_aloud_and_is_caught, falls_and_is_caught};
use super::{TURN, ask};
use crate::allocator;
use crate::library::builder::beside;
use crate::statements::{end, value};
use crate::support::{self, pooled, server::environment};

/// Each with how its jobs end.
const KINDS: [(&str, &str); 5] = [
    ("allocates", "completed"),
    ("panics", "discarded"),
    ("runs", "completed"),
    ("shouts", "discarded"),
    ("starts", "completed"),
];
/// What a job of `runs` does: a program that starts others, one of which nobody waits for.
const PROGRAM: &str = "for _ in 1 2 3; do /bin/true; done; /bin/true & exit 0";
/// Of each kind, for each profile.
const JOBS: usize = 40;
/// After so many profiles each kind was seen in one, on whatever machine.
const ROUNDS_MAX: usize = 20;

async fn allocates(_: Value, _: Context) -> Result<(), HandlerError> {
    for size in 1..2000 {
        drop(black_box(vec![1_u8; size * 97]));
    }
    Ok(())
}

async fn panics(_: Value, _: Context) -> Result<(), HandlerError> {
    for _ in 0..200 {
        falls_and_is_caught();
    }
    falls();
    Ok(())
}

async fn shouts(_: Value, _: Context) -> Result<(), HandlerError> {
    for _ in 0..3 {
        falls_aloud_and_is_caught();
    }
    falls_aloud();
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "handlers do start tasks of their own")]
async fn starts(_: Value, _: Context) -> Result<(), HandlerError> {
    for _ in 0..100 {
        let thread = thread::spawn(|| drop(black_box(vec![1_u8; 1 << 16])));
        thread.join().expect("no panic");
        let task = tokio::spawn(async { drop(black_box(vec![1_u8; 1 << 16])) });
        task.await.expect("no panic");
    }
    Ok(())
}

/// How long it goes on: a minute in `.ci/run`, three in `make profiler-soak`.
fn soak() -> Duration {
    let seconds = environment("LEGWORK_PROFILER_SOAK").unwrap_or("2".to_owned());
    Duration::from_secs(seconds.parse().expect("seconds"))
}

async fn enqueue(session: &mut PgConnection) {
    for _ in 0..JOBS {
        for (kind, _) in KINDS {
            legwork::enqueue(session, &Job::new(kind)).await.expect("a row");
        }
    }
}

/// What became of how many.
const BECAME: &str =
    "SELECT string_agg(format('%s %s %s', kind, state, count), ', ' ORDER BY kind) FROM (
    SELECT kind, state, count(*) FROM legwork.jobs GROUP BY kind, state) AS counted";

/// A daemon of such handlers on this database.
fn daemon(url: &str) -> Daemon {
    let file = NamedTempFile::new().expect("a file");
    let text = format!(
        "[database]\nurl = '{url}'\n[[queue]]\nname = 'default'\nconcurrency = 8\n\
         [[kind]]\nname = 'runs'\nhandler = 'command'\ncommand = ['/bin/sh', '-c', '{PROGRAM}']\n\
         unsafe_shell = true\n"
    );
    std::fs::write(file.path(), pooled::file(&text)).expect("written");
    let once = || KindOptions::new().max_attempts(1);
    let daemon = Daemon::builder()
        .config_file(file.path())
        .environment(Environment::of([("", ""); 0]))
        .handler("allocates", allocates)
        .handler("panics", panics)
        .kind("panics", once())
        .handler("shouts", shouts)
        .kind("shouts", once())
        .handler("starts", starts);
    daemon.build().expect("a daemon")
}

/// Has this process sample what it allocates, until it is dropped.
struct Sampled(#[expect(dead_code, reason = "others wait for it")] MutexGuard<'static, ()>);

impl Sampled {
    async fn begin() -> Self {
        allocator::tell();
        let turn = crate::heap::TURN.lock().await;
        heap::activate().expect("it is armed");
        Self(turn)
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        heap::deactivate().expect("it is armed");
    }
}

/// By what a job's stack is known to be whole as far as it is the job's: the wrapper that labels it, or the loop of the thread that
/// starts its programs. What is outside of the wrapper, the runtime's and the daemon's, lies beyond the 64 KiB that a sample holds
/// where nothing was optimized.
const ROOTS: [&str; 2] = ["profile::label::Labelled", "sys::spawner::serve"];
/// Of the CPU time of stacks, how much has to be of such that reach it: nine tenths and more do. Those that don't were within the
/// handler of a signal, which there is when a program ends. How busy the machine is changes nothing in it.
const WHOLE_AT_LEAST: f64 = 0.8;
/// Seconds of CPU of which that can be said.
const LEAST_CPU: f64 = 0.3;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    kinds: [bool; KINDS.len()],
    /// Seconds of CPU of all jobs' stacks, and of those that are whole.
    all: f64,
    whole: f64,
}

impl Seen {
    /// Adds a profile, a line a stack.
    fn add(&mut self, folded: &str) {
        for line in folded.lines() {
            let of = KINDS.iter().position(|(kind, _)| line.starts_with(&format!("{kind};")));
            let Some(kind) = of else { continue };
            let (stack, nanoseconds) = line.rsplit_once(' ').expect("a value");
            let seconds = nanoseconds.parse::<f64>().expect("a number") / 1e9;
            self.kinds[kind] = true;
            self.all += seconds;
            let is_whole = ROOTS.iter().any(|root| stack.contains(root));
            self.whole += if is_whole { seconds } else { 0.0 };
        }
    }

    fn is_enough(&self) -> bool {
        self.kinds == [true; KINDS.len()] && self.all > LEAST_CPU
    }
}

#[test]
fn handlers_that_allocate_panic_and_start_others_are_profiled_and_no_job_is_lost() {
    support::run(async |db| {
        let open = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = open.local_addr().expect("it has an address");
        let daemon = daemon(&db.url());
        let mut session = db.connect().await;
        let rounds = async {
            let ready = async || support::http::get(address, "/readyz").await.0 == 200;
            support::eventually("the daemon is up", ready).await;
            let (began, mut rounds, mut seen) = (Instant::now(), 0, Seen::default());
            while began.elapsed() < soak() || rounds < 2 || !seen.is_enough() {
                rounds += 1;
                assert!(
                    rounds < ROUNDS_MAX || began.elapsed() < soak(),
                    "of {KINDS:?} were seen {:?}, {} s",
                    seen.kinds,
                    seen.all
                );
                // For each profile, so that other tests have theirs in between.
                let _turn = TURN.lock().await;
                let _sampled = if rounds % 2 == 0 { Some(Sampled::begin().await) } else { None };
                let profile = ask(address, "profile?seconds=1&format=folded");
                let (taken, ()) = tokio::join!(profile, enqueue(&mut session));
                assert_eq!(taken.status, 200, "{}", taken.text());
                seen.add(&taken.text());
                let all = rounds * JOBS;
                let wanted = KINDS.map(|(kind, end)| format!("{kind} {end} {all}")).join(", ");
                support::eventually("every job ends as it should", async || {
                    value(&mut session, BECAME).await == wanted
                })
                .await;
            }
            let share = seen.whole / seen.all;
            assert!(share > WHOLE_AT_LEAST, "{share} of {} s are whole", seen.all);
        };
        Box::pin(beside(daemon.with_admin_port(open), rounds)).await;
        end(session).await;
    });
}
