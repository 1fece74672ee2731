//! `legwork config`: is it right, what holds, what could be said.
//!
//! It exists so that a mistake is found before a daemon is restarted with it. No database is asked.

mod reload;

use super::{
    Context, finish,
    output::{print, say},
    table::Table,
};
use crate::{
    config::{self, ScheduleSettings},
    daemon::StartError,
    postgres::Connector,
    schedule::Moment,
};
use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use std::time::UNIX_EPOCH;

/// `legwork config …`
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check file, environment and flags; every mistake is listed, and the exit code is 78 if any
    Check,
    /// Show each value that holds and where it comes from; passwords are blotted out
    Show,
    /// Have a running daemon read its configuration again, as HUP does, and say what came of it
    Reload(reload::ReloadArguments),
    /// Print a commented legwork.toml with every key and its default
    Default,
    /// Print a JSON Schema of legwork.toml, which has an editor complete and check it
    Schema,
}

impl ConfigCommand {
    /// Whether `reload` has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        match self {
            Self::Reload(arguments) => arguments.whom.is_configured(),
            _ => true,
        }
    }
}

/// What `config check` prints where nothing is wrong.
#[derive(Serialize)]
struct Checked {
    file: Option<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<Fires>,
}

/// When a schedule fires next, by this machine's clock; daemons go by the database's.
#[derive(Serialize)]
struct Fires {
    schedule: String,
    next: Vec<String>,
    /// The same, as the clocks of its zone show it.
    #[serde(skip)]
    shown: Vec<String>,
}

impl Fires {
    /// How many instants are shown of each.
    const SHOWN: usize = 3;

    fn of(schedule: &ScheduleSettings) -> Self {
        let now = UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64());
        let next = schedule.rule.next(Moment::of(now), Self::SHOWN);
        Self {
            schedule: schedule.name.to_string(),
            next: next.iter().map(Moment::to_string).collect(),
            shown: next.iter().map(|at| schedule.rule.zone().shown(*at)).collect(),
        }
    }
}

pub(super) fn run(command: ConfigCommand, context: &Context) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show => show(context),
        ConfigCommand::Reload(arguments) => finish(reload::run(&arguments, context)),
        ConfigCommand::Default => print(config::default_file()),
        ConfigCommand::Schema => print(&config::schema()),
    }
}

fn check(context: &Context) -> anyhow::Result<()> {
    let loaded = config::load(&context.source.clone().without_rust_handlers())?;
    let database = &loaded.settings.database;
    let mut warnings = loaded.warnings.clone();
    match loaded.settings.database_url() {
        // Not a mistake here: the file may be checked where the secret isn't.
        Err(missing) => warnings.push(format!("{missing}; `legwork run` refuses to start")),
        // The driver's own variables (PGHOST, PGSSLMODE) may lead to what isn't allowed.
        Ok(url) => Connector::new(url, database)
            .map(drop)
            .map_err(StartError::from)
            .with_context(|| format!("database.url, from {}", loaded.show()[0].source))?,
    }
    let file = loaded.file.map(|path| path.display().to_string());
    for warning in &warnings {
        say(&format!("warning: {warning}"));
    }
    let schedules = loaded.settings.schedules.iter().map(Fires::of).collect();
    context.output.show(&Checked { file, warnings, schedules }, |checked| {
        let valid = match &checked.file {
            Some(file) => format!("{file} is valid"),
            None => "no file; environment and defaults are valid".into(),
        };
        let fires = |fires: &Fires| {
            format!("\nschedule {} fires at {}", fires.schedule, fires.shown.join(", "))
        };
        let fires: String = checked.schedules.iter().map(fires).collect();
        format!("{valid}{fires}")
    })
}

fn show(context: &Context) -> anyhow::Result<()> {
    let loaded = config::load(&context.source)?;
    context.output.show(&loaded.show(), |shown| {
        // A URL or a place of which the end is missing would be no answer.
        let whole = usize::MAX;
        let columns = Table::new().text("KEY", whole).text("VALUE", whole).text("SOURCE", whole);
        let mut table = columns.uncut();
        for line in *shown {
            table.row([line.key.clone(), line.value.clone(), line.source.clone()]);
        }
        table.render()
    })
}
