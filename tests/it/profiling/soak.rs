//! Profile after profile of a daemon whose handlers do what an interrupt likes least: allocate, panic, unwind, and
//! start tasks and threads. No job may be lost by it, and what runs is seen.

#[path = "../../../src/profile/tests/falls.rs"]
mod falls;

use std::hint::black_box;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use legwork::{Context, HandlerError, Job, KindOptions, QueueOptions};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use self::falls::{falls, falls_and_is_caught};
use super::{TURN, ask};
use crate::library::builder::beside;
use crate::statements::{end, value};
use crate::support::{self, pooled, server::environment};

const KINDS: [&str; 3] = ["allocates", "panics", "starts"];
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
        for kind in KINDS {
            legwork::enqueue(session, &Job::new(kind)).await.expect("a row");
        }
    }
}

/// What became of how many.
const BECAME: &str =
    "SELECT string_agg(format('%s %s %s', kind, state, count), ', ' ORDER BY kind) FROM (
    SELECT kind, state, count(*) FROM legwork.jobs GROUP BY kind, state) AS counted";

#[test]
fn handlers_that_allocate_panic_and_start_others_are_profiled_and_no_job_is_lost() {
    support::run(async |db| {
        let open = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = open.local_addr().expect("it has an address");
        let daemon = pooled::builder(&db.url())
            .queue("default", QueueOptions::concurrency(8))
            .handler("allocates", allocates)
            .handler("panics", panics)
            .kind("panics", KindOptions::new().max_attempts(1))
            .handler("starts", starts)
            .build()
            .expect("a daemon");
        let mut session = db.connect().await;
        beside(daemon.with_admin_port(open), async {
            let ready = async || support::http::get(address, "/readyz").await.0 == 200;
            support::eventually("the daemon is up", ready).await;
            let (began, mut rounds, mut unseen) = (Instant::now(), 0, KINDS.to_vec());
            while began.elapsed() < soak() || !unseen.is_empty() {
                rounds += 1;
                assert!(
                    rounds < ROUNDS_MAX || began.elapsed() < soak(),
                    "nothing of {unseen:?} was seen"
                );
                // For each profile, so that other tests have theirs in between.
                let _turn = TURN.lock().await;
                let profile = ask(address, "profile?seconds=1&format=folded");
                let (taken, ()) = tokio::join!(profile, enqueue(&mut session));
                let taken = (taken.status, taken.text());
                assert_eq!(taken.0, 200, "{}", taken.1);
                unseen.retain(|kind| {
                    !taken.1.lines().any(|line| line.starts_with(&format!("{kind};")))
                });
                let all = rounds * JOBS;
                let wanted = format!(
                    "allocates completed {all}, panics discarded {all}, starts completed {all}"
                );
                support::eventually("every job ends as it should", async || {
                    value(&mut session, BECAME).await == wanted
                })
                .await;
            }
        })
        .await;
        end(session).await;
    });
}
