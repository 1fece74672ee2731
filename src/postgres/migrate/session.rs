//! One session that migrates: connect, become the owner, apply, finish.
//!
//! It exists because everything here belongs to the session: the role it became, its lock timeout and
//! the advisory lock by which migrators take turns, which dies with the connection however the
//! process ends. So the connection is never a pool's and never outlives the work.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::time::timeout;

use super::catalogue::{self, BECOME_OWNER, EXPECTED_VERSION, FINISH, PREPARE, REMOVE};
use super::error::MigrateError;
use super::{Address, state};
use crate::postgres::connect::Connector;

/// How long one statement waits for a lock. Everything that queues behind a waiting ALTER TABLE waits
/// with it, producers too, so this is what a migration may cost them.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// How often to try again when a lock was in the way: with the pauses about 40 s in all, which
/// outlives a VACUUM of a busy table and another migrator's work, and not a forgotten transaction.
pub(super) const LOCK_ATTEMPTS: u32 = 10;

/// Pause between those tries, in which whoever queued behind us gets through.
pub(super) const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// A dedicated connection, set up for migrating.
pub(super) struct Session {
    connection: PgConnection,
}

impl Session {
    pub(super) async fn open(Address(database): &Address) -> Result<Self, MigrateError> {
        let url = database.url.as_ref().ok_or(MigrateError::NoAddress)?;
        let connector = Connector::new(url, database).map_err(MigrateError::Address)?;
        let limit = connector.connect_timeout();
        let mut connection = timeout(limit, connector.options("migrate").connect())
            .await
            .map_err(|_elapsed| MigrateError::ConnectTimeout { limit })?
            .map_err(MigrateError::Connect)?;
        // Set after connecting, since a pooler refuses it as a startup parameter.
        sqlx::query(
            "SELECT set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false)",
        )
        .bind(format!("{}ms", LOCK_TIMEOUT.as_millis()))
        .execute(&mut connection)
        .await
        .map_err(MigrateError::Connect)?;
        Ok(Self { connection })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(super) async fn prepare(&mut self) -> Result<(), MigrateError> {
        PREPARE.run(&mut self.connection).await.map_err(MigrateError::Prepare)
    }

    pub(super) async fn become_owner(&mut self) -> Result<(), MigrateError> {
        self.connection.execute(BECOME_OWNER).await.map_err(MigrateError::Prepare)?;
        Ok(())
    }

    pub(super) async fn apply(&mut self) -> Result<(), MigrateError> {
        let migrator = catalogue::migrator();
        let applied = migrator.run(&mut self.connection).await;
        applied.map_err(|error| MigrateError::from_sqlx(error, EXPECTED_VERSION))
    }

    pub(super) async fn revert(&mut self, target: i64) -> Result<(), MigrateError> {
        let migrator = catalogue::migrator();
        let reverted = migrator.undo(&mut self.connection, target).await;
        reverted.map_err(|error| MigrateError::from_sqlx(error, EXPECTED_VERSION))
    }

    pub(super) async fn finish(&mut self) -> Result<(), MigrateError> {
        FINISH.run(&mut self.connection).await.map_err(MigrateError::Finish)
    }

    pub(super) async fn remove(&mut self) -> Result<(), MigrateError> {
        REMOVE.run(&mut self.connection).await.map_err(MigrateError::Remove)
    }

    pub(super) async fn versions(&mut self) -> Result<Vec<i64>, MigrateError> {
        state::versions(&mut self.connection).await
    }
}
