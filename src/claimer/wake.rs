//! Hints that work may exist: a bell that anybody may ring and every claimer hears.
//!
//! A hundred rings before a claimer looks are one. Nothing depends on a ring.

use std::sync::Arc;
use tokio::sync::watch;

/// What has been rung so far.
#[derive(Debug, Clone, Copy, Default)]
struct Rings {
    /// Of either sort.
    all: u64,
    /// That say: look from the very left.
    sweeps: u64,
}

/// Wakes every claimer. Clones ring the same bell.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<Rings>>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Rings::default())))
    }
}

impl Bell {
    /// There may be work.
    pub fn ring(&self) {
        self.0.send_modify(|rings| rings.all = rings.all.wrapping_add(1));
    }

    /// There may be work that kept an old place in line: released, rescued.
    pub fn ring_for_sweep(&self) {
        self.0.send_modify(|rings| {
            rings.all = rings.all.wrapping_add(1);
            rings.sweeps = rings.sweeps.wrapping_add(1);
        });
    }

    /// Hears every ring from now on.
    pub fn waker(&self) -> Waker {
        Waker { bell: self.0.subscribe(), sweeps: 0 }
    }
}

/// One claimer's ear.
#[derive(Debug)]
pub struct Waker {
    bell: watch::Receiver<Rings>,
    sweeps: u64,
}

impl Waker {
    /// Forgets earlier rings, since what they hinted at is about to be looked for; says whether one
    /// of them asked for a sweep.
    pub fn register(&mut self) -> bool {
        let rings = *self.bell.borrow_and_update();
        std::mem::replace(&mut self.sweeps, rings.sweeps) != rings.sweeps
    }

    /// Waits for a ring since [`register`](Self::register).
    pub async fn woken(&mut self) {
        if self.bell.changed().await.is_err() {
            // The bell is gone; polls go on.
            std::future::pending::<()>().await;
        }
    }
}
