//! What a rate limit says to one start.

use crate::measure::measure;
use divan::Bencher;
use legwork::{dispatcher::Limiter, telemetry::metrics::Metrics};
use std::time::Duration;

/// A start a nanosecond is more than anybody takes: a permit is always there.
#[divan::bench]
fn granted(bencher: Bencher<'_, '_>) {
    check(bencher, ("rate_limit::granted", Ok(())), "1000000000/s burst 1000000000");
}

#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    check(bencher, ("rate_limit::refused", Err(Duration::from_secs(1))), "1/h");
}

type Answer = Result<(), Duration>;

fn check(bencher: Bencher<'_, '_>, (path, answer): (&'static str, Answer), limit: &str) {
    let limiter = limiter(limit);
    let ask = || limiter.ready().and_then(|()| limiter.take());
    assert_eq!(ask(), answer);
    measure(bencher, (path, 1), || (), |()| ask());
}

pub(crate) fn limiter(limit: &str) -> Limiter {
    Limiter::new(limit.parse().expect("a limit"), Metrics::default().limiter("kind:resize"))
}
