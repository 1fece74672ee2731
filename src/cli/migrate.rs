//! `legwork migrate`: the schema, up or down.
//!
//! It only calls the migrator and says what that did; the daemon never migrates by itself.

use super::{Context, exit::WrongSchema, moment::rfc3339, output::print, table::Table};
use crate::config::MissingUrl;
use crate::postgres::{
    Connector,
    migrate::{
        self, Applied, Direction, MigrateError, MigrationState, MigrationStatus, Migrator,
        SchemaCheck,
    },
};
use clap::Subcommand;
use serde::Serialize;

/// `legwork migrate …`
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum MigrateCommand {
    /// Apply every migration that is missing; safe while daemons run, and to run again
    Up,
    /// Take back every migration above a version
    Down {
        /// The version to go back to; 0 removes the schema and every job in it
        #[arg(long, value_name = "VERSION")]
        to: i64,
    },
    /// Say where each migration stands; exit code 3 if the schema isn't the one this binary needs
    Status,
    /// Print the migrations as SQL, for those who apply them by other means
    Sql {
        /// Print the way down instead of the way up
        #[arg(long)]
        down: bool,
    },
}

/// What a run did, for `--output json`.
#[derive(Serialize)]
struct Done {
    applied: Vec<i64>,
    version: i64,
}

/// One migration, for `--output json`.
#[derive(Serialize)]
struct Line {
    version: i64,
    name: String,
    state: &'static str,
    applied_at: Option<String>,
}

pub(super) async fn run(command: MigrateCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        MigrateCommand::Up => up(context).await,
        MigrateCommand::Down { to } => down(to, context).await,
        MigrateCommand::Status => status(context).await,
        MigrateCommand::Sql { down: false } => print(&migrate::sql(Direction::Up)),
        MigrateCommand::Sql { down: true } => print(&migrate::sql(Direction::Down)),
    }
}

fn migrator(context: &Context) -> anyhow::Result<Migrator> {
    let database = context.database()?;
    let url = database.url.as_ref().ok_or(MissingUrl)?;
    Ok(Migrator::new(Connector::new(url, &database).map_err(MigrateError::from)?))
}

async fn up(context: &Context) -> anyhow::Result<()> {
    let applied = migrator(context)?.up().await?;
    say_done(applied, "applied", context);
    Ok(())
}

async fn down(to: i64, context: &Context) -> anyhow::Result<()> {
    let applied = migrator(context)?.down(to).await?;
    say_done(applied, "took back", context);
    Ok(())
}

fn say_done(applied: Applied, verb: &str, context: &Context) {
    let done = Done { applied: applied.versions, version: applied.now_at };
    context.output.show_done(&done, |done| {
        let versions: Vec<String> = done.applied.iter().map(ToString::to_string).collect();
        match (versions.as_slice(), done.version) {
            ([], 0) => "nothing to do: there is no schema".into(),
            ([], version) => format!("nothing to do: the schema is at version {version}"),
            (_, 0) => format!("{verb} {}; there is no schema any more", versions.join(", ")),
            (_, version) => {
                format!("{verb} {}; the schema is at version {version}", versions.join(", "))
            }
        }
    });
}

async fn status(context: &Context) -> anyhow::Result<()> {
    let status = migrator(context)?.status().await?;
    let newer = status.iter().any(|m| matches!(m.state, MigrationState::Unknown { .. }));
    let fit = status.iter().all(|m| matches!(m.state, MigrationState::Applied { .. }));
    let lines: Vec<Line> = status.into_iter().map(line).collect();
    let found = lines.iter().filter(|l| l.applied_at.is_some()).map(|l| l.version).max();
    let shown = context.output.show(&lines, |lines| {
        let mut table =
            Table::new().number("VERSION").text("NAME", 40).text("STATE", 9).text("APPLIED AT", 30);
        for line in lines {
            let at = line.applied_at.clone().unwrap_or_default();
            table.row([line.version.to_string(), line.name.clone(), line.state.into(), at]);
        }
        table.render()
    });
    let expected = migrate::EXPECTED_VERSION;
    match found {
        // Where the schema stands is what the exit code tells, whoever reads the table.
        _ if fit => shown,
        None => Err(WrongSchema(SchemaCheck::Missing).into()),
        Some(found) if newer => Err(WrongSchema(SchemaCheck::Newer { found, expected }).into()),
        Some(found) => Err(WrongSchema(SchemaCheck::Older { found, expected }).into()),
    }
}

fn line(status: MigrationStatus) -> Line {
    let (state, at) = match status.state {
        MigrationState::Pending => ("pending", None),
        MigrationState::Applied { at } => ("applied", Some(at)),
        MigrationState::Changed { at } => ("changed", Some(at)),
        MigrationState::Unknown { at } => ("unknown", Some(at)),
    };
    Line { version: status.version, name: status.name, state, applied_at: at.map(rfc3339) }
}
