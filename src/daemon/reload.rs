//! HUP: reads the configuration again and takes over what can be, all of it or nothing (ADR 0021).
//!
//! A file that is wrong changes nothing and is told of, mistake by mistake. What holds is kept here, so
//! that a key that waits for a restart is named at each reload until then.

use super::{Daemon, Signals, signals::Teller, wiring::Running};
use crate::{
    admin::{Controls, Held, OfFile, Reloaded, Stop, Wrong},
    config::{self, AdminTokens, Loaded, Overrides, Settings, Shown, Source},
    maintenance::Obey,
    postgres::Wanted,
    telemetry::{
        events,
        feed::Occurrence,
        logs::{self, Filter, Logs, Recent},
        systemd::Notifier,
    },
};
use std::sync::Arc;
use tokio::sync::watch;

/// Where the configuration comes from, and what of it the process holds beside the daemon.
pub(super) struct Reload {
    source: Source,
    filter: Filter,
    recent: Recent,
    /// What is shown of it.
    held: watch::Sender<Held>,
}

impl Reload {
    /// The log's filter.
    pub(super) fn filter(&self) -> Filter {
        self.filter.clone()
    }

    async fn read(&self) -> Result<Loaded, Vec<Wrong>> {
        let source = self.source.clone();
        // A file on a disk that hangs is no reason for the daemon to.
        match tokio::task::spawn_blocking(move || config::load(&source)).await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(wrong)) => {
                let mistakes = wrong.iter().map(|one| (one.message.as_str(), one.place.as_deref()));
                Err(refused(mistakes))
            }
            Err(_panicked) => Err(refused([("it can't be read", None)])),
        }
    }

    fn log_as(&self, taken: &Settings) -> Result<(), Vec<Wrong>> {
        let set = self.filter.set(&taken.log.filter);
        set.map_err(|error| refused([(error.to_string().as_str(), None)]))
    }

    /// What the file says holds from now on, as far as it was taken over; tells of it.
    fn taken(&self, loaded: &Loaded, holding: &mut Settings, taken: Settings) -> Reloaded {
        logs::warn_of(&loaded.warnings);
        let changed = holding.differences(&taken);
        let needs_restart = taken.differences(&loaded.settings);
        tell(&changed, &needs_restart);
        self.show(loaded, &needs_restart);
        *holding = taken;
        let (warnings, mistakes) = (loaded.warnings.clone(), Vec::new());
        Reloaded { reloaded: true, changed, needs_restart, warnings, mistakes }
    }

    /// Shows what holds from now on: what was read, but for keys that wait for a restart.
    fn show(&self, read: &Loaded, needs_restart: &[String]) {
        self.held.send_modify(|held| {
            let before = std::mem::take(&mut held.values);
            let waits = |shown: &&Shown| needs_restart.contains(&shown.key);
            let is = |shown: &Shown| before.iter().find(|old| old.key == shown.key).cloned();
            let values = read.show().iter().filter_map(|shown| match Some(shown).filter(waits) {
                Some(shown) => is(shown),
                None => Some(shown.clone()),
            });
            held.values = values.collect();
            held.needs_restart = needs_restart.to_vec();
            held.file = file_of(read);
        });
    }
}

fn file_of(loaded: &Loaded) -> Option<String> {
    loaded.file.as_ref().map(|file| file.display().to_string())
}

/// Of a program that was told its configuration and no file.
const NO_FILE: (&str, Option<&str>) = ("this program reads no file again: restart it", None);
/// Keys that one line names; a file that differs in more is another file.
const KEYS_NAMED: usize = 100;

impl Daemon {
    /// Reads this source again when the process gets HUP; `loaded` is what it came to at first.
    #[doc(hidden)]
    #[must_use]
    pub fn reloaded_from(mut self, source: Source, loaded: &Loaded, logs: &Logs) -> Self {
        let values = loaded.show().to_vec();
        let held = Held { file: file_of(loaded), values, needs_restart: Vec::new() };
        let held = watch::Sender::new(held);
        let (filter, recent) = (logs.filter(), logs.recent());
        self.reload = Some(Reload { source, filter, recent, held });
        self
    }

    /// What the admin port can have it do.
    pub(super) fn controls(&self, signals: &Signals) -> Controls {
        let told = signals.clone();
        let stop = move |stop| {
            let by = "admin port";
            if stop == Stop::Now { told.told_to_stop_now(by) } else { told.told_to_drain(by) }
        };
        let of_file = |reload: &Reload| {
            let asked = signals.clone();
            let again = move || asked.reload_and_tell();
            let (source, held) = (reload.source.clone(), reload.held.subscribe());
            OfFile { source, held, reload: Arc::new(again) }
        };
        Controls {
            name: self.settings.daemon.name.clone(),
            stop: Arc::new(stop),
            configuration: self.reload.as_ref().map(of_file),
            filter: self.reload.as_ref().map(Reload::filter),
            recent: self.reload.as_ref().map(|reload| reload.recent.clone()),
        }
    }

    /// Reloads whenever it is asked to, and takes over what operators decide; never returns.
    pub(super) async fn reload_when_asked(
        &self,
        signals: &Signals,
        running: &Running,
        (holding, notifier): (&mut Settings, &Notifier),
    ) {
        let (mut overrides, mut decided) = running.overrides();
        loop {
            let curious = tokio::select! {
                curious = signals.asked_to_reload() => curious,
                Ok(()) = decided.changed() => {
                    let newest = decided.borrow_and_update().clone();
                    if newest != overrides {
                        running.adopt(holding, holding, &newest).await;
                        tell_decided(holding, (&overrides, &newest));
                        overrides = newest;
                    }
                    continue;
                }
            };
            notifier.reloading();
            let said = match &self.reload {
                Some(reload) => self.reload(reload, (&mut *holding, &overrides), running).await,
                None => Err(refused([NO_FILE])),
            };
            running.health.warn("configuration", said.as_ref().err().map(|_| WRONG.into()));
            self.tell_how_it_went(said, curious);
            // Also where it failed: the daemon is as ready as it was, and systemd waits for the word.
            notifier.ready();
        }
    }

    /// Goes on until the daemon is down, and obeys the file meanwhile in what still counts: who may ask the port, and what is
    /// logged. A token that was taken away is good for nothing, however long running jobs take.
    pub(super) async fn until_down<Down: Future>(
        &self,
        down: Down,
        signals: &Signals,
        (mut holding, tokens): (Settings, watch::Sender<AdminTokens>),
    ) -> Down::Output {
        let obeying = async {
            loop {
                let curious = signals.asked_to_reload().await;
                let said = match &self.reload {
                    Some(reload) => self.reload_port(reload, &mut holding, &tokens).await,
                    None => Err(refused([NO_FILE])),
                };
                self.tell_how_it_went(said, curious);
            }
        };
        tokio::select! {
            ended = down => ended,
            () = obeying => unreachable!("being asked to reload has no end"),
        }
    }

    fn tell_how_it_went(&self, said: Result<Reloaded, Vec<Wrong>>, curious: Vec<Teller>) {
        let metrics = &self.metrics.daemon.configuration;
        if said.is_ok() {
            metrics.succeeded();
        } else {
            metrics.failed();
        }
        let said = said.unwrap_or_else(Reloaded::refused);
        for teller in curious {
            // Who asked may have gone.
            teller.send(said.clone()).ok();
        }
    }

    async fn reload_port(
        &self,
        reload: &Reload,
        holding: &mut Settings,
        tokens: &watch::Sender<AdminTokens>,
    ) -> Result<Reloaded, Vec<Wrong>> {
        let loaded = reload.read().await?;
        let taken = holding.with_port_of(&loaded.settings);
        reload.log_as(&taken)?;
        // As where it isn't ending: who listens is cut off only by other tokens.
        tokens.send_if_modified(|before| {
            let now = &taken.admin.tokens;
            let differ = before != now;
            before.clone_from(now);
            differ
        });
        Ok(reload.taken(&loaded, holding, taken))
    }

    /// Takes over what it can; or says what is wrong.
    async fn reload(
        &self,
        reload: &Reload,
        (holding, overrides): (&mut Settings, &Overrides),
        running: &Running,
    ) -> Result<Reloaded, Vec<Wrong>> {
        let loaded = reload.read().await?;
        let settings = &loaded.settings;
        if let Err(error) = self.no_kind_lacks_a_handler(settings) {
            return Err(refused([(error.to_string().as_str(), None)]));
        }
        let taken = holding.with_changes_of(settings);
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
        reload.log_as(&taken)?;
        running.adopt(holding, &taken, overrides).await;
        let said = reload.taken(&loaded, holding, taken);
        running.metrics.feed.tell(|| Occurrence::Daemon("daemon.reloaded"));
        Ok(said)
    }
}

/// Has signals do what operators tell this daemon by the database.
pub(super) fn obey(signals: &Signals) -> Obey {
    const BY: &str = "database";
    let signals = signals.clone();
    Arc::new(move |wanted| match wanted {
        Wanted::Quiet => signals.quiet(BY),
        Wanted::Drain => signals.told_to_drain(BY),
        Wanted::Shutdown => signals.told_to_stop_now(BY),
    })
}

/// What readiness says of a configuration that wasn't taken.
const WRONG: &str = "it wasn't reloaded, the one before holds; the log says why";

/// Names each mistake in the log, and gives them.
fn refused<'m>(mistakes: impl IntoIterator<Item = (&'m str, Option<&'m str>)>) -> Vec<Wrong> {
    let refused = mistakes.into_iter().map(|(message, place)| {
        tracing::error!(
            event = events::CONFIG_RELOAD_FAILED,
            error.message = message,
            config.place = place,
            "the configuration isn't reloaded, the one before holds: {message}"
        );
        Wrong { message: message.to_owned(), place: place.map(str::to_owned) }
    });
    refused.collect()
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

fn tell_decided(holding: &Settings, (before, after): (&Overrides, &Overrides)) {
    let (before, after) = (holding.with_overrides(before), holding.with_overrides(after));
    let changed = before.differences(&after);
    // What was decided for queues of others is nothing to tell of.
    if !changed.is_empty() {
        tracing::info!(
            event = events::QUEUE_OVERRIDDEN,
            config.changed = named(&changed),
            "operators decided otherwise for queues, or what they decided has ended"
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
