//! One session that migrates: connect, become the owner, apply, finish.
//!
//! It exists because everything here belongs to the session: the role it became, its lock timeout and
//! the advisory lock by which migrators take turns, which dies with the connection however the
//! process ends. So the connection is never a pool's and never outlives the work.

use std::time::Duration;

use sqlx::{Executor as _, migrate::Migrate as _, postgres::PgConnection};
use tokio::time::timeout;

use super::catalogue::{self, BECOME_OWNER, EXPECTED_VERSION, FINISH, PREPARE, REMOVE};
use super::error::MigrateError;
use super::state::{self, SchemaCheck};
use super::vigil::Backend;
use crate::postgres::Connector;

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
    backend: Backend,
}

impl Session {
    pub(super) async fn open(connector: &Connector) -> Result<Self, MigrateError> {
        let mut connection = connector.connect("migrate").await?;
        // Set after connecting, since a pooler refuses it as a startup parameter.
        let limiting = sqlx::query(include_str!("../sql/limit_session.sql"))
            .bind("0")
            .bind(format!("{}ms", LOCK_TIMEOUT.as_millis()))
            .execute(&mut connection);
        let limit = connector.statement_timeout();
        let limited = timeout(limit, limiting).await;
        limited.map_err(|_| MigrateError::Silent { limit })?.map_err(MigrateError::Limit)?;
        let own = timeout(limit, Backend::of(&mut connection)).await;
        let own = own.map_err(|_| MigrateError::Silent { limit })?;
        let backend = own.map_err(MigrateError::Limit)?;
        Ok(Self { connection, backend })
    }

    /// Who works for it on the server.
    pub(super) fn backend(&self) -> Backend {
        self.backend.clone()
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

    /// Waits until no other migrator works here; its turn lasts until `end_turn` or the session's end.
    pub(super) async fn take_turn(&mut self) -> Result<(), MigrateError> {
        self.connection.lock().await.map_err(MigrateError::Run)
    }

    pub(super) async fn end_turn(&mut self) -> Result<(), MigrateError> {
        self.connection.unlock().await.map_err(MigrateError::Run)
    }

    pub(super) async fn is_without_schema(&mut self) -> Result<bool, MigrateError> {
        let found = state::check(&mut self.connection).await?;
        Ok(matches!(found, SchemaCheck::Missing))
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
