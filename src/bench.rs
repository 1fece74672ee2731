//! The daemon, measured against a server of yours: `drain`, `latency`, `enqueue`, `pinned`, `backlog`,
//! `fleet`.
//!
//! It exists so that a figure can be had where it matters, on one's own machine, and compared with
//! that of other queues: the works and the fields are those in `docs/benchmarks.md`. What runs is
//! the daemon as it ships, in this process, in a database that is made for the run and dropped after
//! it. It touches nothing else on that server, and it has no opinion on what a good figure is.

mod backlog;
mod drain;
mod enqueue;
mod fleet;
mod gauge;
mod handler;
mod latency;
mod pinned;
mod report;
mod wait;

pub use report::Report;

use crate::{
    config::{
        Database, DatabaseUrl, Environment, HandlerSettings, KindSettings, MissingUrl,
        QueueSettings, Retentions, Settings,
    },
    daemon::{Daemon, Signals, TrialError},
    job::{KindName, Retention},
    postgres::{BenchSession, Connector, DbError, enqueue::NewJob, migrate::Migrator},
};
use futures::{StreamExt, stream::FuturesUnordered};
use handler::{Stamping, Stamps};
use report::Figures;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Jobs that run at once: four claims in hand while four more are being completed.
const CONCURRENCY: u32 = 8000;
/// Jobs that one statement claims.
const CLAIM_BATCH: u32 = 1000;
/// Verdicts that one statement writes.
const FLUSH_MAX_ROWS: usize = 1000;
/// Between two renewals of the lease: several fall into a drain, which is over before the default
/// interval is. The lease is as long as it is by default, so that a machine that stands still for a
/// second spoils no run.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Jobs that haven't ended by then never will.
const LIMIT: Duration = Duration::from_mins(10);
/// Until a daemon listens and its doorbell is on.
const SETTLE: Duration = Duration::from_millis(1500);
/// The kind of every job here.
const KIND: &str = "noop";

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// How fast a backlog is worked off.
    Drain,
    /// How long a job waits while little happens.
    Latency {
        /// Inserts a second.
        rate: u32,
    },
    /// How fast jobs come in.
    Enqueue {
        /// Numbers of clients that insert beside a daemon and into a bare table.
        clients: Vec<u16>,
        /// How long each inserts, on either side.
        each: Duration,
    },
    /// How the rate holds while a snapshot is held.
    Pinned,
    /// What a claim costs as jobs pile up.
    Backlog,
    /// How the rate holds as daemons are added.
    Fleet {
        /// The largest fleet.
        daemons: u32,
    },
}

impl Work {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Latency { .. } => "latency",
            Self::Enqueue { .. } => "enqueue",
            Self::Pinned => "pinned",
            Self::Backlog => "backlog",
            Self::Fleet { .. } => "fleet",
        }
    }
}

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Bench {
    /// What.
    pub work: Work,
    /// How many jobs.
    pub jobs: u64,
    /// Whether finished jobs are kept.
    pub history: bool,
    /// The server; its own database is only used to make another.
    pub database: Database,
    /// The process's environment, for the daemon.
    pub environment: Environment,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What goes on.
    pub doing: &'static str,
    /// Jobs done.
    pub done: u64,
    /// Jobs in all.
    pub of: u64,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No server was named.
    #[error(transparent)]
    NoDatabase(MissingUrl),
    /// A step failed.
    #[error(transparent)]
    Trial(TrialError),
    /// The daemon ended in the middle.
    #[error("the daemon ended before its jobs did")]
    Ended,
    /// It took too long.
    #[error("after {} s {done} of {of} jobs were handled", LIMIT.as_secs())]
    Limit {
        /// Handled.
        done: u64,
        /// In all.
        of: u64,
    },
    /// Its end isn't written down.
    #[error("{} s after the last of {jobs} jobs was handled some are still in the table", LIMIT.as_secs())]
    Kept {
        /// In all.
        jobs: u64,
    },
    /// Its database is there still.
    #[error("the database {name} couldn't be dropped: drop it yourself")]
    Left {
        /// What it is called.
        name: String,
        /// Why.
        #[source]
        error: DbError,
    },
    /// Somebody stopped it.
    #[error("stopped before it was over")]
    Interrupted,
}

impl<E: Into<TrialError>> From<E> for BenchError {
    fn from(error: E) -> Self {
        Self::Trial(error.into())
    }
}

impl Bench {
    /// Makes the database, measures, drops the database. Figures are had even where it can't be dropped.
    pub async fn run(
        &self,
        signals: &Signals,
        show: &impl Fn(Progress),
    ) -> Result<(Report, Result<(), BenchError>), BenchError> {
        let url = self.database.url.as_ref().ok_or(BenchError::NoDatabase(MissingUrl))?;
        let name = format!("legwork_bench_{:08x}", fastrand::u32(..));
        let mut server = BenchSession::new(Connector::new(url, &self.database)?);
        let settings = server.server_settings().await?;
        server.create_database(&name).await?;
        let bed = self.bed(with_database(url, &name), settings);
        let measured = match bed {
            Ok(bed) => Box::pin(bed.measure(signals, show)).await,
            Err(error) => Err(error),
        };
        let dropped = server.drop_database(&name).await;
        Ok((measured?, dropped.map_err(|error| BenchError::Left { name, error })))
    }

    fn bed(&self, url: DatabaseUrl, server: ServerSettings) -> Result<Bed<'_>, BenchError> {
        let connector = Connector::new(&url, &self.database)?;
        Ok(Bed { bench: self, url, connector, server })
    }

    /// The daemon's settings: the defaults, but for batches, slots, heartbeats, history and the port.
    fn settings(&self, url: DatabaseUrl) -> Settings {
        let kinds = vec![KindSettings::new(noop(), HandlerSettings::Noop)];
        let mut settings = Settings { kinds, ..Settings::default() };
        settings.database = Database { url: Some(url), ..self.database.clone() };
        settings.admin.listen = None;
        settings.daemon.heartbeat_interval = HEARTBEAT;
        settings.claim.batch = CLAIM_BATCH;
        settings.complete.flush_max_rows = FLUSH_MAX_ROWS;
        if !self.history {
            let none = Retention::None;
            settings.retention = Retentions { completed: none, cancelled: none, discarded: none };
        }
        if self.work == Work::Backlog {
            settings.queues.push(QueueSettings::new(backlog::paused(), settings.retention));
        }
        for queue in &mut settings.queues {
            queue.concurrency = CONCURRENCY;
            queue.retention = settings.retention;
        }
        settings
    }
}

/// A database that exists for one run.
struct Bed<'b> {
    bench: &'b Bench,
    url: DatabaseUrl,
    connector: Connector,
    /// What held on the server.
    server: ServerSettings,
}

/// Names and values of settings.
type ServerSettings = BTreeMap<String, String>;

impl Bed<'_> {
    async fn measure(
        &self,
        signals: &Signals,
        show: &impl Fn(Progress),
    ) -> Result<Report, BenchError> {
        let migrator = Migrator::new(self.connector.clone());
        or_stopped(signals, async { Ok(migrator.up().await?) }).await?;
        match &self.bench.work {
            Work::Drain => Box::pin(drain::measure(self, signals, show)).await,
            Work::Latency { rate } => {
                Box::pin(latency::measure(self, signals, show, (*rate).max(1))).await
            }
            Work::Enqueue { clients, each } => {
                Box::pin(enqueue::measure(self, signals, show, (clients, *each))).await
            }
            Work::Pinned => Box::pin(pinned::measure(self, signals, show)).await,
            Work::Backlog => Box::pin(backlog::measure(self, signals, show)).await,
            Work::Fleet { daemons } => {
                Box::pin(fleet::measure(self, signals, show, (*daemons).max(1))).await
            }
        }
    }

    async fn report(&self, jobs: u64, figures: Figures) -> Result<Report, BenchError> {
        let dead_rows = self.dead_rows().await?;
        Ok(Report::new(self.bench, self.server.clone(), (jobs, dead_rows), figures))
    }

    /// Dead rows, once no daemon is connected any more: by then the server has been told of all.
    async fn dead_rows(&self) -> Result<i64, BenchError> {
        let mut session = self.session();
        wait::left(&mut session).await?;
        Ok(session.dead_rows().await?)
    }

    fn session(&self) -> BenchSession {
        BenchSession::new(self.connector.clone())
    }

    fn daemon(&self, stamps: &Arc<Stamps>) -> Daemon {
        let settings = self.bench.settings(self.url.clone());
        let daemon = Daemon::new(settings, self.bench.environment.clone());
        daemon.with_handler(noop(), Stamping::new(stamps))
    }
}

/// Runs these daemons for as long as `work` takes.
async fn beside<T>(
    daemons: Vec<Daemon>,
    signals: &Signals,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    let own = Signals::default();
    let running = daemons.into_iter().map(|daemon| Box::pin(daemon.run_with(own.clone())));
    let mut running: FuturesUnordered<_> = running.collect();
    let done = tokio::select! {
        Some(ended) = running.next() => {
            return Err(ended.err().map_or(BenchError::Ended, Into::into));
        }
        done = or_stopped(signals, work) => done,
    };
    own.stop();
    while let Some(ended) = running.next().await {
        ended?;
    }
    done
}

async fn or_stopped<T>(
    signals: &Signals,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    tokio::select! {
        done = work => done,
        () = signals.asked_to_stop() => Err(BenchError::Interrupted),
    }
}

/// The job that works consist of.
fn job() -> NewJob {
    NewJob::new(noop())
}

fn noop() -> KindName {
    KindName::new(KIND).expect("`noop` is a name")
}

/// The same server, another database.
fn with_database(url: &DatabaseUrl, name: &str) -> DatabaseUrl {
    let url = url.expose();
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    let (place, options) = url.split_at(url.find('?').unwrap_or(url.len()));
    let end = place[authority..].find('/').map_or(place.len(), |at| authority + at);
    DatabaseUrl::new(format!("{}/{name}{options}", &place[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_database("postgres://u:p@h:5432/app", "postgres://u:p@h:5432/b")]
    #[case::none("postgres://h", "postgres://h/b")]
    #[case::a_socket("postgres:///app?host=/run/pg", "postgres:///b?host=/run/pg")]
    #[case::options("postgres://h/app?sslmode=require", "postgres://h/b?sslmode=require")]
    #[case::options_alone("postgres://h?sslmode=require", "postgres://h/b?sslmode=require")]
    fn the_database_of_a_url_is_exchanged(#[case] url: &str, #[case] expected: &str) {
        let exchanged = with_database(&DatabaseUrl::new(url), "b");
        assert_eq!(exchanged.expose(), expected);
    }
}
