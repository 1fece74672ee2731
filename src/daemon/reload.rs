//! HUP: reads the configuration again and takes over what can be, all of it or nothing (ADR 0021).
//!
//! A file that is wrong changes nothing and is told of, mistake by mistake. What holds is kept here, so
//! that a key that waits for a restart is named at each reload until then.

use super::{Daemon, Signals, wiring::Running};
use crate::{
    config::{self, Loaded, Settings, Source},
    telemetry::{events, feed::Occurrence, logs::Filter, systemd::Notifier},
};

/// Where the configuration comes from, and what of it the process holds beside the daemon.
pub(super) struct Reload {
    source: Source,
    filter: Filter,
}

/// Keys that one line names; a file that differs in more is another file.
const KEYS_NAMED: usize = 100;

impl Daemon {
    /// Reads this source again when the process gets HUP.
    #[doc(hidden)]
    #[must_use]
    pub fn reloaded_from(mut self, source: Source, filter: Filter) -> Self {
        self.reload = Some(Reload { source, filter });
        self
    }

    /// Reloads whenever it is asked to; never returns.
    pub(super) async fn reload_when_asked(
        &self,
        signals: &Signals,
        running: &Running,
        notifier: &Notifier,
    ) {
        let mut holding = self.settings.clone();
        loop {
            signals.asked_to_reload().await;
            notifier.reloading();
            let said = match &self.reload {
                Some(reload) => self.reload(reload, &mut holding, running).await,
                None => Err(refused([("this program reads no file again: restart it", None)])),
            };
            let metrics = &self.metrics.daemon.configuration;
            if said.is_ok() {
                metrics.succeeded();
            } else {
                metrics.failed();
            }
            running.health.warn("configuration", said.err());
            // Also where it failed: the daemon is as ready as it was, and systemd waits for the word.
            notifier.ready();
        }
    }

    /// Takes over what it can; or says what people should know.
    async fn reload(
        &self,
        Reload { source, filter }: &Reload,
        holding: &mut Settings,
        running: &Running,
    ) -> Result<(), String> {
        let source = source.clone();
        // A file on a disk that hangs is no reason for the daemon to.
        let read = tokio::task::spawn_blocking(move || config::load(&source)).await;
        let Loaded { settings, warnings, .. } = match read {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(wrong)) => {
                let mistakes = wrong.iter().map(|one| (one.message.as_str(), one.place.as_deref()));
                return Err(refused(mistakes));
            }
            Err(_panicked) => return Err(refused([("it can't be read", None)])),
        };
        if let Err(error) = self.no_kind_lacks_a_handler(&settings) {
            return Err(refused([(error.to_string().as_str(), None)]));
        }
        let taken = holding.with_changes_of(&settings);
        // What the file asks for must go with what stays as it is.
        let unable = taken.kinds_without_server().map(|kind| {
            let (name, why) = (kind.name.as_str(), config::NEEDS_SERVER);
            format!("[[kind]] {name:?}.handler: {why}; a direct_url holds from the next start on")
        });
        let uncalled = taken.kinds_without_port().map(|kind| {
            let (name, why) = (kind.name.as_str(), config::NEEDS_PORT);
            format!("[[kind]] {name:?}.async: {why}; another listen holds from the next start on")
        });
        let unable: Vec<_> = unable.chain(uncalled).collect();
        if !unable.is_empty() {
            return Err(refused(unable.iter().map(|why| (why.as_str(), None))));
        }
        if let Err(error) = filter.set(&taken.log.filter) {
            return Err(refused([(error.to_string().as_str(), None)]));
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        running.adopt(holding, &taken);
        tell(&holding.differences(&taken), &taken.differences(&settings));
        running.metrics.feed.tell(|| Occurrence::Daemon("daemon.reloaded"));
        *holding = taken;
        Ok(())
    }
}

/// Names each mistake in the log; gives the sentence for readiness.
fn refused<'m>(mistakes: impl IntoIterator<Item = (&'m str, Option<&'m str>)>) -> String {
    for (message, place) in mistakes {
        tracing::error!(
            event = events::CONFIG_RELOAD_FAILED,
            error.message = message,
            config.place = place,
            "the configuration isn't reloaded, the one before holds: {message}"
        );
    }
    "it wasn't reloaded, the one before holds; the log says why".into()
}

fn tell(changed: &[String], needs_restart: &[String]) {
    let event = events::CONFIG_RELOADED;
    let changed = named(changed);
    if needs_restart.is_empty() {
        tracing::info!(event, config.changed = changed, "the configuration was read again");
    } else {
        let needs_restart = named(needs_restart);
        tracing::warn!(
            event,
            config.changed = changed,
            config.needs_restart = needs_restart,
            "the configuration was read again; these keys changed and need a restart: {needs_restart}"
        );
    }
}

fn named(keys: &[String]) -> String {
    let named = keys.iter().take(KEYS_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if keys.len() > KEYS_NAMED {
        return format!("{named} and {} more", keys.len() - KEYS_NAMED);
    }
    named
}
