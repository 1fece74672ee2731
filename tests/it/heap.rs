//! Heap profiles of a running daemon, switched on and asked for over its port, and of this very process, whose allocator
//! is the daemon's.

use std::fs;
use std::hint::black_box;
use std::net::SocketAddr;

use legwork::profile::heap::{self, HeapError, View};
use nix::sys::signal::Signal;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::allocator;
use crate::profiling::{ask, configuration, daemon, second};
use crate::support::judge::go_pprof;
use crate::support::{self, Answer, Daemon, TestDb};

/// Whether this process samples what it allocates: whoever switches it on has the turn until it is off again.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

async fn post(address: SocketAddr, path: &str) -> Answer {
    let head = format!(
        "POST /debug/pprof/{path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"
    );
    support::http::ask(address, &head).await
}

async fn activated(db: &TestDb) -> (Daemon, SocketAddr) {
    let (daemon, address) = daemon(db).await;
    let answer = post(address, "heap/activate").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (daemon, address)
}

/// Has the daemon read megabytes of jobs, by functions whose names are known. The last one is broken, so that none is
/// enqueued.
async fn works(address: SocketAddr) {
    let job = format!("{{\"kind\": \"idle\", \"payload\": \"{}\"}}\n", "x".repeat(2000));
    let jobs = job.repeat(3000) + "{";
    let head = format!(
        "POST /api/v1/jobs:batch HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        jobs.len()
    );
    let refused = support::http::ask(address, &(head + &jobs)).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
}
const WORKER: &str = "admin::api::batch";

/// Has the daemon look up the names of a CPU profile: it reads the symbols of a whole program.
async fn looks_up(address: SocketAddr) {
    support::eventually("a profile has stacks", async || {
        let busy = async {
            loop {
                support::http::get(address, "/openapi.json").await;
            }
        };
        tokio::select! {
            profile = ask(address, "profile?seconds=1&format=folded") => !profile.text().is_empty(),
            () = busy => unreachable!("it goes on for ever"),
        }
    })
    .await;
}

#[test]
fn what_a_profile_takes_itself_to_look_up_its_names_is_in_none() {
    support::run(async |db| {
        let (daemon, address) = activated(&db).await;
        looks_up(address).await;
        works(address).await;
        let allocated = ask(address, "allocs?format=folded").await.text();
        assert!(allocated.contains(WORKER), "{allocated}");
        for own in
            ["profile::symbols", "profile::cpu::record", "profile::modules", "profile::unwind"]
        {
            assert!(!allocated.contains(own), "{own} in {allocated}");
        }
        daemon.stop().await;
    });
}

#[test]
fn the_memory_in_which_names_were_looked_up_is_given_back_with_the_profile() {
    support::run(async |db| {
        let (daemon, address) = activated(&db).await;
        works(address).await;
        let resident = async || daemon.metric("legwork_allocator_resident_bytes", &[]).await;
        let before = resident().await;
        let allocated = ask(address, "allocs?format=folded").await.text();
        assert!(allocated.contains(WORKER), "{allocated}");
        let grown = resident().await - before;
        // The tables have tens of these; what is kept of them, at most four.
        assert!(grown < f64::from(12 << 20), "{grown} bytes");
        daemon.stop().await;
    });
}

#[test]
fn where_nothing_is_sampled_the_command_that_changes_that_is_told_and_works() {
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        for path in ["heap", "allocs", "heap?seconds=1", "heap?debug=1"] {
            let request = format!("GET /debug/pprof/{path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
            let refused = support::http::ask(address, &request).await;
            assert_eq!((refused.status, refused.header("x-go-pprof")), (412, Some("1")), "{path}");
            for command in [
                format!("\n    legwork profile heap --activate --url http://{address}\n"),
                format!("\n    curl -X POST http://{address}/debug/pprof/heap/activate\n"),
            ] {
                assert!(refused.text().contains(&command), "{}", refused.text());
            }
        }
        assert_eq!(post(address, "heap/activate").await.status, 200);
        let switched = daemon.logged("heap.switched").await;
        let by = (&switched["actor"], &switched["heap.active"]);
        assert_eq!(by, (&json!("admin, on the daemon's machine"), &json!(true)), "{switched}");
        assert!(switched["request_id"].is_string(), "{switched}");
        works(address).await;
        let kept = ask(address, "heap?debug=1").await;
        assert_eq!(kept.status, 200);
        assert!(kept.text().starts_with("heap profile: "), "{}", kept.text());
        let rate = "\n# objects: bytes that are kept [objects: bytes that were allocated], estimated from a sample each 524288 bytes\n";
        assert!(kept.text().contains(rate), "{}", kept.text());
        assert_eq!(post(address, "heap/deactivate").await.status, 200);
        support::eventually("that is said as well", async || daemon.count("heap.switched") == 2)
            .await;
        let lines = daemon.events();
        let last = lines.iter().rfind(|line| line["event"] == "heap.switched").expect("a line");
        assert_eq!(last["heap.active"], false);
        assert_eq!(ask(address, "heap").await.status, 412);
        // What was sampled before is forgotten.
        assert_eq!(post(address, "heap/activate").await.status, 200);
        let allocated = ask(address, "allocs?format=folded").await.text();
        assert!(!allocated.contains(WORKER), "{allocated}");
        daemon.stop().await;
    });
}

#[test]
fn go_reads_heap_and_allocs_as_typed_with_their_mapping_and_build_id() {
    support::run(async |db| {
        let (daemon, address) = activated(&db).await;
        works(address).await;
        let at = |path: &str| format!("http://{address}/debug/pprof/{path}");
        let Some(kept) = go_pprof(&["-top", &at("heap")]).await else { return };
        for part in ["Type: inuse_space", "File: legwork", "Build ID: ", "flat%"] {
            assert!(kept.contains(part), "{part} in {kept}");
        }
        let (heap, allocs, text) = (at("heap"), at("allocs"), at("heap?debug=1"));
        for arguments in [
            vec!["-top", "-cum", "-sample_index=alloc_space", &heap],
            vec!["-top", "-cum", &allocs],
            // It has no names: these are asked for, address by address.
            vec!["-top", "-cum", "-sample_index=alloc_space", &text],
        ] {
            let top = go_pprof(&arguments).await.expect("Go is here");
            assert!(
                top.contains("Type: alloc_space") && top.contains(WORKER),
                "{arguments:?} {top}"
            );
            assert!(
                !top.contains("_rjem_") && !top.contains("__rust_alloc"),
                "{arguments:?} {top}"
            );
        }
        let added = go_pprof(&["-top", &at("heap?seconds=1")]).await.expect("Go is here");
        assert!(added.contains("Type: inuse_space") && added.contains("Duration: "), "{added}");
        daemon.stop().await;
    });
}

#[test]
fn over_some_time_what_was_allocated_in_it_is_shown_and_nothing_else() {
    support::run(async |db| {
        let (daemon, address) = activated(&db).await;
        works(address).await;
        assert!(ask(address, "allocs?format=folded").await.text().contains(WORKER));
        let quiet = ask(address, "allocs?seconds=1&format=folded").await.text();
        assert!(!quiet.contains(WORKER), "{quiet}");
        let over = ask(address, "allocs?seconds=8&format=folded");
        let (busy, ()) = tokio::join!(over, works(address));
        assert!(busy.text().contains(WORKER), "{}", busy.text());
        daemon.stop().await;
    });
}

#[test]
fn a_heap_profile_comes_in_each_format_one_at_a_time() {
    support::run(async |db| {
        let (daemon, address) = activated(&db).await;
        works(address).await;
        let whole = ask(address, "heap").await;
        assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
        assert_eq!(whole.header("content-disposition"), Some("attachment; filename=\"heap\""));
        assert_eq!(whole.body[..2], [0x1f, 0x8b], "it is gzipped");
        let picture = ask(address, "allocs?format=svg").await;
        assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
        assert!(picture.text().contains(WORKER) && picture.text().contains("bytes"));
        let scope: serde_json::Value =
            serde_json::from_str(&ask(address, "allocs?format=speedscope").await.text())
                .expect("JSON");
        assert_eq!(scope["profiles"][0]["unit"], "bytes");

        let long = async || ask(address, "heap?seconds=120").await;
        let refused = second(long, async || ask(address, "heap").await).await;
        assert_eq!(refused.status, 409);
        assert_eq!(refused.header("x-go-pprof"), Some("1"));
        assert!(refused.text().contains("a heap profile"), "{}", refused.text());
        support::eventually("it ends with its client", async || {
            ask(address, "heap").await.status == 200
        })
        .await;
        for (path, said) in [
            ("heap?seconds=0", "1 to 120"),
            ("heap?debug=3", "0, 1 or 2"),
            ("heap?debug=1&seconds=1", "doesn't go with"),
            ("allocs?second=1", "did you mean \"seconds\""),
        ] {
            let answer = ask(address, path).await;
            assert_eq!(answer.status, 400, "{path}");
            assert!(answer.text().contains(said), "{path}: {}", answer.text());
        }
        daemon.stop().await;
    });
}

/// Puts this behind the daemon's file and has it read.
async fn reload(daemon: &Daemon, text: &str) {
    let text = support::pooled::file(text);
    fs::write(daemon.directory().join("legwork.toml"), text).expect("a file can be written");
    let from = daemon.lines();
    daemon.signal(Signal::SIGHUP);
    daemon.logged_since(from, "config.reloaded").await;
}

#[test]
fn the_file_says_whether_it_may_be_switched_on_and_a_reload_is_enough() {
    support::run(async |db| {
        let with = |heap: &str| format!("{}[profiling]\nheap = \"{heap}\"\n", configuration(&db));
        let daemon = Daemon::start(&with("on")).await;
        let address = daemon.admin().await;
        daemon.logged("daemon.started").await;
        assert_eq!(ask(address, "heap").await.status, 200);
        reload(&daemon, &with("off")).await;
        for refused in [ask(address, "heap").await, post(address, "heap/activate").await] {
            assert_eq!(refused.status, 412);
            assert!(refused.text().contains("profiling.heap is \"off\""), "{}", refused.text());
        }
        reload(&daemon, &with("armed")).await;
        assert_eq!(ask(address, "heap").await.status, 412);
        assert_eq!(post(address, "heap/activate").await.status, 200);
        assert_eq!(ask(address, "heap").await.status, 200);
        // What somebody switched on stays so, whatever else the file says anew.
        let quieter = with("armed").replace("[log]\n", "[log]\nfilter = \"warn,legwork=info\"\n");
        reload(&daemon, &quieter).await;
        assert_eq!(ask(address, "heap").await.status, 200);
        daemon.stop().await;
    });
}

/// Rounds of switching, and as many parts of the jobs.
const ROUNDS: i64 = 10;

/// Switches it on, takes a profile and switches it off, until all jobs that come meanwhile are done.
async fn switched_until_done(address: SocketAddr, pool: &PgPool, jobs: i64) {
    let began = Instant::now();
    for round in 1.. {
        assert_eq!(post(address, "heap/activate").await.status, 200);
        let profile = ask(address, "heap?debug=1").await;
        assert_eq!(profile.status, 200);
        assert!(profile.text().starts_with("heap profile: "), "{}", profile.text());
        assert_eq!(post(address, "heap/deactivate").await.status, 200);
        assert_eq!(ask(address, "heap?debug=1").await.status, 412, "it is off");
        let done = "SELECT count(*) FROM legwork.finished WHERE outcome = 'completed'";
        let done = sqlx::query_scalar::<_, i64>(done).fetch_one(pool).await.expect("a count");
        if done >= jobs && round >= ROUNDS {
            return;
        }
        assert!(began.elapsed() < support::PATIENCE, "{done} are done after {round} rounds");
    }
}

#[test]
fn switching_it_on_and_off_while_jobs_run_loses_none_and_runs_none_twice() {
    const EACH: i64 = 300;
    support::run(async |db| {
        let (daemon, address) = daemon(&db).await;
        let pool = db.pool().await;
        // While it is switched: so all of them run meanwhile.
        let enqueue = async {
            for _ in 0..ROUNDS {
                let insert =
                    "INSERT INTO legwork.job (kind) SELECT 'idle' FROM generate_series(1, $1)";
                sqlx::query(insert).bind(EACH).execute(&pool).await.expect("rows");
            }
        };
        let jobs = ROUNDS * EACH;
        tokio::join!(enqueue, switched_until_done(address, &pool, jobs));
        let rest = "SELECT (SELECT count(*) FROM legwork.job) + (SELECT count(*) FROM legwork.failed_attempt)
            + (SELECT count(*) FROM legwork.finished WHERE attempt <> 1 OR rescues + snoozes > 0)";
        let rest = sqlx::query_scalar::<_, i64>(rest).fetch_one(&pool).await.expect("a count");
        assert_eq!(rest, 0, "each ran once, at its first attempt");
        let completed = ["kind=\"idle\"", "outcome=\"completed\""];
        support::eventually("they are counted", async || {
            let counted = daemon.metric("legwork_jobs_finished_total", &completed).await;
            counted.to_string() == jobs.to_string()
        })
        .await;
        let finished = daemon.metric("legwork_jobs_finished_total", &["kind=\"idle\""]).await;
        assert_eq!(finished.to_string(), jobs.to_string(), "and none ended otherwise");
        daemon.stop().await;
    });
}

#[test]
fn the_allocators_figures_are_metrics() {
    support::run(async |db| {
        let (daemon, _) = daemon(&db).await;
        let mut figures = Vec::new();
        for name in ["allocated", "active", "resident", "mapped"] {
            figures.push(daemon.metric(&format!("legwork_allocator_{name}_bytes"), &[]).await);
        }
        assert!(figures[0] > 100_000.0 && figures.is_sorted(), "{figures:?}");
        assert!(daemon.metric("legwork_allocator_retained_bytes", &[]).await >= 0.0);
        daemon.stop().await;
    });
}

const KEPT: usize = 64 << 20;

#[inline(never)]
fn keeps_much() -> Vec<Vec<u8>> {
    const PIECE: usize = 64 << 10;
    (0..KEPT / PIECE).map(|_| black_box(vec![1; PIECE])).collect()
}

/// Bytes of the function in a profile of this process.
async fn of_the_function(view: View) -> f64 {
    let folded = heap::take(view, None).await.expect("a profile").folded();
    let lines = folded.lines().filter(|line| line.contains("heap::keeps_much"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[test]
fn a_function_that_keeps_memory_is_seen_by_its_name_until_it_is_freed() {
    allocator::tell();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let _turn = TURN.lock().await;
        let inactive = heap::take(View::Kept, None).await.expect_err("nothing is sampled");
        assert!(matches!(inactive, HeapError::Inactive), "{inactive}");
        heap::activate().expect("it is armed");
        let kept = keeps_much();
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let part = |bytes: f64| bytes / KEPT as f64;
        // A thousand pieces, each of which is sampled with the probability of 0.12.
        let share = part(of_the_function(View::Kept).await);
        assert!((0.5..1.5).contains(&share), "{share} of what is kept");
        drop(kept);
        let left = part(of_the_function(View::Kept).await);
        assert!(left < 0.05, "{left} of it after it was freed");
        let ever = part(of_the_function(View::Allocated).await);
        assert!((0.5..1.5).contains(&ever), "{ever} of what was allocated");
        heap::deactivate().expect("it is armed");
    });
}
