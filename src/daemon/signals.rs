//! What the process is told from outside: TERM and INT, the first drains and the second forces; TSTP,
//! claim nothing more; USR1, say what runs; HUP, read the configuration again. What the admin port and the database
//! ask for goes the same way, but that a drain is no signal: however often it is told, and by whom, it forces nothing.

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

/// How the process was told to end so far; it goes up and never down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    #[default]
    Nothing,
    /// To drain, by no signal: the first one is still to come, and changes nothing else.
    Drain,
    /// To drain, by a signal: the next one forces it.
    Signal,
    /// At once.
    Now,
}

/// What was asked of the process so far. Clones share it.
#[derive(Debug, Clone)]
pub struct Signals {
    told: watch::Sender<Told>,
    quiet: CancellationToken,
    list: Arc<Notify>,
    reload: Arc<Notify>,
    /// Who wants to be told how the next reload went; none once there is no next.
    curious: Arc<Mutex<Option<Vec<Teller>>>>,
}

/// Tells somebody how a reload went.
pub(super) type Teller = oneshot::Sender<Reloaded>;

impl Default for Signals {
    /// Listens to nothing; for programs that stop the daemon themselves.
    fn default() -> Self {
        let (told, quiet) = (watch::Sender::default(), CancellationToken::new());
        let curious = Arc::new(Mutex::new(Some(Vec::new())));
        Self { told, quiet, list: Arc::default(), reload: Arc::default(), curious }
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
                _ = caught.term.recv() => self.told_by("TERM"),
                _ = caught.int.recv() => self.told_by("INT"),
                _ = caught.tstp.recv() => self.quiet("TSTP"),
                _ = caught.usr1.recv() => self.list(),
                _ = caught.hup.recv() => {
                    if caught.hangup_stops { self.told_by("HUP") } else { self.reload("HUP") }
                }
            }
        }
    }

    /// Asks the daemon to stop as a signal does, and says by which.
    fn told_by(&self, signal: &'static str) {
        let event = events::SIGNAL_RECEIVED;
        if self.signalled() == Told::Now {
            tracing::info!(event, signal, "told to stop by a second signal: at once");
        } else {
            tracing::info!(
                event,
                signal,
                "told to stop: running jobs may finish, another TERM or INT ends them at once"
            );
        }
    }

    /// Asks the daemon to drain, and says by whom. Where it is to end already that changes nothing.
    pub(super) fn told_to_drain(&self, signal: &'static str) {
        if self.raise(Told::Drain) {
            tracing::info!(
                event = events::SIGNAL_RECEIVED,
                signal,
                "told to drain: running jobs may finish"
            );
        }
    }

    /// Asks the daemon to stop at once, however often it was asked to, and says by whom.
    pub(super) fn told_to_stop_now(&self, signal: &'static str) {
        tracing::info!(event = events::SIGNAL_RECEIVED, signal, "told to stop at once");
        self.raise(Told::Now);
    }

    /// Asks the daemon to stop, as TERM does: asked twice, at once.
    pub fn stop(&self) {
        self.signalled();
    }

    /// What holds after one more signal.
    fn signalled(&self) -> Told {
        let mut holds = Told::Now;
        self.told.send_modify(|told| {
            holds = if *told < Told::Signal { Told::Signal } else { Told::Now };
            *told = holds;
        });
        holds
    }

    /// Whether it was told less before.
    fn raise(&self, to: Told) -> bool {
        self.told.send_if_modified(|told| {
            let is_more = to > *told;
            *told = to.max(*told);
            is_more
        })
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
        if let Some(curious) = &mut *self.curious() {
            // Who has gone needs no word. Those who are left are counted where they ask.
            curious.retain(|teller| !teller.is_closed());
            curious.push(teller);
        }
        self.reload("admin port");
        told
    }

    /// The configuration isn't read again: whoever waits for how that goes, or asks from now on, is told so.
    pub(super) fn reload_for_nobody(&self) {
        *self.curious() = None;
    }

    fn curious(&self) -> MutexGuard<'_, Option<Vec<Teller>>> {
        self.curious.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is asked to read its configuration again; gives those who want to know how that goes.
    pub(super) async fn asked_to_reload(&self) -> Vec<Teller> {
        self.reload.notified().await;
        self.curious().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Cancelled once it was asked to be quiet.
    pub(super) fn quieted(&self) -> &CancellationToken {
        &self.quiet
    }

    /// Waits until it is asked for the list.
    pub(super) async fn asked_to_list(&self) {
        self.list.notified().await;
    }

    /// Waits until it was asked to stop, in any way.
    pub async fn asked_to_stop(&self) {
        self.reached(Told::Drain).await;
    }

    /// Whether it was asked to stop, in any way.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        *self.told.borrow() >= Told::Drain
    }

    /// Waits until it was told to stop at once, or by a second signal.
    pub async fn forced(&self) {
        self.reached(Told::Now).await;
    }

    /// Whether it was told to stop at once, or by a second signal.
    pub fn is_forced(&self) -> bool {
        *self.told.borrow() == Told::Now
    }

    async fn reached(&self, what: Told) {
        // The sender lives in `self`, so the wait can't fail.
        self.told.subscribe().wait_for(|told| *told >= what).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::{Signals, Told};
    use rstest::rstest;

    const DRAIN: fn(&Signals) = |signals| signals.told_to_drain("database");
    const TERM: fn(&Signals) = |signals| signals.told_by("TERM");
    const NOW: fn(&Signals) = |signals| signals.told_to_stop_now("admin port");

    #[rstest]
    #[case::drained_twice(&[DRAIN, DRAIN], Told::Drain)]
    #[case::a_first_signal_after_a_drain(&[DRAIN, DRAIN, TERM], Told::Signal)]
    #[case::a_drain_after_a_signal(&[TERM, DRAIN, DRAIN], Told::Signal)]
    #[case::a_second_signal(&[TERM, DRAIN, TERM], Told::Now)]
    #[case::a_second_signal_after_a_drain(&[DRAIN, TERM, TERM], Told::Now)]
    #[case::at_once(&[NOW], Told::Now)]
    #[case::at_once_after_a_drain(&[DRAIN, NOW, DRAIN], Told::Now)]
    fn a_second_signal_forces_and_a_drain_told_again_does_not(
        #[case] said: &[fn(&Signals)],
        #[case] holds: Told,
    ) {
        let signals = Signals::default();
        for say in said {
            say(&signals);
        }
        assert_eq!(*signals.told.borrow(), holds);
        assert_eq!(signals.is_forced(), holds == Told::Now);
    }
}
