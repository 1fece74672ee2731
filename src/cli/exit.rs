//! What an error means to whoever started us: one list of exit codes for every command.
//!
//! Scripts, systemd and Kubernetes branch on these numbers, so each error is mapped here and nowhere
//! else. The message goes to standard error: the error, its causes, and what to do about it.

mod commanded;
mod unclean;
mod unsure;

pub(super) use commanded::commanded;
pub(super) use unclean::Unclean;
pub(super) use unsure::Unsure;

use super::{
    job::{GoesOn, Locked},
    output::{Closed, plain_lines, say, within},
    place::Problem,
    secrets::Secrets,
};
use crate::{
    config::{Log, MissingUrl, Mistake, Mistakes},
    daemon::{StartError, TrialError},
    job::{JobId, QueueName},
    postgres::{
        DbError,
        enqueue::EnqueueError,
        migrate::{Lost, MigrateError, SchemaCheck},
        operations::{self, Nature, OperationError},
    },
    telemetry::logs::{LastWords, say_last},
};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// The exit codes; there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// Done.
    Ok = 0,
    /// The operation failed.
    Failed = 1,
    /// The command line can't be understood.
    Usage = 2,
    /// A daemon isn't ready, or the schema isn't one that this binary can work with.
    NotReady = 3,
    /// No session with the database could be had (`EX_UNAVAILABLE`).
    Unreachable = 69,
    /// The same command may succeed later (`EX_TEMPFAIL`).
    TryAgain = 75,
    /// The configuration is wrong (`EX_CONFIG`); systemd doesn't restart on it.
    Configuration = 78,
}

impl Code {
    /// What programs that read the log call it.
    fn sort(self) -> &'static str {
        match self {
            Self::Ok | Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotReady => "schema",
            Self::Unreachable => "unreachable",
            Self::TryAgain => "temporary",
            Self::Configuration => "configuration",
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A command line that parses and still can't be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Usage(pub(super) String);

/// A global option that has no effect on the command.
#[derive(Debug, thiserror::Error)]
#[error("{option} has no effect here: `legwork {command}` {why}")]
pub(super) struct Idle {
    pub(super) option: &'static str,
    pub(super) command: &'static str,
    pub(super) why: &'static str,
}

/// The configuration names no port that could be asked.
#[derive(Debug, thiserror::Error)]
#[error("admin.listen is {0}, so there is no port to ask; name a daemon's with --url")]
pub(super) struct NoPort(pub(super) String);

/// The schema isn't the one that this binary needs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongSchema(pub(super) SchemaCheck);

/// A job that was asked for and isn't there.
#[derive(Debug, thiserror::Error)]
#[error("there is no job {}, unfinished or in history", .0)]
pub(super) struct NoSuchJob(pub(super) JobId);

/// An operation that was asked for and isn't there.
#[derive(Debug, thiserror::Error)]
#[error("there is no operation {0}; they are kept for 90 days after their end")]
pub(super) struct NoSuchOperation(pub(super) i64);

/// A queue that was asked for and that nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("there is no queue {0}: no unfinished job, no daemon and no operator has named it")]
pub(super) struct NoSuchQueue(pub(super) QueueName);

/// A schedule that was asked for and that a configuration hasn't.
#[derive(Debug, thiserror::Error)]
#[error("{of} configuration has no [[schedule]] {name:?}")]
pub(super) struct NoSuchSchedule {
    pub(super) of: &'static str,
    pub(super) name: String,
}

/// Nothing was enqueued, and later something may be.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(super) struct NotNow {
    pub(super) said: String,
    /// What the database advises, where a daemon passed it on.
    pub(super) hint: Option<String>,
}

impl NotNow {
    fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Some of the jobs that were named aren't there.
#[derive(Debug, thiserror::Error)]
#[error("no such job: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub(super) struct Missing(pub(super) Vec<i64>);

/// The database took the statement and said nothing.
#[derive(Debug, thiserror::Error)]
#[error("the database didn't answer within {} s", .0.as_secs())]
pub(super) struct Silent(pub(super) Duration);

/// A part was done before the error: the command isn't to be repeated as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Partly(pub(super) String);

/// A daemon that isn't well.
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
pub(super) struct NotReady {
    told: String,
    help: Option<&'static str>,
}

impl NotReady {
    fn new(told: String, help: &'static str) -> Self {
        Self { told, help: Some(help) }
    }

    /// Nothing answered.
    pub(super) fn unanswered(authority: &str) -> Self {
        let help =
            "does `legwork run` run there, and is this the address that its admin.listen says?";
        Self::new(format!("no daemon answers on {authority}"), help)
    }

    /// It took the connection and didn't answer in time.
    pub(super) fn late(authority: &str, seconds: u64) -> Self {
        Self::new(format!("the daemon on {authority} didn't answer within {seconds} s"), FROZEN)
    }

    /// It took the request and gave no answer.
    pub(super) fn silent(authority: &str) -> Self {
        Self::new(format!("no answer came from {authority}, which took the request"), FROZEN)
    }

    /// It said so.
    pub(super) fn status(route: &str, status: u16) -> Self {
        Self { told: format!("{route} answered {status}"), help: None }
    }

    /// Another server than a daemon answered, as it seems.
    pub(super) fn strange(route: &str, status: u16, line: &str) -> Self {
        let Self { told, help } = Self::status(route, status);
        Self { told: if line.is_empty() { told } else { format!("{told}: {line}") }, help }
    }

    pub(super) fn help(&self) -> Option<&'static str> {
        self.help
    }
}

/// What to do about a daemon that takes connections and says nothing.
const FROZEN: &str = "`legwork daemon list` says whether it is overdue; a process that is stopped (T in `ps -o stat`) needs CONT";

/// A daemon answered, and not with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{route} answered {status}: {said}")]
pub(super) struct Refused {
    pub(super) route: String,
    pub(super) status: u16,
    pub(super) said: String,
}

/// A file that was to be written.
#[derive(Debug, thiserror::Error)]
#[error("couldn't write {}", file.display())]
pub(super) struct Unwritable {
    pub(super) file: PathBuf,
    pub(super) source: io::Error,
}

impl Unwritable {
    /// What to do about it.
    fn help(&self) -> String {
        let missing = |parent: &&Path| !parent.as_os_str().is_empty() && !parent.exists();
        let directory = self.file.parent().filter(missing);
        match (self.source.kind(), directory) {
            (io::ErrorKind::NotFound, Some(directory)) => {
                format!(
                    "there is no {}: make it, or name another place with --file",
                    directory.display()
                )
            }
            (io::ErrorKind::IsADirectory, _) => "name a file in it with --file".to_owned(),
            _ => "name another place with --file; - is standard output".to_owned(),
        }
    }
}

/// How long a daemon's last words may take: the bound of its end holds whoever reads them.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Reports the error, once, and says what it means.
pub(super) fn report(error: &anyhow::Error, secrets: &Secrets) -> Code {
    if error.is::<Closed>() {
        return Code::Ok;
    }
    say(&text(error, secrets));
    code(error)
}

/// Reports why a daemon ends, in the form of its log: a supervisor reads both streams as one. People
/// at a terminal get the text as well.
pub(super) fn report_daemon(
    error: &anyhow::Error,
    secrets: &Secrets,
    (log, instance): (Log, String),
) -> Code {
    let (words, text) = (last_words(error, secrets), text(error, secrets));
    let say_it = move || {
        if !say_last(&words, &log, &instance) || std::io::stderr().is_terminal() {
            say(&text);
        }
    };
    if error.is::<Unclean>() {
        within(LAST_WORDS, say_it);
    } else {
        say_it();
    }
    code(error)
}

/// Each mistake reads as an error of its own already.
fn text(error: &anyhow::Error, secrets: &Secrets) -> String {
    let text = match error.downcast_ref::<Mistakes>() {
        Some(mistakes) => mistakes.to_string(),
        None => Described::of(error).text(),
    };
    plain_lines(&secrets.hidden(&text))
}

fn last_words(error: &anyhow::Error, secrets: &Secrets) -> Vec<LastWords> {
    let code = code(error);
    let words = |error: String, place, help| {
        let (error, sort, exit_code) = (secrets.hidden(&error), code.sort(), code as u8);
        LastWords { error, sort, place, help, exit_code }
    };
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        let one = |mistake: &Mistake| words(mistake.message.clone(), mistake.place.clone(), None);
        return mistakes.iter().map(one).collect();
    }
    let Described { chain, help } = Described::of(error);
    vec![words(chain.join(": "), None, help)]
}

/// An error in words.
struct Described {
    /// What failed, then each cause. The database's own words end the causes.
    chain: Vec<String>,
    /// What to do.
    help: Option<String>,
}

impl Described {
    fn of(error: &anyhow::Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut help = missing_role(error)
            .map(|role| {
                format!(
                    "it takes the rights of {role}: GRANT {role} TO the role that you connect as, \
                     or connect as one that has them"
                )
            })
            .or_else(|| {
                error.downcast_ref().map(|Idle { option, .. }| format!("leave out {option}"))
            })
            .or_else(|| error.downcast_ref().map(GoesOn::help))
            .or_else(|| error.downcast_ref().and_then(access).map(str::to_owned))
            .or_else(|| error.downcast_ref().and_then(NotReady::help).map(str::to_owned))
            .or_else(|| error.downcast_ref().and_then(Unsure::help).map(str::to_owned))
            .or_else(|| error.downcast_ref().map(Unwritable::help))
            .or_else(|| error.downcast_ref().and_then(Problem::help).map(str::to_owned))
            .or_else(|| error.downcast_ref().and_then(Problem::hint).map(commanded))
            .or_else(|| error.downcast_ref().and_then(NotNow::hint).map(commanded))
            .or_else(|| advice(code(error)).map(str::to_owned));
        for cause in error.chain().skip(1) {
            if let Some(said) = operations::said(cause) {
                chain.push(said.message);
                let own = error.downcast_ref().and_then(in_commands).map(str::to_owned);
                help = own.or(said.hint.map(|hint| commanded(&hint))).or(help);
                break;
            }
            let cause = cause.to_string();
            // The driver's errors repeat their cause, ours don't.
            if !chain.last().is_some_and(|said| said.ends_with(&cause)) {
                chain.push(cause);
            }
        }
        Self { chain, help }
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}", self.chain.join("\n  because: "));
        if let Some(help) = &self.help {
            write!(text, "\n  help: {help}").ok();
        }
        text
    }
}

/// The role that would have been let in.
fn missing_role(error: &anyhow::Error) -> Option<&'static str> {
    let asked = [
        error.downcast_ref().and_then(OperationError::missing_role),
        error.downcast_ref().and_then(EnqueueError::missing_role),
        error.downcast_ref().and_then(MigrateError::missing_role),
        error.downcast_ref().and_then(StartError::missing_role),
    ];
    asked.into_iter().flatten().next()
}

/// What is said to whoever types commands in the place of a hint of the database's, which is for those who type SQL.
fn in_commands(error: &OperationError) -> Option<&'static str> {
    match (error, error.sqlstate().as_deref()) {
        // no_data_found, object_not_in_prerequisite_state
        (OperationError::TellDaemon(_), Some("P0002" | "55000")) => {
            Some("`legwork daemon list` tells the ids of the daemons, and which of them live")
        }
        _ => None,
    }
}

/// What somebody needs whom a daemon doesn't let in.
fn access(refused: &Refused) -> Option<&'static str> {
    match refused.status {
        401 | 403 | 404 => Some(
            "without tokens a daemon shows this to its own machine alone; where it has tokens, --token-file names the \
             file with an admin's",
        ),
        _ => None,
    }
}

fn advice(code: Code) -> Option<&'static str> {
    match code {
        Code::Unreachable => Some(
            "is the server running, and is the address right? `legwork config show` names the \
             address and where it comes from",
        ),
        Code::TryAgain => Some("nothing is wrong with the command: run it again in a moment"),
        _ => None,
    }
}

fn code(error: &anyhow::Error) -> Code {
    let codes = [
        // Whatever the look met: what was asked for is under way, and isn't to be asked for again.
        error.downcast_ref::<GoesOn>().map(|_| Code::Failed),
        error.downcast_ref::<Locked>().map(Locked::code),
        error.downcast_ref::<Unsure>().map(|_| Code::Failed),
        error.downcast_ref::<Partly>().map(|_| Code::Failed),
        error.downcast_ref::<Mistakes>().map(|_| Code::Configuration),
        error.downcast_ref::<MissingUrl>().map(|_| Code::Configuration),
        error.downcast_ref::<NoPort>().map(|_| Code::Configuration),
        error.downcast_ref::<Usage>().map(|_| Code::Usage),
        error.downcast_ref::<Idle>().map(|_| Code::Usage),
        error.downcast_ref::<WrongSchema>().map(|_| Code::NotReady),
        error.downcast_ref::<NotReady>().map(|_| Code::NotReady),
        error.downcast_ref::<NotNow>().map(|_| Code::TryAgain),
        error.downcast_ref().map(of_refusing),
        error.downcast_ref().map(Problem::code),
        error.downcast_ref::<Silent>().map(|_| Code::Unreachable),
        error.downcast_ref::<OperationError>().map(|error| of_nature(error.nature())),
        error.downcast_ref::<EnqueueError>().map(|error| of_nature(error.nature())),
        error.downcast_ref::<MigrateError>().map(of_migrating),
        error.downcast_ref::<StartError>().map(of_starting),
        error.downcast_ref::<TrialError>().map(of_trying),
    ];
    codes.into_iter().flatten().next().unwrap_or(Code::Failed)
}

fn of_nature(nature: Nature) -> Code {
    match nature {
        Nature::Unreachable => Code::Unreachable,
        Nature::Temporary => Code::TryAgain,
        Nature::Address => Code::Configuration,
        Nature::Refused => Code::Failed,
    }
}

/// 409: one of its kind is under way; 429 and 503 pass by themselves.
fn of_refusing(refused: &Refused) -> Code {
    match refused.status {
        409 | 429 | 503 => Code::TryAgain,
        _ => Code::Failed,
    }
}

fn of_starting(error: &StartError) -> Code {
    match error {
        StartError::Schema(_) => Code::NotReady,
        StartError::Connect(error) => of_nature(Nature::of_connect(error)),
        StartError::CheckSchema(_) if error.missing_role().is_some() => Code::Configuration,
        StartError::CheckSchema(error) => of_migrating(error),
        StartError::CheckRights(_)
        | StartError::ReadOverrides(_)
        | StartError::Thread(_)
        | StartError::Signals(_) => Code::Failed,
        StartError::NoDatabase(_)
        | StartError::Rights
        | StartError::Admin(_)
        | StartError::NoHandler(_)
        | StartError::Notifier(_) => Code::Configuration,
    }
}

fn of_trying(error: &TrialError) -> Code {
    match error {
        TrialError::Connect(error) | TrialError::Ask(DbError::Connect(error)) => {
            of_nature(Nature::of_connect(error))
        }
        TrialError::Migrate(error) => of_migrating(error),
        TrialError::Enqueue(error) => of_nature(error.nature()),
        TrialError::Start(error) => of_starting(error),
        TrialError::Ask(DbError::Deadline(_) | DbError::Statement(_)) => Code::Failed,
    }
}

fn of_migrating(error: &MigrateError) -> Code {
    match error {
        MigrateError::Connect(error) => of_nature(Nature::of_connect(error)),
        MigrateError::Silent { .. } | MigrateError::Lost(Lost::Server(_)) => Code::Unreachable,
        MigrateError::Lost(Lost::Session | Lost::Answer) | MigrateError::Locked { .. } => {
            Code::TryAgain
        }
        MigrateError::Changed { .. } | MigrateError::Newer { .. } => Code::NotReady,
        MigrateError::UnknownTarget { .. } => Code::Usage,
        other => of_nature(operations::nature(other)),
    }
}
