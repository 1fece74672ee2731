//! The command line: from arguments to an exit code.
//!
//! Each command is a module of its name under `cli/`; the operations that they call live in
//! `postgres::operations`, where the HTTP API finds the same ones. This is the only room that uses
//! anyhow: here errors end, as text for people and as one of seven exit codes.

mod args;
mod audit;
mod bench;
mod completions;
mod config;
mod daemon;
mod demo;
mod enqueue;
mod exit;
mod globals;
mod healthcheck;
mod interrupt;
mod job;
mod log_level;
mod man;
mod migrate;
mod moment;
mod operation;
mod output;
mod place;
mod port;
mod profile;
mod queue;
mod run;
mod schedule;
mod secrets;
mod table;

use self::{
    args::{Arguments, Command, Global},
    exit::{Code, Silent, Unsure, WrongSchema},
    output::Output,
    place::{Place, Placed, Remote},
    secrets::Secrets,
};
use crate::{
    config::{Database, Environment, Source},
    postgres::{
        migrate::{self as schema, MigrateError, SchemaCheck},
        operations::{self, Asker, Connection, Frame, Limit, OperationError, REASON_MAX_BYTES},
    },
    sys,
};
use anyhow::Context as _;
use clap::Parser as _;
use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};
use tokio::time::timeout;

/// Does what the command line says.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let secrets = Secrets::of(&arguments);
    let Arguments { global, command } = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() && !secrets.are_none() {
                output::say(secrets.hidden(&error.render().to_string()).trim_end());
            } else {
                // Help that nobody reads any more (`legwork --help | head -1`) is no failure.
                error.print().ok();
            }
            return if error.use_stderr() { Code::Usage } else { Code::Ok }.into();
        }
    };
    if let Err(error) = globals::refuse_idle(&global, &command) {
        return exit::report(&error, &secrets).into();
    }
    let context = Context::new(global, environment, command.remote());
    let is_daemon = matches!(command, Command::Run(_));
    match dispatch(command, &context) {
        Ok(()) => Code::Ok,
        Err(error) if is_daemon => {
            exit::report_daemon(&error, &secrets, crate::config::logging(&context.source))
        }
        Err(error) => exit::report(&error, &secrets),
    }
    .into()
}

/// Every command and what does it. A command that lives on (a daemon) brings a runtime of its own;
/// the others share `finish`.
fn dispatch(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => run::run(&arguments, context),
        Command::Bench(work) => bench::run(&work, context),
        Command::Demo(arguments) => demo::run(&arguments, context),
        Command::Migrate(command) => finish(migrate::run(command, context)),
        Command::Enqueue(arguments) => finish(enqueue::run(*arguments, context)),
        Command::Job(Placed { command, .. }) => finish(job::run(command, context)),
        Command::Operation(Placed { command, .. }) => finish(operation::run(command, context)),
        Command::Queue(Placed { command, .. }) => finish(queue::run(command, context)),
        Command::Daemon(Placed { command, .. }) => finish(daemon::run(command, context)),
        Command::Schedule(Placed { command, .. }) => finish(schedule::run(command, context)),
        Command::Audit(Placed { command, .. }) => finish(audit::run(command, context)),
        Command::Healthcheck(arguments) => finish(healthcheck::run(&arguments, context)),
        Command::Profile(command) => finish(profile::run(&command, context)),
        Command::LogLevel(command) => finish(log_level::run(command, context)),
        Command::Config(command) => config::run(command, context),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}

/// Runs a command that ends by itself, on this thread.
fn finish(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("couldn't start the runtime")?;
    let done = runtime.block_on(command);
    // A read of standard input can't be cancelled; waiting for it here would hang the exit.
    runtime.shutdown_background();
    done
}

/// What every command is given.
pub(crate) struct Context {
    source: Source,
    /// The file that `--config` names.
    file: Option<PathBuf>,
    output: Output,
    remote: Remote,
}

impl Context {
    fn new(global: Global, environment: Environment, remote: Remote) -> Self {
        let mut source = Source::new(environment);
        if let Some(file) = &global.config {
            source = source.with_file(file);
        }
        if let Some(url) = global.database_url {
            source = source.with_flag("--database-url", "database.url", url);
        }
        let output = Output { format: global.output.unwrap_or_default() };
        Self { source, file: global.config, output, remote }
    }

    /// Who asks for a change by this command, and why.
    fn asker(command: &str, reason: Option<String>) -> Asker {
        let account = sys::account::name();
        Asker { reason, ..Asker::named(&format!("{account}, legwork {command}")) }
    }

    /// `[database]`, checked; warnings are said.
    fn database(&self) -> anyhow::Result<Database> {
        let loaded = crate::config::load(&self.source)?;
        loaded.settings.database_url()?;
        for warning in &loaded.warnings {
            output::say(&format!("warning: {warning}"));
        }
        Ok(loaded.settings.database)
    }

    /// The database, or the daemon that is asked in its place.
    async fn place(&self) -> anyhow::Result<Place> {
        self.remote.open(self).await
    }

    /// A session on a schema that this binary knows.
    async fn connect(&self, limit: Limit) -> anyhow::Result<Session> {
        let database = self.database()?;
        let patience = database.statement_timeout + ANSWER_MARGIN;
        let connection = operations::open(&database, limit).await?;
        let frame = Frame::of(&database, limit)?;
        let mut session = Session { connection, frame, patience };
        let Session { connection, frame, .. } = &mut session;
        let checking = frame.within(connection, async |c| {
            let may = schema::may_check(c).await?;
            Ok::<_, CheckError>(if may { Some(schema::check(c).await?) } else { None })
        });
        let checked = timeout(patience, checking).await.map_err(|_elapsed| Silent(patience))?;
        match checked {
            // A role that may only enqueue can't look; its statement will say what is wrong.
            Ok(None | Some(SchemaCheck::Current)) => Ok(session),
            Ok(Some(other)) => Err(WrongSchema(other).into()),
            Err(CheckError::Frame(error)) => Err(error.into()),
            Err(CheckError::Schema(error)) => Err(error.into()),
        }
    }
}

/// A reason that is given on the command line.
fn reason(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("say why, or leave it out".into()),
        length if length > REASON_MAX_BYTES => Err(format!("at most {REASON_MAX_BYTES} bytes")),
        _ => Ok(text.to_owned()),
    }
}

/// How much longer than the statement's own limit an answer may take: what the network needs.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// Why the schema couldn't be looked at: what is round the look failed, or the look itself.
enum CheckError {
    Frame(OperationError),
    Schema(MigrateError),
}

impl From<OperationError> for CheckError {
    fn from(error: OperationError) -> Self {
        Self::Frame(error)
    }
}

impl From<MigrateError> for CheckError {
    fn from(error: MigrateError) -> Self {
        Self::Schema(error)
    }
}

/// A connection whose every answer is waited for within a limit.
struct Session {
    connection: Connection,
    frame: Frame,
    patience: Duration,
}

impl Session {
    /// Does one operation. After a silence the process ends, and the connection with it.
    async fn within<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T, OperationError>,
    ) -> anyhow::Result<T> {
        let Self { connection, frame, patience } = self;
        let answered = timeout(*patience, frame.within(connection, operation)).await;
        Ok(answered.map_err(|_elapsed| Silent(self.patience))??)
    }

    /// The same of what changes something.
    async fn change<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T, OperationError>,
    ) -> anyhow::Result<T> {
        self.within(operation).await.map_err(Unsure::or)
    }

    /// The connection, for who keeps limits of their own.
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
