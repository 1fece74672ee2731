//! Finished jobs on their way to the statements that write them.

use crate::{
    jobs::{JOBS, kind, queue, settled},
    measure::measure,
    rooms::{Rooms, runtime, soon},
    seams::Written,
};
use divan::Bencher;
use legwork::{
    completer::{Batch, Settled, verdict_channel},
    config::{Kept, Retentions},
    job::{Outcome, Retention},
    telemetry::metrics::Metrics,
};

fn done() -> Outcome {
    Outcome::Complete { result: None }
}

/// One flush by statements, with history.
#[divan::bench]
fn sort(bencher: Bencher<'_, '_>) {
    batch(bencher, "completer::sort", Retentions::default());
}

#[divan::bench]
fn sort_without_history(bencher: Bencher<'_, '_>) {
    let none = Retention::None;
    let retentions = Retentions { completed: none, cancelled: none, discarded: none };
    batch(bencher, "completer::sort_without_history", retentions);
}

fn batch(bencher: Bencher<'_, '_>, path: &'static str, retentions: Retentions) {
    let metrics = Metrics::default().job(&queue(), &kind());
    let kept = Kept::from([(queue(), retentions)]);
    let verdicts = || settled(done, &metrics);
    measure(bencher, (path, JOBS), verdicts, |verdicts| Batch::sort(verdicts, &kept));
}

/// The same as the daemon does it: through the channel, gathered, sorted, written, counted.
#[divan::bench]
fn flush(bencher: Bencher<'_, '_>) {
    let (runtime, rooms, written) = (runtime(), Rooms::new(), Written::default());
    let (verdicts, inbox) = verdict_channel();
    runtime.block_on(async { rooms.completer(written.clone(), inbox) });
    let metrics = rooms.metrics.job(&queue(), &kind());
    let flush = |settled: Vec<Settled>| {
        runtime.block_on(async {
            for settled in settled {
                verdicts.settle(settled, ()).await;
            }
        });
        runtime.block_on(soon(written.reach(JOBS)));
    };
    measure(bencher, ("completer::flush", JOBS), || settled(done, &metrics), flush);
}
