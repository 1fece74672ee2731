//! What the process is told from outside: TERM and INT, the first drains and the second forces; TSTP,
//! claim nothing more; USR1, say what runs; HUP, read the configuration again. What the admin port asks for goes
//! the same way.

use crate::{admin::Reloaded, sys::sampler, telemetry::events};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

/// What was asked of the process so far. Clones share it.
#[derive(Debug, Clone)]
pub struct Signals {
    stops: watch::Sender<u32>,
    quiet: CancellationToken,
    list: Arc<Notify>,
    reload: Arc<Notify>,
    /// Who wants to be told how the next reload went.
    curious: Arc<Mutex<Vec<Teller>>>,
}

/// Tells somebody how a reload went.
pub(super) type Teller = oneshot::Sender<Reloaded>;

impl Default for Signals {
    /// Listens to nothing; for programs that stop the daemon themselves.
    fn default() -> Self {
        let (stops, quiet) = (watch::Sender::new(0), CancellationToken::new());
        Self { stops, quiet, list: Arc::default(), reload: Arc::default(), curious: Arc::default() }
    }
}

/// The signals of this process.
pub struct Caught {
    term: Signal,
    int: Signal,
    hup: Signal,
    tstp: Signal,
    usr1: Signal,
    hangup_stops: bool,
}

impl Caught {
    /// From now on these signals no longer end or suspend the process by themselves.
    pub fn install() -> io::Result<Self> {
        // The profiler's. Where that doesn't run, or somebody else has it, it is what it was.
        sampler::take_signal().ok();
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            tstp: signal(SignalKind::from_raw(nix::libc::SIGTSTP))?,
            usr1: signal(SignalKind::user_defined1())?,
            hangup_stops: false,
        })
    }

    /// HUP is what it is to every command that belongs to a terminal: the terminal is gone. For those
    /// that have no configuration to read again.
    #[must_use]
    pub fn stopped_by_hangup(self) -> Self {
        Self { hangup_stops: true, ..self }
    }
}

impl Signals {
    /// Passes the process's signals on, for ever.
    pub async fn follow(self, mut caught: Caught) {
        loop {
            tokio::select! {
                _ = caught.term.recv() => self.told_to_stop("TERM"),
                _ = caught.int.recv() => self.told_to_stop("INT"),
                _ = caught.tstp.recv() => self.quiet("TSTP"),
                _ = caught.usr1.recv() => self.list(),
                _ = caught.hup.recv() => {
                    if caught.hangup_stops { self.told_to_stop("HUP") } else { self.reload("HUP") }
                }
            }
        }
    }

    /// Asks the daemon to stop, and says by whom.
    pub(super) fn told_to_stop(&self, signal: &'static str) {
        tracing::info!(
            event = events::SIGNAL_RECEIVED,
            signal,
            "told to stop; told twice, at once"
        );
        self.stop();
    }

    /// Asks the daemon to stop, unless somebody has: said beside another, it is no second time. Says by whom.
    pub(super) fn told_to_drain(&self, signal: &'static str) {
        let is_first = self.stops.send_if_modified(|asked| {
            let is_first = *asked == 0;
            *asked = (*asked).max(1);
            is_first
        });
        if is_first {
            tracing::info!(event = events::SIGNAL_RECEIVED, signal, "told to stop");
        }
    }

    /// Asks the daemon to stop at once, however often it was asked to, and says by whom.
    pub(super) fn told_to_stop_now(&self, signal: &'static str) {
        tracing::info!(event = events::SIGNAL_RECEIVED, signal, "told to stop at once");
        self.stops.send_modify(|asked| *asked = asked.saturating_add(2));
    }

    /// Asks the daemon to stop; asked twice, at once.
    pub fn stop(&self) {
        self.stops.send_modify(|asked| *asked = asked.saturating_add(1));
    }

    /// Asks the daemon to claim nothing more. What it has runs on, and it stays up until it is
    /// asked to stop.
    pub fn quiet(&self, signal: &'static str) {
        tracing::warn!(
            event = events::SIGNAL_RECEIVED,
            signal,
            "nothing more is claimed; running jobs go on, and TERM ends the daemon"
        );
        self.quiet.cancel();
    }

    /// Asks the daemon to log its tasks and running jobs.
    pub fn list(&self) {
        self.list.notify_one();
    }

    /// Asks the daemon to read its configuration again. Asked several times before it does, it does
    /// once.
    pub fn reload(&self, signal: &'static str) {
        tracing::info!(
            event = events::SIGNAL_RECEIVED,
            signal,
            "told to read the configuration again"
        );
        self.reload.notify_one();
    }

    /// The same; what comes says how the first reload went that begins from now on.
    pub(super) fn reload_and_tell(&self) -> oneshot::Receiver<Reloaded> {
        let (teller, told) = oneshot::channel();
        let mut curious = self.curious();
        // Who has gone needs no word; those who are left are requests of the port, which are few.
        curious.retain(|teller| !teller.is_closed());
        curious.push(teller);
        drop(curious);
        self.reload("admin port");
        told
    }

    fn curious(&self) -> MutexGuard<'_, Vec<Teller>> {
        self.curious.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is asked to read its configuration again; gives those who want to know how that goes.
    pub(super) async fn asked_to_reload(&self) -> Vec<Teller> {
        self.reload.notified().await;
        std::mem::take(&mut self.curious())
    }

    /// Cancelled once it was asked to be quiet.
    pub(super) fn quieted(&self) -> &CancellationToken {
        &self.quiet
    }

    /// Waits until it is asked for the list.
    pub(super) async fn asked_to_list(&self) {
        self.list.notified().await;
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
        *self.stops.borrow() >= 2
    }

    async fn asked(&self, times: u32) {
        // The sender lives in `self`, so the wait can't fail.
        self.stops.subscribe().wait_for(|asked| *asked >= times).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::Signals;

    #[test]
    fn what_is_told_to_drain_twice_or_beside_a_signal_is_not_told_to_stop_at_once() {
        let signals = Signals::default();
        let asked = || *signals.stops.borrow();
        signals.told_to_drain("database");
        signals.told_to_drain("database");
        assert_eq!(asked(), 1);
        signals.stop();
        assert_eq!(asked(), 2, "and a second signal is one");
        let signals = Signals::default();
        signals.stop();
        signals.told_to_drain("database");
        assert_eq!(*signals.stops.borrow(), 1);
    }
}
