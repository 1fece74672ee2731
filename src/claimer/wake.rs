//! Hints that work may exist: a bell that anybody may ring and every claimer hears.
//!
//! A hundred rings before a claimer looks are one. Nothing depends on a ring.

use std::sync::Arc;
use tokio::sync::watch;

/// Wakes every claimer. Clones ring the same bell.
#[derive(Debug, Clone)]
pub struct Bell(Arc<watch::Sender<u64>>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Bell {
    /// There may be work.
    pub fn ring(&self) {
        self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Hears every ring from now on.
    pub fn waker(&self) -> Waker {
        Waker(self.0.subscribe())
    }
}

/// One claimer's ear.
#[derive(Debug)]
pub struct Waker(watch::Receiver<u64>);

impl Waker {
    /// Forgets earlier rings: what they hinted at is about to be looked for.
    pub fn register(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits for a ring since [`register`](Self::register).
    pub async fn woken(&mut self) {
        if self.0.changed().await.is_err() {
            // The bell is gone; polls go on.
            std::future::pending::<()>().await;
        }
    }
}
