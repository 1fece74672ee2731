//! How a program makes a daemon of its own: settings from code, a value or a file, handlers from code,
//! and every mistake at once.

mod lanes;
mod spans;

pub use lanes::{KindOptions, QueueOptions};
pub use spans::TracingOptions;

use super::Daemon;
use crate::{
    config::{
        self, DatabaseUrl, Environment, HandlerSettings, KindSettings, Mistakes, Settings, Source,
    },
    executor::{Handler, IntoHandler},
    job::KindName,
    postgres::Connector,
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

/// Puts a daemon together; made by [`Daemon::builder`].
///
/// Nothing fails before [`build`](Self::build), which reports everything that is wrong at once.
#[derive(Default)]
#[must_use = "nothing runs before `build` and `run`"]
pub struct DaemonBuilder {
    base: Base,
    environment: Option<Environment>,
    url: Option<String>,
    name: Option<String>,
    admin: Option<SocketAddr>,
    grace: Option<Duration>,
    tracing: Option<TracingOptions>,
    queues: Vec<(String, QueueOptions)>,
    kinds: Vec<(String, KindOptions)>,
    handlers: Vec<(String, Arc<dyn Handler>)>,
}

/// Where settings come from that the builder doesn't say.
#[derive(Default)]
enum Base {
    /// The defaults, with no admin port: a library opens none unasked.
    #[default]
    Defaults,
    Given(Box<Settings>),
    /// This file, under the environment of the process.
    File(PathBuf),
}

impl DaemonBuilder {
    /// Where the queue is: `postgres://user@host/database`. A `direct_url` of settings or file is of their own
    /// database, and isn't used beside it.
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Starts from these settings; what else the builder is told wins over them.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.base = Base::Given(Box::new(settings));
        self
    }

    /// Starts from this `legwork.toml` and the `LEGWORK_…` variables, as the binary does; what else the
    /// builder is told wins over them. Kinds with `handler = "rust"` take their handlers from here.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.base = Base::File(path.into());
        self
    }

    /// The variables that [`config_file`](Self::config_file) looks at, in place of the process's own.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// What people know this daemon by.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Opens the admin port here: health, metrics, version.
    pub fn admin(mut self, listen: SocketAddr) -> Self {
        self.admin = Some(listen);
        self
    }

    /// How long running jobs may finish once the daemon is told to stop.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sends spans of attempts and of their requests to a collector; without it, or a collector in settings
    /// or file, none are made. What is said here wins over them.
    pub fn tracing(mut self, options: TracingOptions) -> Self {
        self.tracing = Some(options);
        self
    }

    /// Serves a queue. Without any, `default` is served, or what the settings list; the first one named here
    /// replaces `default` where the settings list nothing.
    pub fn queue(mut self, name: impl Into<String>, options: QueueOptions) -> Self {
        self.queues.push((name.into(), options));
        self
    }

    /// Runs jobs of this kind by a [`TypedHandler`](crate::executor::TypedHandler), a [`Handler`] or a
    /// function: see [`IntoHandler`].
    pub fn handler<Form>(
        mut self,
        kind: impl Into<String>,
        handler: impl IntoHandler<Form>,
    ) -> Self {
        self.handlers.push((kind.into(), handler.into_handler()));
        self
    }

    /// What the jobs of a kind may take: attempts, time, starts.
    pub fn kind(mut self, kind: impl Into<String>, options: KindOptions) -> Self {
        self.kinds.push((kind.into(), options));
        self
    }

    /// The daemon, or everything that is wrong. It asks no database and opens no port.
    pub fn build(self) -> Result<Daemon, Mistakes> {
        let mut mistakes = Mistakes::default();
        let environment = self.base.environment(self.environment);
        let settings = self.base.read(&environment, &mut mistakes);
        let is_whole = settings.is_some();
        let mut settings = settings.unwrap_or_default();
        let lists_queues = !matches!(self.base, Base::Defaults);
        let said = Said { name: self.name.is_some(), grace: self.grace.is_some() };
        settings.admin.listen = self.admin.or(settings.admin.listen);
        settings.shutdown.grace = self.grace.unwrap_or(settings.shutdown.grace);
        if let Some(name) = self.name {
            settings.daemon.name = name;
        }
        if let Some(url) = self.url {
            settings.database.url = Some(DatabaseUrl::new(url));
            // A file's is that of the file's database.
            settings.database.direct_url = None;
        }
        // Of a file that is wrong, what isn't there may only not have been seen.
        if is_whole || settings.database.url.is_some() {
            check_address(&settings, &mut mistakes);
        }
        check_life(&settings, said, &mut mistakes);
        spans::trace(&mut settings.tracing, self.tracing.as_ref(), &mut mistakes);
        lanes::add_queues(&mut settings, &self.queues, lists_queues, &mut mistakes);
        let handlers = named(self.handlers, &mut settings, &mut mistakes);
        lanes::limit_kinds(&mut settings, &self.kinds, &mut mistakes);
        check_functions(&settings, &mut mistakes);
        for kind in settings.kinds_without_port() {
            let why = format!("kind {:?}: {}", kind.name.as_str(), config::NEEDS_PORT);
            mistakes.push(why, Some(SETTINGS));
        }
        for kind in settings.kinds.iter().filter(|kind| kind.handler == HandlerSettings::Rust) {
            if !handlers.iter().any(|(name, _)| *name == kind.name) {
                let why = format!("kind {:?} has no handler: give it one", kind.name.as_str());
                mistakes.push(why, Some("Daemon::builder().handler"));
            }
        }
        mistakes.unless_any(|| {
            let mut daemon = Daemon::new(settings, environment);
            for (kind, handler) in handlers {
                daemon.registry = daemon.registry.with_shared(kind, handler);
            }
            daemon
        })
    }
}

impl Base {
    /// The process's own environment counts only beside a file.
    fn environment(&self, given: Option<Environment>) -> Environment {
        let nothing: [(&str, &str); 0] = [];
        given.unwrap_or_else(|| match self {
            Self::Defaults | Self::Given(_) => Environment::of(nothing),
            Self::File(_) => Environment::of_process(),
        })
    }

    /// Nothing where the file is wrong.
    fn read(&self, environment: &Environment, mistakes: &mut Mistakes) -> Option<Settings> {
        match self {
            Self::Defaults => {
                let mut settings = Settings::default();
                settings.admin.listen = None;
                Some(settings)
            }
            Self::Given(settings) => {
                for why in config::mistakes_of(settings) {
                    mistakes.push(why, Some(SETTINGS));
                }
                Some(Settings::clone(settings))
            }
            Self::File(path) => {
                let source = Source::new(environment.clone()).with_file(path);
                let loaded = config::load(&source).map_err(|wrong| {
                    for mistake in wrong.iter() {
                        mistakes.push(mistake.message.clone(), mistake.place.as_deref());
                    }
                });
                let loaded = loaded.ok()?;
                for warning in loaded.warnings {
                    tracing::warn!("{warning}");
                }
                Some(loaded.settings)
            }
        }
    }
}

/// Where a value's mistakes are.
const SETTINGS: &str = "Daemon::builder().settings";

/// The URL as far as it can be judged without its server.
fn check_address(settings: &Settings, mistakes: &mut Mistakes) {
    const PLACE: Option<&str> = Some("Daemon::builder().database_url");
    match &settings.database.url {
        None => mistakes.push("no database is named: postgres://user@host/database", PLACE),
        Some(url) => {
            if let Err(error) = Connector::new(url, &settings.database) {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                mistakes.push(format!("{error}{cause}"), PLACE);
            }
        }
    }
}

fn check_functions(settings: &Settings, mistakes: &mut Mistakes) {
    for kind in settings.kinds_without_server() {
        let why = format!("kind {:?}: {}", kind.name.as_str(), config::NEEDS_SERVER);
        mistakes.push(why, Some(SETTINGS));
    }
}

/// What of a daemon's life is said in code, and not by settings or a file, which are checked as they are read.
#[derive(Clone, Copy)]
struct Said {
    name: bool,
    grace: bool,
}

fn check_life(settings: &Settings, said: Said, mistakes: &mut Mistakes) {
    const GRACE: &str = "Daemon::builder().shutdown_grace";
    if let Some(why) = config::misnamed(&settings.daemon.name).filter(|_| said.name) {
        mistakes.push(why, Some("Daemon::builder().name"));
    }
    let grace = config::Amount::Time(settings.shutdown.grace);
    let place = if said.grace { GRACE } else { SETTINGS };
    match config::out_of_bounds("shutdown.grace", grace) {
        Some(why) if said.grace => mistakes.push(why, Some(GRACE)),
        Some(_) => {}
        None => {
            if let Some(why) = config::killed_early(&settings.shutdown) {
                mistakes.push(format!("shutdown.stop_timeout: {why}"), Some(place));
            }
        }
    }
}

/// The handlers under their kinds' names; kinds that the settings don't list are added to them.
fn named(
    handlers: Vec<(String, Arc<dyn Handler>)>,
    settings: &mut Settings,
    mistakes: &mut Mistakes,
) -> Vec<(KindName, Arc<dyn Handler>)> {
    const PLACE: Option<&str> = Some("Daemon::builder().handler");
    let mut named: Vec<(KindName, Arc<dyn Handler>)> = Vec::with_capacity(handlers.len());
    for (kind, handler) in handlers {
        let name = match KindName::new(&kind) {
            Ok(name) => name,
            Err(error) => {
                mistakes.push(format!("kind {kind:?}: {error}"), PLACE);
                continue;
            }
        };
        if named.iter().any(|(other, _)| *other == name) {
            mistakes.push(format!("kind {kind:?} has two handlers: leave one out"), PLACE);
            continue;
        }
        match settings.kinds.iter().find(|listed| listed.name == name) {
            None => settings.kinds.push(KindSettings {
                policy: settings.retry.clone(),
                ..KindSettings::new(name.clone(), HandlerSettings::Rust)
            }),
            Some(listed) if listed.handler != HandlerSettings::Rust => {
                let why = format!("kind {kind:?} has a handler by its settings: only one can be");
                mistakes.push(why, PLACE);
            }
            Some(_) => {}
        }
        named.push((name, handler));
    }
    named
}
