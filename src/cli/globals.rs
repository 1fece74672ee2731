//! Which global options have an effect on which command.
//!
//! An option that is accepted and ignored lets somebody believe that a command works on their database,
//! or with their file, when it doesn't. So it is refused, before anything is done. Environment variables
//! are none: they stand there for other commands.

use super::{
    args::{Command, Global},
    config::ConfigCommand,
    exit::Idle,
    migrate::MigrateCommand,
};

/// What a command does with them.
struct Takes {
    command: &'static str,
    config: bool,
    database_url: bool,
    output: bool,
    /// Why the others have no effect.
    why: &'static str,
}

impl Takes {
    const ALL: Self = Self { command: "", config: true, database_url: true, output: true, why: "" };
    const NONE: Self = Self { config: false, database_url: false, output: false, ..Self::ALL };

    fn nothing(command: &'static str, why: &'static str) -> Self {
        Self { command, why, ..Self::NONE }
    }

    /// Of one that asks a daemon, which the configuration may say where to find.
    fn asking(command: &'static str, reads_configuration: bool) -> Self {
        let why = if reads_configuration {
            "asks a daemon and no database"
        } else {
            "with --url asks there, whatever the configuration says"
        };
        Self { command, why, config: reads_configuration, database_url: false, ..Self::ALL }
    }

    /// Of every command; whoever adds one has to say it here.
    fn of(command: &Command) -> Self {
        if command.remote().is_named() {
            let command = command.group();
            let why = "with --url asks a daemon there, whatever the configuration says";
            return Self { command, why, config: false, database_url: false, ..Self::ALL };
        }
        match command {
            Command::Run(_) => Self {
                command: "run",
                output: false,
                why: "prints log lines and no result; log.format is their form",
                ..Self::ALL
            },
            Command::Demo(_) => Self {
                command: "demo",
                output: true,
                why: "has a database and a configuration of its own",
                ..Self::NONE
            },
            Command::Healthcheck(arguments) => {
                Self::asking("healthcheck", arguments.reads_configuration())
            }
            Command::Profile(command) => Self::asking("profile", command.reads_configuration()),
            Command::LogLevel(command) => Self::asking("log-level", command.reads_configuration()),
            Command::Config(command @ ConfigCommand::Reload(_)) => {
                Self::asking("config reload", command.reads_configuration())
            }
            Command::Migrate(MigrateCommand::Sql { .. }) => {
                Self::nothing("migrate sql", "prints SQL that is always the same")
            }
            Command::Config(ConfigCommand::Default) => {
                Self::nothing("config default", "prints a file that is always the same")
            }
            Command::Config(ConfigCommand::Schema) => {
                Self::nothing("config schema", "prints a schema that is always the same")
            }
            Command::Completions(_) => {
                Self::nothing("completions", "prints a script that is always the same")
            }
            Command::Man(_) => Self::nothing("man", "prints pages that are always the same"),
            Command::Migrate(
                MigrateCommand::Up | MigrateCommand::Down { .. } | MigrateCommand::Status,
            )
            | Command::Config(ConfigCommand::Check | ConfigCommand::Show)
            | Command::Bench(_)
            | Command::Enqueue(_)
            | Command::Job(_)
            | Command::Operation(_)
            | Command::Queue(_)
            | Command::Daemon(_)
            | Command::Schedule(_)
            | Command::Audit(_) => Self::ALL,
        }
    }
}

/// Refuses an option that would have no effect on the command.
pub(super) fn refuse_idle(global: &Global, command: &Command) -> anyhow::Result<()> {
    let Takes { command, config, database_url, output, why } = Takes::of(command);
    let given = [
        ("--config", global.config.is_some(), config),
        ("--database-url", global.database_url.is_some(), database_url),
        ("--output", global.output.is_some(), output),
    ];
    match given.into_iter().find(|(_, is_given, has_effect)| *is_given && !has_effect) {
        Some((option, ..)) => Err(Idle { option, command, why }.into()),
        None => Ok(()),
    }
}
