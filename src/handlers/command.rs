//! Runs a program for each attempt: payload on its standard input, verdict by its exit code.
//!
//! The program and its arguments come from the configuration alone; nothing of a row reaches a
//! command line or a shell. The program runs in a group of its own that is killed as a whole when
//! the attempt ends, however it ends, because what it left running would run outside the lease.
//!
//! It decides no policy: limits, deadlines and what becomes of the job are others' business.

mod environment;
mod exit;
mod output;
mod process;
mod results;

use crate::{
    config::CommandSettings,
    executor::{Context, Handler, HandlerFuture},
    job::{Backoff, Outcome},
    supervise::{WaitPoint, at},
    telemetry::metrics::{CommandExit, CommandMetrics},
};
use exit::Slower;
use process::{Process, Ran, RunError};
use std::time::Duration;

/// How long a killed program may take to be gone, on top of its grace.
const KILL_MARGIN: Duration = Duration::from_secs(1);

/// Runs one program for every job of a kind.
#[derive(Debug, Clone)]
pub struct Command {
    settings: CommandSettings,
    backoff: Backoff,
    exits: CommandMetrics,
}

impl Command {
    /// `backoff` is the kind's: a program that asks to slow down waits twice as long.
    pub fn new(settings: CommandSettings, backoff: Backoff) -> Self {
        Self { settings, backoff, exits: CommandMetrics::default() }
    }

    /// Counts how the programs end.
    #[must_use]
    pub fn counted_in(mut self, exits: CommandMetrics) -> Self {
        self.exits = exits;
        self
    }

    async fn attempt(&self, context: &Context) -> Outcome {
        let program = self.settings.command.first().map_or("", String::as_str);
        let span = context.span().map(|span| span.program(program));
        let variables = environment::of(context, span.as_ref(), &self.settings.env);
        let start = Process::start(&self.settings, variables);
        let ran = match at(WaitPoint::ChildStart, start).await {
            Ok(process) => process.run(context, &self.settings).await,
            Err(error) => Err(error),
        };
        if let Some(exit) = how(&ran, context) {
            self.exits.exited(exit);
            if let Some(span) = span {
                span.exited(exit.code(), exit.error());
            }
        }
        match ran {
            Ok(Ran::Ended(ended)) => ended.outcome(context, Slower(self.backoff)),
            // Its last words are for the record of an attempt whose time was up.
            Ok(Ran::Stopped(ended)) if context.is_overdue() => ended.broken_off(),
            Ok(Ran::Stopped(_)) => Outcome::Cancel,
            Err(error) => exit::not_run(&error),
        }
    }
}

/// How metrics call the end; nothing where it wasn't seen.
fn how(ran: &Result<Ran, RunError>, context: &Context) -> Option<CommandExit> {
    match ran {
        Ok(Ran::Ended(ended)) => {
            Some(ended.status.code().map_or(CommandExit::Signal, CommandExit::Code))
        }
        Ok(Ran::Stopped(_)) if context.is_overdue() => Some(CommandExit::Timeout),
        Ok(Ran::Stopped(_)) => Some(CommandExit::Stopped),
        Err(RunError::Pipes { .. } | RunError::Start { .. }) => Some(CommandExit::NotStarted),
        Err(RunError::Watch { .. }) => None,
    }
}

impl Handler for Command {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(self.attempt(context))
    }

    fn stop_grace(&self) -> Duration {
        self.settings.kill_grace + KILL_MARGIN
    }
}
