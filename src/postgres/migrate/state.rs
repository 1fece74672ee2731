//! Where a database's schema stands, against what this binary expects.
//!
//! It exists for the daemon's start, which refuses a schema it can't work with, and for `migrate
//! status`. It only reads.

use std::fmt;

use sqlx::postgres::PgConnection;
use time::OffsetDateTime;

use super::catalogue::{self, EXPECTED_VERSION};
use super::error::MigrateError;

/// The schema of a database, as this binary sees it. Displays as a sentence that names the command to
/// run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaCheck {
    /// Exactly what this binary expects.
    Current,
    /// There is no schema.
    Missing,
    /// An older schema: migrate.
    Older {
        /// The newest version applied.
        found: i64,
        /// The version this binary needs.
        expected: i64,
    },
    /// A newer schema: this binary is the older one.
    Newer {
        /// The newest version applied.
        found: i64,
        /// The version this binary knows.
        expected: i64,
    },
}

impl SchemaCheck {
    /// What a schema of this version is to this binary.
    pub fn of(found: i64) -> Self {
        let expected = EXPECTED_VERSION;
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => Self::Older { found, expected },
            std::cmp::Ordering::Equal => Self::Current,
            std::cmp::Ordering::Greater => Self::Newer { found, expected },
        }
    }

    /// The newest version applied; 0 is no schema.
    pub fn version(self) -> i64 {
        match self {
            Self::Missing => 0,
            Self::Current => EXPECTED_VERSION,
            Self::Older { found, .. } | Self::Newer { found, .. } => found,
        }
    }
}

impl fmt::Display for SchemaCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => write!(f, "the schema is current (version {EXPECTED_VERSION})"),
            Self::Missing => {
                write!(f, "the database has no legwork schema: run `legwork migrate up`")
            }
            Self::Older { found, expected } => write!(
                f,
                "the schema is at version {found} and this binary needs {expected}: run \
                 `legwork migrate up`"
            ),
            Self::Newer { found, expected } => write!(
                f,
                "the schema is at version {found} and this binary knows {expected}: run the newer \
                 release, or with that release `legwork migrate down --to {expected}`"
            ),
        }
    }
}

/// One migration and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: MigrationState,
}

/// Where a migration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// Known here, not applied there.
    Pending,
    /// Applied.
    Applied {
        /// When.
        at: OffsetDateTime,
    },
    /// Applied from another text than this binary carries.
    Changed {
        /// When.
        at: OffsetDateTime,
    },
    /// Applied by a newer release; unknown here.
    Unknown {
        /// When.
        at: OffsetDateTime,
    },
}

/// Whether the session's role may do what [`check`] does. Who only enqueues or steers may not, and to try would leave an error
/// in the server's log.
pub async fn may_check(connection: &mut PgConnection) -> Result<bool, MigrateError> {
    let asked = sqlx::query_scalar(include_str!("../sql/may_check_schema.sql"));
    asked.persistent(false).fetch_one(connection).await.map_err(MigrateError::Read)
}

/// Compares the database's schema with what this binary expects.
///
/// Needs no more than SELECT on the table of versions.
pub async fn check(connection: &mut PgConnection) -> Result<SchemaCheck, MigrateError> {
    if !has_versions(connection).await? {
        return Ok(SchemaCheck::Missing);
    }
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM legwork.migration")
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(MigrateError::Read)?;
    Ok(SchemaCheck::of(newest.unwrap_or(0)))
}

/// The applied versions, oldest first; none where there is no schema.
pub(super) async fn versions(connection: &mut PgConnection) -> Result<Vec<i64>, MigrateError> {
    let applied = applied(connection).await?;
    Ok(applied.into_iter().map(|row| row.version).collect())
}

/// The known and the applied migrations, merged.
pub(super) async fn status(
    connection: &mut PgConnection,
) -> Result<Vec<MigrationStatus>, MigrateError> {
    let mut applied = applied(connection).await?;
    let mut status = Vec::new();
    for known in catalogue::migrator().iter().filter(|m| m.migration_type.is_up_migration()) {
        let here = applied.iter().position(|row| row.version == known.version);
        let state = match here.map(|index| applied.remove(index)) {
            None => MigrationState::Pending,
            Some(row) if row.checksum == *known.checksum => {
                MigrationState::Applied { at: row.installed_on }
            }
            Some(row) => MigrationState::Changed { at: row.installed_on },
        };
        let (version, name) = (known.version, known.description.clone().into_owned());
        status.push(MigrationStatus { version, name, state });
    }
    status.extend(applied.into_iter().map(|row| MigrationStatus {
        version: row.version,
        name: row.description,
        state: MigrationState::Unknown { at: row.installed_on },
    }));
    Ok(status)
}

struct Row {
    version: i64,
    description: String,
    checksum: Vec<u8>,
    installed_on: OffsetDateTime,
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<Row>, MigrateError> {
    if !has_versions(connection).await? {
        return Ok(Vec::new());
    }
    let rows: Vec<(i64, String, Vec<u8>, OffsetDateTime)> = sqlx::query_as(
        "SELECT version, description, checksum, installed_on FROM legwork.migration ORDER BY version",
    )
    .fetch_all(connection)
    .await
    .map_err(MigrateError::Read)?;
    let row = |(version, description, checksum, installed_on)| Row {
        version,
        description,
        checksum,
        installed_on,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn has_versions(connection: &mut PgConnection) -> Result<bool, MigrateError> {
    sqlx::query_scalar("SELECT to_regclass('legwork.migration') IS NOT NULL")
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(MigrateError::Read)
}
