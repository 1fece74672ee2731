//! The demo: a private Postgres, sample jobs of every sort, the real daemon, and a live view.
//!
//! It exists so that somebody who has nothing but this program can see within seconds what a job's
//! life looks like, failures included. The samples know how each of them should end; what is
//! printed at the end is read from `legwork.jobs` after the daemon has stopped, so it can't flatter.
//! It never touches a database of yours.

mod handlers;
mod samples;
mod server;
mod view;

pub use view::{Frame, Summary};

use crate::{
    config::{Admin, DatabaseUrl, Environment, QueueSettings, Settings},
    daemon::{Daemon, Ended, Signals, StartError, TrialError},
    embedded::{EmbeddedError, Options},
    postgres::{Connector, Observer, migrate::Migrator},
};
use samples::Sample;
use server::Server;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Samples that haven't ended by then have gone wrong.
const LIMIT: Duration = Duration::from_mins(1);
/// How often the view is drawn and the trickle drips.
const FRAME: Duration = Duration::from_millis(500);

/// Why the demo didn't work.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No Postgres could be started.
    #[error(transparent)]
    Postgres(EmbeddedError),
    /// This machine has neither Postgres's programs nor a Docker engine.
    #[error("{lacking} (a Docker engine would do as well: {engine})")]
    Neither {
        /// What a private cluster lacks, and what installs it.
        lacking: EmbeddedError,
        /// Why there is no engine.
        engine: String,
    },
    /// A step failed.
    #[error(transparent)]
    Trial(TrialError),
    /// Not every sample ended as it should.
    #[error("{0} samples didn't end as they should: the summary names them")]
    Wrong(usize),
}

impl<E: Into<TrialError>> From<E> for DemoError {
    fn from(error: E) -> Self {
        Self::Trial(error.into())
    }
}

/// A demo with its Postgres running.
pub struct Demo {
    server: Server,
    settings: Settings,
    environment: Environment,
    samples: Vec<Sample>,
}

impl Demo {
    /// Starts the private Postgres, or a container where there are no programs for one, and says
    /// which. Blocks for about a second, or for as long as the container takes.
    pub fn prepare(environment: Environment, say: impl Fn(&str)) -> Result<Self, DemoError> {
        let server = Server::start(Options::default(), &environment.search_path(), say)?;
        let samples = samples::all();
        let mut settings = Settings { kinds: samples::kinds(), ..Settings::default() };
        settings.queues.push(QueueSettings::new(samples::programs(), settings.retention));
        settings.database.url = Some(DatabaseUrl::new(server.url()));
        settings.admin = Admin { listen: free_port() };
        Ok(Self { server, settings, environment, samples })
    }

    /// The command by which a person looks into its database.
    pub fn psql(&self) -> String {
        self.server.psql()
    }

    /// Where its admin port is.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.settings.admin.listen
    }

    /// Runs the samples; with `once` until they have ended, else until a signal, with jobs trickling
    /// in. `draw` is given a frame twice a second.
    pub async fn run(
        &self,
        once: bool,
        signals: Signals,
        draw: impl FnMut(&Frame),
    ) -> Result<Summary, DemoError> {
        let url = self.server.url();
        let connector = Connector::new(&DatabaseUrl::new(url), &self.settings.database)?;
        Migrator::new(connector.clone()).up().await?;
        let observer = Observer::new(connector);
        let began = Instant::now();
        observer.enqueue(self.samples.iter().map(Sample::job).collect()).await?;
        let daemon = async {
            let ended = self.daemon().run(signals.clone()).await;
            // Without a daemon, one that couldn't start included, there is nothing to watch.
            signals.stop();
            ended
        };
        let watch = async {
            let watched = self.watch(once, &observer, &signals, draw).await;
            signals.stop();
            watched
        };
        let (ended, watched): (Result<Ended, StartError>, _) = tokio::join!(daemon, watch);
        ended?;
        watched?;
        let rows = observer.jobs().await?;
        Ok(Summary::of(&self.samples, &rows, began.elapsed()))
    }

    fn daemon(&self) -> Daemon {
        let daemon = Daemon::new(self.settings.clone(), self.environment.clone());
        handlers::add_to(daemon)
    }

    /// Draws, cancels the sample that wants it, and waits for the end.
    async fn watch(
        &self,
        once: bool,
        observer: &Observer,
        signals: &Signals,
        mut draw: impl FnMut(&Frame),
    ) -> Result<(), DemoError> {
        let began = Instant::now();
        let mut before = 0;
        loop {
            let rows = observer.jobs().await?;
            for job in samples::to_be_cancelled(&rows) {
                observer.cancel(job).await?;
            }
            let frame = Frame::of(&rows, before, FRAME, began.elapsed());
            before = frame.finished;
            draw(&frame);
            let ended = samples::have_ended(&self.samples, &rows);
            if once && (ended || began.elapsed() > LIMIT) {
                return Ok(());
            }
            if !once {
                observer.enqueue(samples::trickle()).await?;
            }
            if timeout(FRAME, signals.asked_to_stop()).await.is_ok() {
                return Ok(());
            }
            sleep(Duration::ZERO).await;
        }
    }
}

/// The usual port if it is free, else any other: a demo mustn't fail because a daemon runs already.
fn free_port() -> Option<SocketAddr> {
    const USUAL: u16 = 9464;
    let try_port = |port| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        listener.and_then(|listener| listener.local_addr()).ok()
    };
    try_port(USUAL).or_else(|| try_port(0))
}
