//! TERM and INT: the first drains, the second forces. HUP is said to change nothing.

use crate::telemetry::events;
use std::io;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// What was asked of the process so far. Clones share it.
#[derive(Debug, Clone)]
pub struct Signals(watch::Sender<u32>);

impl Default for Signals {
    /// Listens to nothing; for programs that stop the daemon themselves.
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// The signals of this process.
pub struct Caught {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Caught {
    /// From now on these signals no longer end the process by themselves.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

impl Signals {
    /// Passes the process's signals on, for ever.
    pub async fn follow(self, mut caught: Caught) {
        loop {
            tokio::select! {
                _ = caught.term.recv() => self.told_to_stop("TERM"),
                _ = caught.int.recv() => self.told_to_stop("INT"),
                _ = caught.hup.recv() => tracing::warn!(event = events::SIGNAL_RECEIVED, signal = "HUP", "the configuration is read at start only: restart to change it"),
            }
        }
    }

    fn told_to_stop(&self, signal: &'static str) {
        tracing::info!(
            event = events::SIGNAL_RECEIVED,
            signal,
            "told to stop; told twice, at once"
        );
        self.stop();
    }

    /// Asks the daemon to stop; asked twice, at once.
    pub fn stop(&self) {
        self.0.send_modify(|asked| *asked = asked.saturating_add(1));
    }

    /// Waits until it was asked once.
    pub async fn asked_to_stop(&self) {
        self.asked(1).await;
    }

    /// Waits until it was asked twice.
    pub async fn forced(&self) {
        self.asked(2).await;
    }

    /// Whether it was asked twice.
    pub fn is_forced(&self) -> bool {
        *self.0.borrow() >= 2
    }

    async fn asked(&self, times: u32) {
        // The sender lives in `self`, so the wait can't fail.
        self.0.subscribe().wait_for(|asked| *asked >= times).await.ok();
    }
}
