//! The migrator: brings schema `legwork` up or down, and says where it stands.
//!
//! It exists because an operator must be able to migrate from the one binary, while daemons run, with
//! two migrators at once and with a clear sentence for everything that can be wrong. sqlx's migrator
//! does the applying (one transaction a migration, checksums); this room adds the roles and the
//! owner before it, grants and history's partitions after it, and bounded waiting for locks. ADR
//! 0008 gives the reasons.
//!
//! It deliberately knows nothing of what the migrations contain, and never runs by itself: a daemon
//! only asks [`check`].

mod catalogue;
mod error;
mod session;
mod state;
mod vigil;

use crate::config::{DatabaseUrl, Settings};
use crate::postgres::Connector;
use tokio::time::{sleep, timeout};

pub use catalogue::{Direction, EXPECTED_VERSION, sql};
pub use error::MigrateError;
pub use state::{MigrationState, MigrationStatus, SchemaCheck, check, may_check};
pub use vigil::Lost;

use session::{LOCK_ATTEMPTS, LOCK_PAUSE, Session};

/// What a run of the migrator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The versions applied (going up) or taken back (going down), in the order in which that happened.
    pub versions: Vec<i64>,
    /// The version at which the schema stands now; 0 is no schema.
    pub now_at: i64,
}

/// [`Migrator::up`] at an address, with `[database]` as it is by default: another machine is talked
/// to by TLS or not at all.
pub async fn up(url: &str) -> Result<Applied, MigrateError> {
    by_default(url)?.up().await
}

/// [`Migrator::down`] at an address, with `[database]` as it is by default.
pub async fn down(url: &str, target: i64) -> Result<Applied, MigrateError> {
    by_default(url)?.down(target).await
}

/// [`Migrator::status`] at an address, with `[database]` as it is by default.
pub async fn status(url: &str) -> Result<Vec<MigrationStatus>, MigrateError> {
    by_default(url)?.status().await
}

fn by_default(url: &str) -> Result<Migrator, MigrateError> {
    let url = DatabaseUrl::new(url);
    let mut database = Settings::default().database;
    let asked = url.read().ok().and_then(|address| address.connect_timeout());
    database.connect_timeout = asked.unwrap_or(database.connect_timeout);
    Ok(Migrator::new(Connector::new(&url, &database)?))
}

/// Migrates one database.
#[derive(Debug, Clone)]
pub struct Migrator {
    connector: Connector,
}

impl Migrator {
    /// It connects when it is asked for something.
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    /// Applies every migration that is missing, then grants what roles lack and makes history's
    /// partitions for the next five weeks.
    ///
    /// Can be run at any time, while daemons work and beside another migrator.
    pub async fn up(&self) -> Result<Applied, MigrateError> {
        self.run(Task::Up).await
    }

    /// Takes back every migration above `target`, newest first. With `target` 0 the schema is removed
    /// and the unfinished jobs in it are lost; the roles stay, because they are the cluster's.
    pub async fn down(&self, target: i64) -> Result<Applied, MigrateError> {
        if target != 0 && !catalogue::is_known(target) {
            return Err(MigrateError::UnknownTarget { target, newest: EXPECTED_VERSION });
        }
        self.run(Task::Down { target }).await
    }

    /// Every migration this binary or the database knows, oldest first, and where each stands.
    pub async fn status(&self) -> Result<Vec<MigrationStatus>, MigrateError> {
        let mut session = Session::open(&self.connector).await?;
        let limit = self.connector.statement_timeout();
        let looked = timeout(limit, state::status(session.connection())).await;
        looked.map_err(|_| MigrateError::Silent { limit })?
    }

    /// Does the task, again from the start while a lock is in the way. Each try has a session of its
    /// own: what a failed one had locked or left open ends with it. What it had done stays done.
    async fn run(&self, task: Task) -> Result<Applied, MigrateError> {
        let (mut tries, mut versions) = (1, Vec::new());
        loop {
            let session = Session::open(&self.connector).await?;
            let backend = session.backend();
            let work = async {
                match task {
                    Task::Up => go_up(session, &mut versions).await,
                    Task::Down { target } => go_down(session, target, &mut versions).await,
                }
            };
            match Box::pin(backend.watched(&self.connector, work)).await {
                Err(error) if error.is_lock_timeout() && tries < LOCK_ATTEMPTS => {
                    tracing::info!(tries, "migration is waiting for a lock");
                    sleep(LOCK_PAUSE).await;
                    tries += 1;
                }
                Err(error) if error.is_lock_timeout() => return Err(error.after_tries(tries)),
                done => return done.map(|now_at| Applied { versions, now_at }),
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Up,
    Down { target: i64 },
}

/// Notes the versions that it applies; what is between the two looks is its own, since it is its turn.
async fn go_up(mut session: Session, versions: &mut Vec<i64>) -> Result<i64, MigrateError> {
    session.prepare().await?;
    session.take_turn().await?;
    let before = session.versions().await?;
    let applied = session.apply().await;
    // A step that failed takes back none of those before it.
    let after = session.versions().await;
    versions.extend(after.iter().flatten().filter(|version| !before.contains(version)));
    applied?;
    let after = after?;
    session.end_turn().await?;
    session.finish().await?;
    Ok(after.last().copied().unwrap_or(0))
}

/// Notes the versions that it takes back.
async fn go_down(
    mut session: Session,
    target: i64,
    versions: &mut Vec<i64>,
) -> Result<i64, MigrateError> {
    if session.is_without_schema().await? {
        return Ok(0);
    }
    session.become_owner().await?;
    session.take_turn().await?;
    // Whoever had the turn before may have left nothing.
    if session.is_without_schema().await? {
        return Ok(0);
    }
    let before = session.versions().await?;
    let reverted = session.revert(target).await;
    let after = session.versions().await;
    if let Ok(after) = &after {
        versions.extend(before.iter().rev().filter(|version| !after.contains(version)));
    }
    reverted?;
    let after = after?;
    if target == 0 {
        session.remove().await?;
    }
    session.end_turn().await?;
    Ok(after.last().copied().unwrap_or(0))
}
