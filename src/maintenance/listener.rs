//! LISTEN as a loop: rings the bell, and looks for cancel requests, when Postgres says so.

use crate::{
    claimer::{Bell, Hints},
    postgres::{Connector, DbError, Listener, Notice},
    supervise::{self, WaitPoint, at},
    telemetry::{
        events,
        health::Check,
        metrics::{Metrics, Session},
    },
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

/// Pause before connecting again; it doubles up to [`RECONNECT_PAUSE_MAX`].
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// What a database that comes back costs at most in wake-ups that don't arrive; polls go on.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What hears.
pub struct Ears {
    /// Rung for new jobs.
    pub bell: Bell,
    /// Notified for cancel requests.
    pub cancel: Arc<Notify>,
    /// Notified for what operators decide.
    pub control: Arc<Notify>,
    /// Readiness: whether wake-ups arrive.
    pub check: Check,
    /// Told whether somebody listens.
    pub hints: Arc<Hints>,
    /// The daemon's metrics.
    pub metrics: Arc<Metrics>,
}

impl Ears {
    /// Anything may have been announced.
    fn hear_all(&self) {
        self.bell.ring();
        self.cancel.notify_one();
        self.control.notify_one();
    }
}

/// Listens until told to stop; reconnects by itself. Polls go on meanwhile.
pub async fn listen(connector: Connector, ears: Arc<Ears>, stop: CancellationToken) {
    let session = ears.metrics.session("listener");
    let mut pause = RECONNECT_PAUSE;
    let mut went_astray = false;
    while !stop.is_cancelled() {
        supervise::step();
        session.connecting();
        let heard = stop.run_until_cancelled(hear(&connector, &ears, &session)).await;
        session.closed();
        ears.metrics.daemon.listener_connected.set(0.0);
        // Whether it was heard by until now: what fails again and again is told of once.
        let was_heard = ears.hints.heard.swap(false, Ordering::AcqRel);
        if let Some(Err(error)) = heard {
            supervise::failed(&error);
            ears.check.failing(why(&error));
            pause = if was_heard { RECONNECT_PAUSE } else { (pause * 2).min(RECONNECT_PAUSE_MAX) };
            // An address that leads astray is worth a line whenever it shows, and once.
            let shows = error.leads_astray() && !std::mem::replace(&mut went_astray, true);
            went_astray &= error.leads_astray();
            say_lost(&error, was_heard || shows);
            // Told to stop or not, the loop looks at the token next.
            let rest = stop.run_until_cancelled(sleep(pause));
            at(WaitPoint::RetryPause, supervise::waiting(rest)).await;
        }
    }
}

/// What readiness says.
fn why(error: &DbError) -> String {
    match error {
        DbError::Connect(error) if error.leads_astray() => error.to_string(),
        _ => "wake-ups don't arrive; polls go on".into(),
    }
}

fn say_lost(error: &(dyn std::error::Error + 'static), aloud: bool) {
    if aloud {
        tracing::warn!(
            event = events::LISTENER_LOST,
            error,
            "the listener lost its connection; polls go on, and it is tried again until it works"
        );
    } else {
        tracing::debug!(event = events::LISTENER_LOST, error, "the listener can't connect");
    }
}

async fn hear(connector: &Connector, ears: &Ears, session: &Session) -> Result<(), DbError> {
    let mut listener = at(WaitPoint::Connect, Listener::connect(connector)).await?;
    ears.check.ok();
    session.connected();
    ears.metrics.daemon.listener_connected.set(1.0);
    ears.hints.heard.store(true, Ordering::Release);
    tracing::info!(event = events::LISTENER_CONNECTED, "wake-ups arrive");
    // Whatever was announced before we listened is looked for now.
    ears.hear_all();
    loop {
        // Silence is probed, so that hearing is a step like any other.
        supervise::step();
        match at(WaitPoint::ListenerNotice, listener.next()).await? {
            Notice::Jobs => {
                ears.bell.ring();
                ears.hints.rang();
            }
            Notice::Cancel => ears.cancel.notify_one(),
            Notice::Control => ears.control.notify_one(),
            Notice::Reconnected => ears.hear_all(),
            Notice::Quiet => {}
        }
    }
}
