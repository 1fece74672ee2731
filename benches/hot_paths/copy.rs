//! Rows on their way into COPY.

use crate::{
    jobs::{JOBS, failure, kind, queue, settled},
    measure::measure,
};
use divan::{Bencher, black_box};
use legwork::{
    completer::Batch,
    config::Kept,
    postgres::{
        enqueue::{NewJob, encode_row},
        failures_as_text,
    },
    telemetry::metrics::Metrics,
};
use std::time::Duration;
use time::macros::datetime;

fn bare() -> NewJob {
    let payload = Some(r#"{"seq":123456,"path":"a\\b"}"#.into());
    NewJob { payload, ..NewJob::new(kind()) }
}

fn rich() -> NewJob {
    NewJob {
        queue: Some(queue()),
        run_at: Some(datetime!(2026-03-01 01:02:03.5 +02:00)),
        priority: Some(-1),
        max_attempts: Some(5),
        unique_key: Some("order-42".into()),
        timeout: Some(Duration::from_secs(30)),
        expires_at: Some(datetime!(2026-03-02 00:00 UTC)),
        tags: vec!["mail".into(), "eu".into()],
        metadata: Some(r#"{"user_id":"42"}"#.into()),
        ..bare()
    }
}

#[divan::bench]
fn bare_job(bencher: Bencher<'_, '_>) {
    encode(bencher, "copy::bare_job", &bare());
}

#[divan::bench]
fn rich_job(bencher: Bencher<'_, '_>) {
    encode(bencher, "copy::rich_job", &rich());
}

fn encode(bencher: Bencher<'_, '_>, path: &'static str, job: &NewJob) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    measure(
        bencher,
        (path, 1),
        || (),
        |()| {
            buffer.clear();
            encode_row(black_box(job), &mut buffer);
        },
    );
}

/// The failures of one flush.
#[divan::bench]
fn failed_attempts(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::default().job(&queue(), &kind());
    let Batch { failures, .. } = Batch::sort(settled(failure, &metrics), &Kept::new());
    let encode = |()| failures_as_text(black_box(&failures), 9_800);
    measure(bencher, ("copy::failed_attempts", JOBS), || (), encode);
}
