//! The migrations this binary carries, and the SQL text that prints.
//!
//! It exists so that the text lies in `migrations/` for people and in the binary for machines, and so
//! that a database administrator can run by hand exactly what the binary would run. It
//! deliberately reads no directory: what was compiled in is what is expected.

use std::borrow::Cow;
use std::fmt::Write as _;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::postgres::transaction::{self, Whole};

/// One migration's text, both ways.
#[derive(Debug)]
struct Script {
    version: i64,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

macro_rules! script {
    ($version:literal, $number:literal, $name:literal) => {
        Script {
            version: $version,
            name: $name,
            up: include_str!(concat!("../../../migrations/", $number, "_", $name, ".up.sql")),
            down: include_str!(concat!("../../../migrations/", $number, "_", $name, ".down.sql")),
        }
    };
}

/// Every migration, oldest first, without a gap.
const SCRIPTS: &[Script] = &[
    script!(1, "0001", "job"),
    script!(2, "0002", "history"),
    script!(3, "0003", "doorbell"),
    script!(4, "0004", "functions"),
    script!(5, "0005", "insight"),
    script!(6, "0006", "roles"),
    script!(7, "0007", "schedule"),
    script!(8, "0008", "audit"),
    script!(9, "0009", "request"),
];

/// The schema version this binary works with.
pub const EXPECTED_VERSION: i64 = SCRIPTS[SCRIPTS.len() - 1].version;

/// Roles, schema, owner and the table of versions.
pub(super) const PREPARE: Whole = Whole {
    protects: "whoever finds schema legwork finds its table of versions, and both have one owner.",
    statements: concat!(
        include_str!("prepare.sql"),
        "\n",
        include_str!("become_owner.sql"),
        "\n",
        include_str!("versions.sql"),
    ),
};

/// What each migration's transaction protects, one way and the other. sqlx's migrator begins it.
const STEP_PROTECTS: &str = "a version is recorded exactly where everything that it makes exists.";

/// Becoming the owner alone, for going down.
pub(super) const BECOME_OWNER: &str = include_str!("become_owner.sql");

/// Grants and partitions, after going up.
pub(super) const FINISH: Whole = Whole {
    protects: "a role has all of its grants or is as it was, and history's days have no gap.",
    statements: include_str!("finish.sql"),
};

/// The last of it, after going down to nothing.
pub(super) const REMOVE: Whole = Whole {
    protects: "a schema legwork of ours never stands without its table of versions.",
    statements: include_str!("remove.sql"),
};

/// The table in which sqlx keeps what was applied.
pub(super) const VERSIONS_TABLE: &str = "legwork.migration";

/// Which way a migration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the newest version.
    Up,
    /// Towards an empty database.
    Down,
}

/// All the SQL that brings an empty database up, or a current one down to nothing, for those who run it
/// by hand with psql. It records versions and checksums as the migrator does, so the two can be mixed.
pub fn sql(direction: Direction) -> String {
    let mut text = String::from(
        "-- Run as one session, for example with psql -X -v ON_ERROR_STOP=1 -f FILE: the session\n\
         -- becomes the schema's owner on the way.\n\nSET lock_timeout = '3s';\n\n",
    );
    match direction {
        Direction::Up => {
            text.push_str(&PREPARE.script());
            for migration in migrator().iter().filter(|m| m.migration_type.is_up_migration()) {
                let version = migration.version;
                let recorded = format!(
                    "INSERT INTO {VERSIONS_TABLE} (version, description, success, checksum, \
                     execution_time)\nVALUES ({version}, '{}', true, '\\x{}', -1);",
                    migration.description,
                    hex(&migration.checksum),
                );
                push_step(&mut text, migration, &recorded);
            }
            text.push('\n');
            text.push_str(&FINISH.script());
        }
        Direction::Down => {
            text.push_str(BECOME_OWNER);
            for migration in
                migrator().iter().rev().filter(|m| m.migration_type.is_down_migration())
            {
                let forgotten =
                    format!("DELETE FROM {VERSIONS_TABLE} WHERE version = {};", migration.version);
                push_step(&mut text, migration, &forgotten);
            }
            text.push('\n');
            text.push_str(&REMOVE.script());
        }
    }
    text
}

fn push_step(text: &mut String, migration: &Migration, bookkeeping: &str) {
    let statements = format!("{}\n{bookkeeping}", migration.sql.as_str());
    let _written = write!(
        text,
        "\n-- Migration {:04}, {}\n{}",
        migration.version,
        migration.description,
        transaction::script(STEP_PROTECTS, &statements),
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

/// Whether this binary carries that version.
pub(super) fn is_known(version: i64) -> bool {
    SCRIPTS.iter().any(|script| script.version == version)
}

/// sqlx's migrator over the compiled-in texts. Whoever runs it has taken a turn before, with the lock
/// that it would take itself.
pub(super) fn migrator() -> Migrator {
    let migrations = SCRIPTS
        .iter()
        .flat_map(|script| {
            [(MigrationType::ReversibleUp, script.up), (MigrationType::ReversibleDown, script.down)]
                .map(|(direction, text)| {
                    let name = Cow::Borrowed(script.name);
                    Migration::new(script.version, name, direction, text.into_sql_str(), false)
                })
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(VERSIONS_TABLE);
    migrator.set_locking(false);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_run_from_one_without_a_gap() {
        let versions: Vec<i64> = SCRIPTS.iter().map(|script| script.version).collect();
        let expected: Vec<i64> = (1..=EXPECTED_VERSION).collect();
        assert_eq!(versions, expected);
    }

    #[test]
    fn every_file_of_the_migrations_directory_is_carried() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut found: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut carried: Vec<String> = SCRIPTS
            .iter()
            .flat_map(|s| {
                ["down", "up"].map(|way| format!("{:04}_{}.{way}.sql", s.version, s.name))
            })
            .collect();
        carried.sort();
        assert_eq!(found, carried);
    }
}
