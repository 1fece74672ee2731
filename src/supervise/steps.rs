//! How long a loop has been in one step: what its watchdog goes by.
//!
//! A loop either waits for work, for as long as that takes, or it is in a step that must end within the
//! limit it was started with. It says which by [`step`] and [`waiting`], which speak of the task in
//! which they are called: so a session that several loops share tells whose statement was answered,
//! without a handle. Outside of a watched task they do nothing.
//!
//! It doesn't see a loop that goes round and round for nothing, and it can't end one that blocks its
//! thread: that one stays a reason of readiness.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

tokio::task_local! {
    static STEPS: Arc<Steps>;
}

/// How many times its limit a step may take before the loop is started again.
const LIMITS_BEFORE_RESTART: u32 = 3;
/// From then on to the restart: after a time in which the process stood still, or its handlers blocked
/// every thread, the step may end as soon as somebody looks at sockets and timers again.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// One loop's steps.
#[derive(Debug)]
pub(super) struct Steps {
    epoch: Instant,
    /// When the step began, in milliseconds from the epoch and one; 0 while the loop waits. It stands
    /// alone, so that no order with other values is needed.
    began: AtomicU64,
    limit: Duration,
}

/// The loop that calls this goes on: what it did until now is over, and another step begins.
pub fn step() {
    // Nobody watches who isn't a watched task.
    STEPS.try_with(|steps| steps.go_on()).ok();
}

/// The loop that calls this waits for work: it may take for ever.
pub async fn waiting<Work: Future>(work: Work) -> Work::Output {
    let _waits = STEPS.try_with(Waits::of).ok();
    work.await
}

/// Ends the wait when it is dropped, however that comes.
struct Waits {
    steps: Arc<Steps>,
    /// Whether a wait around this one goes on.
    within: bool,
}

impl Waits {
    fn of(steps: &Arc<Steps>) -> Self {
        Self { within: steps.began.swap(0, Relaxed) == 0, steps: Arc::clone(steps) }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.within {
            self.steps.go_on();
        }
    }
}

impl Steps {
    /// Of a loop whose steps must end within this.
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { epoch: Instant::now(), began: AtomicU64::new(0), limit })
    }

    /// Runs one life of the loop; gives how long its last step had taken where it had to be ended in it.
    pub(super) async fn watch(
        self: &Arc<Self>,
        life: impl Future<Output = ()>,
    ) -> Option<Duration> {
        self.go_on();
        let ended = tokio::select! {
            // First: whatever has come for it is taken before it is judged.
            biased;
            () = STEPS.scope(Arc::clone(self), life) => None,
            stood = self.stands_still() => Some(stood),
        };
        self.began.store(0, Relaxed);
        ended
    }

    /// How long the loop has been in a step that should have ended; nothing where all is well.
    pub(super) fn late(&self) -> Option<Duration> {
        self.taken().filter(|taken| *taken > self.limit)
    }

    async fn stands_still(&self) -> Duration {
        let most = self.limit * LIMITS_BEFORE_RESTART;
        loop {
            let left = most.saturating_sub(self.taken().unwrap_or_default());
            if !left.is_zero() {
                sleep(left).await;
                continue;
            }
            sleep(LAST_CHANCE).await;
            if let Some(stood) = self.taken().filter(|taken| *taken >= most) {
                return stood;
            }
        }
    }

    fn go_on(&self) {
        self.began.store(self.now() + 1, Relaxed);
    }

    fn taken(&self) -> Option<Duration> {
        let began = self.began.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now().saturating_sub(began)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests;
