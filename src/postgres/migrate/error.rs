//! What can go wrong while migrating, each with a sentence that says what to do.
//!
//! It exists because "error returned from database" helps nobody at three in the morning; the cause
//! is carried as the source and never repeated in the sentence.

use thiserror::Error;

use crate::postgres::{ConnectError, DbError, operations::is_forbidden, roles, session::broke};
use std::time::Duration;

use super::session::LOCK_TIMEOUT;
use super::vigil::Lost;

/// Postgres's code for "lock not available", which `lock_timeout` raises.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Why the schema couldn't be migrated or looked at.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// No session could be had.
    #[error("couldn't connect to the database to migrate it")]
    Connect(#[from] ConnectError),

    /// The server took the connection and said nothing more.
    #[error("the database didn't answer within {limit:?}")]
    Silent {
        /// How long was waited.
        limit: Duration,
    },

    /// The session's limits couldn't be set.
    #[error("couldn't limit the session that migrates")]
    Limit(#[source] sqlx::Error),

    /// Roles, schema or owner couldn't be made ready.
    #[error("couldn't prepare roles and schema for the migrations")]
    Prepare(#[source] sqlx::Error),

    /// One migration failed; it was rolled back whole.
    #[error("migration {version} failed and was rolled back; those before it are applied")]
    Apply {
        /// The migration.
        version: i64,
        /// Why.
        #[source]
        source: sqlx::Error,
    },

    /// sqlx's migrator failed outside of a migration.
    #[error("couldn't run the migrations")]
    Run(#[source] sqlx::migrate::MigrateError),

    /// A migration was applied from another text than this binary carries.
    #[error(
        "migration {version} was applied from a different text than this binary carries: \
         migrate with the release that applied it, or compare `legwork migrate sql` with the schema"
    )]
    Changed {
        /// The migration.
        version: i64,
    },

    /// The database was migrated by a newer binary.
    #[error(
        "the database has migration {found}, and this binary knows up to {expected}: \
         migrate with the newer release that applied it"
    )]
    Newer {
        /// The first version this binary doesn't know.
        found: i64,
        /// The newest version it knows.
        expected: i64,
    },

    /// Grants or partitions failed after the migrations themselves went well.
    #[error("the migrations are applied, but grants or partitions couldn't be brought up to date")]
    Finish(#[source] sqlx::Error),

    /// The emptied schema couldn't be removed.
    #[error("the migrations are taken back, but schema legwork couldn't be removed")]
    Remove(#[source] sqlx::Error),

    /// The table of versions couldn't be read.
    #[error("couldn't read which migrations are applied")]
    Read(#[source] sqlx::Error),

    /// Somebody else's lock stood in the way, each time.
    #[error(
        "another session holds a lock that the migration needs; it waited {tries} times {} s and \
         changed nothing more. Look for the session in pg_locks, end it or wait, and migrate again",
        LOCK_TIMEOUT.as_secs()
    )]
    Locked {
        /// How often it tried.
        tries: u32,
        /// The last failure.
        #[source]
        source: Box<MigrateError>,
    },

    /// There was nothing left to wait for before the migration had ended.
    #[error(
        "{}; whether the migration is applied is unknown. Each one is applied whole or not at all: \
         run `legwork migrate status` to see, and the same command again to go on",
        match .0 {
            Lost::Server(limit) => format!("the database can't be reached, for {limit:?} now"),
            Lost::Session => "the database has ended the migrating session".into(),
            Lost::Answer => "the migrating session's connection has fallen silent".into(),
        }
    )]
    Lost(Lost),

    /// `down` was given a version that doesn't exist.
    #[error("there is no version {target} to go down to: give 0 to {newest}")]
    UnknownTarget {
        /// What was asked for.
        target: i64,
        /// The newest version there is.
        newest: i64,
    },
}

impl MigrateError {
    /// What a look at the schema was told of a session that broke under it; any other error as it is.
    pub fn of_the_session(self) -> Result<DbError, Self> {
        match self {
            Self::Read(error) if broke(&error) => Ok(DbError::Statement(error)),
            other => Err(other),
        }
    }

    /// Whether waiting and trying again may help.
    pub(super) fn is_lock_timeout(&self) -> bool {
        let (Self::Prepare(source)
        | Self::Apply { source, .. }
        | Self::Finish(source)
        | Self::Remove(source)
        | Self::Run(
            sqlx::migrate::MigrateError::Execute(source)
            | sqlx::migrate::MigrateError::ExecuteMigration(source, _),
        )) = self
        else {
            return false;
        };
        source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == LOCK_NOT_AVAILABLE)
    }

    /// The role whose rights the session lacks, where that is why it failed.
    pub fn missing_role(&self) -> Option<&'static str> {
        let reads = matches!(self, Self::Read(_));
        is_forbidden(self).then_some(if reads { roles::READ } else { roles::MIGRATOR })
    }

    /// The same, once trying again has been given up.
    pub(super) fn after_tries(self, tries: u32) -> Self {
        Self::Locked { tries, source: Box::new(self) }
    }

    /// Reads sqlx's error as one of ours.
    pub(super) fn from_sqlx(error: sqlx::migrate::MigrateError, expected: i64) -> Self {
        match error {
            sqlx::migrate::MigrateError::ExecuteMigration(source, version) => {
                Self::Apply { version, source }
            }
            sqlx::migrate::MigrateError::VersionMismatch(version) => Self::Changed { version },
            sqlx::migrate::MigrateError::VersionMissing(found) => Self::Newer { found, expected },
            other => Self::Run(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn giving_up_on_a_lock_says_how_long_it_waited_and_where_to_look() {
        let given_up = MigrateError::Finish(sqlx::Error::PoolClosed).after_tries(10);
        let said = given_up.to_string();
        assert!(said.contains("waited 10 times 3 s") && said.contains("pg_locks"), "{said}");
    }

    #[test]
    fn what_is_no_lock_is_not_tried_again() {
        assert!(!MigrateError::Finish(sqlx::Error::PoolClosed).is_lock_timeout());
        assert!(!MigrateError::Silent { limit: Duration::ZERO }.is_lock_timeout());
    }

    #[test]
    fn a_look_is_of_the_session_where_that_broke() {
        let broken = sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        assert!(MigrateError::Read(broken).of_the_session().is_ok());
        assert!(MigrateError::Read(sqlx::Error::RowNotFound).of_the_session().is_err());
    }
}
