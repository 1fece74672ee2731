//! One run of the program: started, fed, listened to, and stopped when it is time.
//!
//! Everything goes on at once in one future, so a program that reads nothing, writes without end
//! or never ends holds up nobody but itself; dropping the future kills the program's group.

use super::{environment::Variables, exit::Ended, output::Capture, results::Said};
use crate::{
    config::CommandSettings,
    executor::Context,
    handlers::shortage::Shortage,
    supervise::{WaitPoint, at_process},
    sys::{ChildSetup, ProcessGroup},
};
use futures::future::{Either, select};
use nix::sys::{resource::Resource, stat::Mode};
use std::{
    io::{self, PipeReader},
    os::fd::OwnedFd,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::join;
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{Receiver, Sender},
    time::timeout,
};

/// The descriptor on which a program says more than an exit code can.
pub(super) const RESULT_DESCRIPTOR: i32 = 3;

/// How long output is still read after the program has ended and its descendants were killed. Only who
/// was handed a pipe without being one of them, or can't be killed, holds it open that long.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Files that a program makes are its user's alone unless it says otherwise.
const PRIVATE: Mode = Mode::from_bits_truncate(0o077);

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// No pipes.
    #[error("can't open the pipes of {program}")]
    Pipes { program: String, source: io::Error },
    /// No process.
    #[error("can't start {program}{}", in_directory(.cwd.as_deref()))]
    Start { program: String, cwd: Option<String>, source: io::Error },
    /// No way to know how it ended.
    #[error("lost sight of {program}")]
    Watch { program: String, source: io::Error },
}

impl RunError {
    /// What the daemon lacked, where the program didn't begin, or was killed as it did, for want of it.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::Pipes { source, .. } | Self::Start { source, .. } => Shortage::of(source),
            Self::Watch { .. } => None,
        }
    }
}

fn in_directory(cwd: Option<&str>) -> String {
    cwd.map(|cwd| format!(" in {cwd}")).unwrap_or_default()
}

/// How a run ended.
pub(super) enum Ran {
    /// By itself.
    Ended(Box<Ended>),
    /// Because it was told to stop.
    Stopped(Box<Ended>),
}

/// A program that runs.
pub(super) struct Process {
    group: ProcessGroup,
    pipes: Pipes,
    program: String,
}

struct Pipes {
    payload: Sender,
    stdout: Receiver,
    stderr: Receiver,
    results: Receiver,
}

impl Process {
    /// Starts it with this environment and no other.
    pub(super) async fn start(
        settings: &CommandSettings,
        variables: Variables,
    ) -> Result<Self, RunError> {
        let program = settings.command.first().cloned().unwrap_or_default();
        let pipes = |source| RunError::Pipes { program: program.clone(), source };
        let (results, said) = io::pipe().map_err(pipes)?;
        let mut setup = setup(said.into()).map_err(pipes)?;
        let failed = |source| {
            let cwd = settings.cwd.as_ref().map(|cwd| cwd.display().to_string());
            RunError::Start { program: program.clone(), cwd, source }
        };
        if let Some(cwd) = &settings.cwd {
            setup = setup.directory(cwd).map_err(failed)?;
        }
        let command = command(settings, variables);
        let mut group = ProcessGroup::start(command, setup).await.map_err(failed)?;
        let pipes = Pipes::of(&mut group, results).map_err(pipes)?;
        Ok(Self { group, pipes, program })
    }

    /// Lets it run until it ends or the context says stop.
    pub(super) async fn run(
        self,
        context: &Context,
        settings: &CommandSettings,
    ) -> Result<Ran, RunError> {
        let Self { group, pipes, program } = self;
        let mut stdout = Capture::of_at_most(settings.max_output);
        let mut stderr = Capture::of_at_most(settings.max_output);
        let mut said = Said::of_lines_up_to(settings.max_output);
        let talk = async {
            join!(
                feed(pipes.payload, &context.job().payload),
                stdout.read(pipes.stdout),
                stderr.read(pipes.stderr),
                said.read(pipes.results, context),
            );
        };
        let process = group.process_id();
        let watched = alongside(watch(group, context, settings.kill_grace), talk);
        let ended = at_process(WaitPoint::Child, process, watched).await;
        let End { status, stopped } =
            ended.map_err(|source| RunError::Watch { program, source })?;
        let ended = Box::new(Ended { status, stdout, stderr, said });
        Ok(if stopped { Ran::Stopped(ended) } else { Ran::Ended(ended) })
    }
}

/// How a program ended, and whether it was made to.
struct End {
    status: ExitStatus,
    stopped: bool,
}

/// Talks to the program while it is watched, and until its last words.
async fn alongside(
    watch: impl Future<Output = io::Result<End>>,
    talk: impl Future<Output = ()>,
) -> io::Result<End> {
    match select(pin!(watch), pin!(talk)).await {
        Either::Left((ended, talk)) => {
            // What a runaway descendant would still say is its own affair.
            drop(timeout(LAST_WORDS, talk).await);
            ended
        }
        Either::Right(((), watch)) => watch.await,
    }
}

impl Pipes {
    fn of(group: &mut ProcessGroup, results: PipeReader) -> io::Result<Self> {
        let absent = || io::Error::other("a standard stream isn't a pipe");
        let leader = group.leader().ok_or_else(absent)?;
        let stdin = leader.stdin.take().ok_or_else(absent)?;
        let stdout = leader.stdout.take().ok_or_else(absent)?;
        let stderr = leader.stderr.take().ok_or_else(absent)?;
        Ok(Self {
            payload: Sender::from_owned_fd(stdin.into())?,
            stdout: Receiver::from_owned_fd(stdout.into())?,
            stderr: Receiver::from_owned_fd(stderr.into())?,
            results: Receiver::from_owned_fd(results.into())?,
        })
    }
}

/// The fixed words of the file, no shell, nothing of the job.
fn command(settings: &CommandSettings, variables: Variables) -> std::process::Command {
    let mut words = settings.command.iter();
    let mut command = std::process::Command::new(words.next().map_or("", String::as_str));
    command.args(words).env_clear().envs(variables);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a program may not do: be what a shell makes of its file, gain privileges, leave a core with a
/// payload in it, make files that others can read, or inherit a descriptor beside the four that are its own.
fn setup(results: OwnedFd) -> io::Result<ChildSetup> {
    ChildSetup::new()
        .no_new_privileges()
        .limit(Resource::RLIMIT_CORE, 0)
        .umask(PRIVATE)
        .close_descriptors_from(RESULT_DESCRIPTOR + 1)
        .pass(RESULT_DESCRIPTOR, results)
}

/// Writes the payload, then closes the pipe. A program needn't read it: then it ends with an error
/// when the program does, and that error means nothing.
async fn feed(mut pipe: Sender, payload: &str) {
    pipe.write_all(payload.as_bytes()).await.ok();
}

/// Waits for the program's end, and makes it end where the context says stop.
async fn watch(
    mut group: ProcessGroup,
    context: &Context,
    kill_grace: Duration,
) -> io::Result<End> {
    tokio::select! {
        // The program first: an end that is there counts, even if a stop came as well.
        biased;
        ended = group.ended() => {
            ended?;
            return group.reap().map(|status| End { status, stopped: false });
        }
        () = context.cancellation().cancelled() => {}
    }
    group.terminate();
    let process = group.process_id();
    let stopped = async {
        if timeout(kill_grace, group.ended()).await.is_err() {
            group.kill();
            group.ended().await?;
        }
        Ok::<_, io::Error>(())
    };
    at_process(WaitPoint::ChildStop, process, stopped).await?;
    group.reap().map(|status| End { status, stopped: true })
}
