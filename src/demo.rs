//! The demo: a private Postgres, sample jobs of every sort, the real daemon, and a live view.
//!
//! It exists so that somebody who has nothing but this program can see within seconds what a job's
//! life looks like, failures included. The samples know how each of them should end; what is
//! printed at the end is read from `legwork.jobs` after the daemon has stopped, so it can't flatter.
//! It never touches a database of yours.

mod handlers;
mod pace;
mod page;
mod receiver;
mod samples;
mod server;
mod view;

pub use page::Page;
pub use view::{Frame, Summary};

use crate::{
    config::{DatabaseUrl, Environment, QueueSettings, Settings},
    daemon::{Daemon, Ended, Signals, StartError, TrialError},
    embedded::{EmbeddedError, Options},
    postgres::{Connector, ObservedJob, Observer, migrate::Migrator},
};
use pace::Pace;
use receiver::Receiver;
use samples::Sample;
use server::Server;
use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};
use tokio::time::{Instant, timeout};

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
    /// No port for the receiver of webhooks.
    #[error("no port could be opened for the demo's own receiver")]
    Receiver(#[source] std::io::Error),
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
    /// Until it is served.
    receiver: Option<Receiver>,
    /// Open from the beginning, so that nobody takes the port that is shown before the daemon does.
    admin: Option<TcpListener>,
}

/// What is looked at twice a second.
struct Watched {
    observer: Observer,
    /// Jobs of the samples.
    samples: Vec<i64>,
    /// Served queues.
    queues: Vec<String>,
}

impl Watched {
    async fn samples(&self) -> Result<Vec<ObservedJob>, DemoError> {
        let scheduled = self.observer.first(samples::TICK).await?;
        let ids: Vec<i64> = self.samples.iter().copied().chain(scheduled).collect();
        Ok(self.observer.jobs(&ids).await?)
    }

    async fn frame(&self, elapsed: Duration) -> Result<Frame, DemoError> {
        let counts = self.observer.counts(&self.queues).await?;
        Ok(Frame::of(&counts, self.observer.running().await?, elapsed))
    }
}

impl Demo {
    /// Starts the private Postgres, or a container where there are no programs for one, and says
    /// which. Blocks for about a second, or for as long as the container takes.
    pub fn prepare(environment: Environment, say: impl Fn(&str)) -> Result<Self, DemoError> {
        let server = Server::start(Options::default(), &environment.search_path(), say)?;
        let samples = samples::all();
        let receiver = Receiver::open().map_err(DemoError::Receiver)?;
        let kinds = samples::kinds(receiver.address);
        let mut settings = Settings { kinds, ..Settings::default() };
        settings.schedules.extend(samples::schedule());
        settings.queues.push(QueueSettings::new(samples::programs(), settings.retention));
        settings.database.url = Some(DatabaseUrl::new(server.url()));
        let admin = open_port();
        let listen = admin.as_ref().and_then(|open| open.local_addr().ok());
        settings.admin.listen = listen;
        Ok(Self { server, settings, environment, samples, receiver: Some(receiver), admin })
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
        &mut self,
        once: bool,
        signals: Signals,
        draw: impl FnMut(&Frame),
    ) -> Result<Summary, DemoError> {
        let url = self.server.url();
        let connector = Connector::new(&DatabaseUrl::new(url), &self.settings.database)?;
        Migrator::new(connector.clone()).up().await?;
        let observer = Observer::new(connector);
        let began = Instant::now();
        observer.make_function().await?;
        observer.enqueue(self.samples.iter().filter_map(Sample::job).collect()).await?;
        let tags = self.samples.iter().map(|sample| sample.name.clone()).collect();
        let samples = observer.tagged(tags).await?;
        let queues = self.settings.queues.iter().map(|queue| queue.name.to_string()).collect();
        let watched = Watched { observer, samples, queues };
        let (daemon, received) = (self.daemon(), receive(self.receiver.take()));
        let daemon = async {
            let ended = daemon.run_with(signals.clone()).await;
            // Without a daemon, one that couldn't start included, there is nothing to watch.
            signals.stop();
            ended
        };
        let watch = async {
            let done = self.watch(once, &watched, &signals, draw).await;
            signals.stop();
            done
        };
        let work = async { tokio::join!(daemon, watch) };
        let (ended, done): (Result<Ended, StartError>, _) = tokio::select! {
            both = work => both,
            never = received => match never {},
        };
        ended?;
        done?;
        let counts = watched.observer.counts(&watched.queues).await?;
        let rows = watched.samples().await?;
        Ok(Summary::of(&self.samples, &rows, &counts, began.elapsed()))
    }

    fn daemon(&mut self) -> Daemon {
        let daemon = Daemon::new(self.settings.clone(), self.environment.clone());
        let daemon = handlers::add_to(daemon);
        match self.admin.take() {
            Some(open) => daemon.with_admin_port(open),
            None => daemon,
        }
    }

    /// Draws, cancels the sample that wants it, and waits for the end.
    async fn watch(
        &self,
        once: bool,
        watched: &Watched,
        signals: &Signals,
        mut draw: impl FnMut(&Frame),
    ) -> Result<(), DemoError> {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        loop {
            let began = Instant::now();
            if pace.is_due(began) {
                let rows = watched.samples().await?;
                for job in samples::to_be_cancelled(&rows) {
                    watched.observer.cancel(job).await?;
                }
                let mut frame = watched.frame(start.elapsed()).await?;
                frame.rate = pace.looked(began, Instant::now(), frame.finished);
                draw(&frame);
                let ended = samples::have_ended(&self.samples, &rows);
                if once && (ended || start.elapsed() > LIMIT) {
                    return Ok(());
                }
            }
            if !once {
                watched.observer.enqueue(samples::trickle()).await?;
            }
            if timeout(FRAME, signals.asked_to_stop()).await.is_ok() {
                return Ok(());
            }
        }
    }
}

/// Serves the receiver. Were it to break, its jobs would say so.
async fn receive(receiver: Option<Receiver>) -> Infallible {
    if let Some(receiver) = receiver {
        receiver.serve().await.ok();
    }
    std::future::pending().await
}

/// The usual port if it is free, else any other: a demo mustn't fail because a daemon runs already.
fn open_port() -> Option<TcpListener> {
    const USUAL: u16 = 9464;
    let try_port = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    try_port(USUAL).or_else(|| try_port(0))
}
