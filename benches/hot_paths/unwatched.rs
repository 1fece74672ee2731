//! What a poll costs while nobody takes a profile or a trace: that of a supervised task, and that of a future under a
//! label, each beside the same without.

use crate::{
    jobs::{kind, queue},
    measure::measure,
    rooms::{runtime, soon},
};
use divan::{Bencher, black_box};
use legwork::{
    profile::Label,
    supervise::{ExitPolicy, Supervisor},
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};
use tokio::{runtime::Runtime, sync::Notify};

/// In one run: what its beginning takes is nothing beside them.
const POLLS: u32 = 1000;

/// Polls of a task of the runtime, which wakes itself.
#[divan::bench]
fn task_bare(bencher: Bencher<'_, '_>) {
    #[expect(clippy::disallowed_methods, reason = "it is what a supervised one is compared with")]
    let start = |turns: Arc<Turns>| drop(tokio::spawn(turns.run()));
    of_task(bencher, "unwatched::task_bare", start);
}

/// The same, started by the supervisor: with its place and its last poll noted, and a look whether somebody traces.
#[divan::bench]
fn task_supervised(bencher: Bencher<'_, '_>) {
    let start = |turns: Arc<Turns>| {
        let run = move || Arc::clone(&turns).run();
        Supervisor::default().spawn("turns", ExitPolicy::Restart, run);
    };
    of_task(bencher, "unwatched::task_supervised", start);
}

fn of_task(bencher: Bencher<'_, '_>, path: &'static str, start: impl FnOnce(Arc<Turns>)) {
    let (runtime, turns) = (runtime(), Arc::new(Turns::default()));
    runtime.block_on(async { start(Arc::clone(&turns)) });
    measure(bencher, (path, POLLS), || (), |()| turns.pass(&runtime));
}

/// Polls that a task is still to have.
#[derive(Default)]
struct Turns {
    left: AtomicU32,
    begin: Notify,
    done: Notify,
}

impl Turns {
    async fn run(self: Arc<Self>) {
        loop {
            self.begin.notified().await;
            poll_fn(|context| self.poll(context)).await;
            self.done.notify_one();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits until it has had them all.
    fn pass(&self, runtime: &Runtime) {
        self.left.store(POLLS, Relaxed);
        self.begin.notify_one();
        runtime.block_on(soon(self.done.notified()));
    }
}

/// Polls of a future that is never ready.
#[divan::bench]
fn future_bare(bencher: Bencher<'_, '_>) {
    of_future(bencher, "unwatched::future_bare", pin!(never()));
}

/// The same as a job's, by kind and queue.
#[divan::bench]
fn future_labelled(bencher: Bencher<'_, '_>) {
    let work = Label::of(&kind(), &queue()).over(never());
    of_future(bencher, "unwatched::future_labelled", pin!(work));
}

/// As little as the compiler can't leave out.
async fn never() {
    poll_fn(|context| -> Poll<()> {
        black_box(context.waker());
        Poll::Pending
    })
    .await;
}

fn of_future(
    bencher: Bencher<'_, '_>,
    path: &'static str,
    mut work: Pin<&mut impl Future<Output = ()>>,
) {
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = || assert!(work.as_mut().poll(&mut context).is_pending(), "it never ends");
    measure(bencher, (path, POLLS), || (), |()| (0..POLLS).for_each(|_| poll()));
}
