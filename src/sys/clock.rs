//! A monotonic clock for what is noted at every wait of every task: it costs a read of memory, where an
//! exact one asks the processor's counter, and is a few milliseconds behind it.

use nix::time::{ClockId, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const COARSE: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COARSE: ClockId = ClockId::CLOCK_MONOTONIC;

/// Milliseconds from an instant that is the same for the whole process, and long past. A system without
/// such a clock stands still at 0: then ages are wrong and nothing else is.
pub fn coarse_millis() -> u64 {
    clock_gettime(COARSE).map_or(0, |now| {
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        seconds * 1000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000_000
    })
}
