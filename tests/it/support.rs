//! How an integration test is written.
//!
//! ```ignore
//! #[test]
//! fn a_job_that_was_committed_is_seen() {
//!     support::run(async |db| {
//!         let pool = db.pool().await;
//!         // …
//!         support::eventually("the job is finished", async || finished(&pool).await).await;
//!         pool.close().await;
//!     });
//! }
//! ```
//!
//! [`run`] is the way: it gives the test a database of its own, with the schema, and a runtime of
//! its own, and afterwards holds it to what it took: no task of the runtime and no session on the
//! database may be left ([`leak`]). Threads, descriptors and children belong to the whole process,
//! in which other tests run at the same time; they are counted where they can be counted honestly,
//! on a [`Daemon`] that runs as a process of its own.
//!
//! Tests wait for facts with [`eventually`], never by sleeping. A helper here makes one thing and
//! its name says so; none builds a world.

pub(crate) mod authority;
pub(crate) mod bouncer;
pub(crate) mod collector;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod database;
pub(crate) mod http;
pub(crate) mod judge;
pub(crate) mod leak;
pub(crate) mod pooled;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use bouncer::{Bouncer, Mode};
pub(crate) use daemon::Daemon;
pub(crate) use database::{TestDb, who_waits_for};
pub(crate) use http::Answer;
pub(crate) use proxy::Proxy;

/// How long a fact may take to come true. Generous: it is only ever waited out by a test that
/// fails, on whatever machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a fact is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs a test with a database and a runtime of its own and checks that it leaves nothing.
pub(crate) fn run(test: impl AsyncFnOnce(TestDb)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let db = runtime.block_on(TestDb::create());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(test(db.clone()));
        runtime.block_on(leak::check(&db));
    }));
    runtime.block_on(db.drop_database());
    runtime.shutdown_timeout(PATIENCE);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Waits until a fact is true. Fails, naming the fact, when that takes longer than [`PATIENCE`].
pub(crate) async fn eventually(what: &str, fact: impl AsyncFnMut() -> bool) {
    assert!(holds_within(PATIENCE, fact).await, "waited {PATIENCE:?} in vain until {what}");
}

/// Whether a fact becomes true within this time.
pub(crate) async fn holds_within(limit: Duration, mut fact: impl AsyncFnMut() -> bool) -> bool {
    let began = Instant::now();
    while !fact().await {
        if began.elapsed() > limit {
            return false;
        }
        // Between two looks at the fact; facts of other processes send no signal.
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
