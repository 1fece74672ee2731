//! `legwork profile`: fetches a profile of a running daemon and writes it down, or shows it.
//!
//! What it asks for is what `go tool pprof`, Perfetto and a browser ask for themselves; this is for the machine
//! that has none of them, and for a file to hand on.

use super::{
    Context,
    exit::{Refused, Usage},
    output::say,
    port::{Answer, Endpoint, Question},
};
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use time::{OffsetDateTime, macros::format_description};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How much longer than the profile itself its answer may take: names are looked up, and a slow network carries it.
const ANSWER_MARGIN: Duration = Duration::from_mins(1);
/// The longest answer that is read, in bytes: an execution trace of a busy daemon.
const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A token is no longer than this, in bytes, with what ends its line.
const TOKEN_FILE_MAX_BYTES: u64 = 1024;

/// `legwork profile …`
#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// Where the CPU's time goes, by function, kind and queue
    Cpu {
        /// How long, 1 to 120
        #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=120))]
        seconds: u64,
        #[command(flatten)]
        how: Sampled,
    },
    /// What memory is held, and by which function it was asked for
    Heap {
        /// Only what comes to be held within so many seconds, 1 to 120
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=120))]
        seconds: Option<u64>,
        #[command(flatten)]
        how: Sampled,
    },
    /// What each task and running job waits for, and since when
    Tasks {
        /// In which form
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        format: TaskForm,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        whom: Whom,
    },
    /// What happened when: polls, wake-ups, waits and the phases of jobs, for ui.perfetto.dev
    Trace {
        /// How long, 1 to 60
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
        /// Where to write it; - is standard output [default: a new file here, named by the time]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        whom: Whom,
    },
}

/// How a sampled profile is written down, and where.
#[derive(Debug, Args)]
pub(super) struct Sampled {
    /// In which form [default: pprof, and svg with --open]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
    /// Where to write it; - is standard output [default: a new file here, named by the time]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Open the file with whatever the desktop opens its kind with: a flamegraph, in a browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Which daemon is asked, and as whom.
#[derive(Debug, Args)]
pub(super) struct Whom {
    /// Its admin port [default: where `run` listens by the same configuration]
    #[arg(long, value_name = "URL")]
    url: Option<Endpoint>,
    /// A file with an admin's token, where the daemon has tokens
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Forms of a sampled profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For `go tool pprof`, gzipped
    Pprof,
    /// A flamegraph
    Svg,
    /// A line for each stack
    Folded,
    /// For speedscope.app
    Speedscope,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Pprof => "pprof",
            Self::Svg => "svg",
            Self::Folded => "folded",
            Self::Speedscope => "speedscope",
        }
    }

    /// What a file's name ends with, for those who go by it.
    fn ending(self) -> &'static str {
        match self {
            Self::Pprof => "pb.gz",
            Self::Svg => "svg",
            Self::Folded => "folded",
            Self::Speedscope => "speedscope.json",
        }
    }
}

/// Forms of the list of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum TaskForm {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// For `go tool pprof`, gzipped
    Pprof,
}

impl ProfileCommand {
    /// Whether it has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        self.whom().url.is_none()
    }

    fn whom(&self) -> &Whom {
        match self {
            Self::Cpu { how, .. } | Self::Heap { how, .. } => &how.whom,
            Self::Tasks { whom, .. } | Self::Trace { whom, .. } => whom,
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Cpu { seconds, how } => how.wanted("cpu", "profile", Some(*seconds)),
            Self::Heap { seconds, how } => how.wanted("heap", "heap", *seconds),
            Self::Tasks { format, file, .. } => {
                let (route, format) = match format {
                    TaskForm::Text => ("/debug/tasks?format=text", "text"),
                    TaskForm::Json => ("/debug/tasks?format=json", "json"),
                    TaskForm::Pprof => ("/debug/pprof/goroutine", "pprof"),
                };
                let place = Place::of(file.as_deref()).unwrap_or(Place::Stdout);
                Wanted {
                    what: "tasks",
                    route: route.into(),
                    seconds: 0,
                    format,
                    place,
                    open: false,
                }
            }
            Self::Trace { seconds, file, .. } => Wanted {
                what: "trace",
                route: format!("/debug/trace?seconds={seconds}"),
                seconds: *seconds,
                format: "json",
                place: Place::of(file.as_deref()).unwrap_or_else(|| Place::new("trace", "json")),
                open: false,
            },
        }
    }
}

impl Sampled {
    fn wanted(&self, what: &'static str, profile: &str, seconds: Option<u64>) -> Wanted<'_> {
        let form = self.format.unwrap_or(if self.open { Form::Svg } else { Form::Pprof });
        let seconds_asked = seconds.map(|seconds| format!("&seconds={seconds}"));
        Wanted {
            what,
            route: format!(
                "/debug/pprof/{profile}?format={}{}",
                form.name(),
                seconds_asked.unwrap_or_default()
            ),
            seconds: seconds.unwrap_or(0),
            format: form.name(),
            place: Place::of(self.file.as_deref())
                .unwrap_or_else(|| Place::new(what, form.ending())),
            open: self.open,
        }
    }
}

/// What is to be fetched.
struct Wanted<'a> {
    what: &'static str,
    route: String,
    seconds: u64,
    format: &'static str,
    place: Place<'a>,
    open: bool,
}

/// Where it goes.
enum Place<'a> {
    Stdout,
    Given(&'a Path),
    New(PathBuf),
}

impl<'a> Place<'a> {
    fn of(file: Option<&'a Path>) -> Option<Self> {
        file.map(|file| if file == Path::new("-") { Self::Stdout } else { Self::Given(file) })
    }

    fn new(what: &str, ending: &str) -> Self {
        let now = OffsetDateTime::now_utc();
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let now = now.format(form).unwrap_or_default();
        Self::New(format!("legwork-{what}-{now}.{ending}").into())
    }

    /// Writes; says where, unless that is standard output.
    fn write(&self, bytes: &[u8]) -> anyhow::Result<Option<&Path>> {
        let (file, written) = match self {
            Self::Stdout => {
                io::stdout().write_all(bytes).context("standard output can't be written to")?;
                return Ok(None);
            }
            Self::Given(file) => (*file, fs::write(file, bytes)),
            // One that is there is somebody's.
            Self::New(file) => {
                let made = fs::File::create_new(file);
                (file.as_path(), made.and_then(|mut made| made.write_all(bytes)))
            }
        };
        written.with_context(|| format!("couldn't write {}", file.display()))?;
        Ok(Some(file))
    }
}

/// What was done.
#[derive(Serialize)]
struct Done<'a> {
    profile: &'static str,
    format: &'static str,
    file: &'a Path,
    bytes: usize,
}

impl Done<'_> {
    fn text(&self) -> String {
        let file = self.file.display();
        let how = match (self.profile, self.format) {
            ("trace", _) => "\nopen it in https://ui.perfetto.dev".to_owned(),
            (_, "pprof") => format!("\nlook at it with: go tool pprof -top {file}"),
            (_, "speedscope") => "\nopen it in https://www.speedscope.app".to_owned(),
            _ => String::new(),
        };
        format!("wrote {file} ({} bytes){how}", self.bytes)
    }
}

pub(super) async fn run(command: &ProfileCommand, context: &Context) -> anyhow::Result<()> {
    let wanted = command.wanted();
    if wanted.open && matches!(wanted.place, Place::Stdout) {
        return Err(Usage("--open opens a file, and standard output is none".into()).into());
    }
    let whom = command.whom();
    let endpoint = Endpoint::of(whom.url.as_ref(), context)?;
    let token = whom.token_file.as_deref().map(token).transpose()?;
    let question = Question {
        route: &wanted.route,
        token: token.as_deref(),
        within: Duration::from_secs(wanted.seconds) + ANSWER_MARGIN,
        most_bytes: ANSWER_MAX_BYTES,
    };
    let asked = endpoint.ask(&question);
    let answer = match wanted.seconds {
        0 => asked.await?,
        seconds => watched(asked, wanted.what, &endpoint.authority, seconds).await?,
    };
    if answer.status != 200 {
        return Err(refused(&wanted.route, &answer).into());
    }
    let Some(file) = wanted.place.write(&answer.body)? else { return Ok(()) };
    let Wanted { what, format, .. } = wanted;
    let done = Done { profile: what, format, file, bytes: answer.body.len() };
    context.output.show_done(&done, Done::text);
    if wanted.open {
        open(file);
    }
    Ok(())
}

/// The first line of the file.
fn token(file: &Path) -> anyhow::Result<String> {
    let read = || {
        let mut text = String::new();
        let opened = fs::File::open(file)?;
        io::Read::read_to_string(&mut io::Read::take(opened, TOKEN_FILE_MAX_BYTES), &mut text)?;
        io::Result::Ok(text)
    };
    let text = read().with_context(|| format!("couldn't read {}", file.display()))?;
    let token = text.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if token.is_empty() || !token.chars().all(fits) {
        return Err(Usage(format!("there is no token in {}", file.display())).into());
    }
    Ok(token.to_owned())
}

/// Shows whoever sits there how far it is; a log gets one line.
async fn watched(
    asked: impl Future<Output = anyhow::Result<Answer>>,
    what: &str,
    authority: &str,
    seconds: u64,
) -> anyhow::Result<Answer> {
    let is_watched = io::stderr().is_terminal();
    if !is_watched {
        say(&format!("{what} of {authority}, {seconds} s"));
    }
    let began = Instant::now();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(asked);
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer,
            _ = tick.tick(), if is_watched => {
                let passed = began.elapsed().as_secs().min(seconds);
                write!(io::stderr(), "\r{what} of {authority}: {passed} of {seconds} s").ok();
            }
        }
    };
    if is_watched {
        write!(io::stderr(), "\r\x1b[K").ok();
    }
    answer
}

/// What the daemon said instead; a problem's detail where it is one.
fn refused(route: &str, answer: &Answer) -> Refused {
    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let said = detail.map_or_else(|| answer.text().trim().to_owned(), str::to_owned);
    Refused { route: route.to_owned(), status: answer.status, said }
}

/// It is written by then: where there is no desktop, that is said and no failure.
fn open(file: &Path) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("warning: {program} couldn't open it ({status})")),
        Err(error) => say(&format!("warning: {program} couldn't be started ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use rstest::rstest;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: ProfileCommand,
    }

    #[rstest]
    #[case::cpu("cpu", "/debug/pprof/profile?format=pprof&seconds=30", 30)]
    #[case::cpu_opened("cpu --open --seconds 5", "/debug/pprof/profile?format=svg&seconds=5", 5)]
    #[case::opened_as_said(
        "cpu --open --format folded",
        "/debug/pprof/profile?format=folded&seconds=30",
        30
    )]
    #[case::heap("heap", "/debug/pprof/heap?format=pprof", 0)]
    #[case::heap_grown(
        "heap --seconds 7 --format speedscope",
        "/debug/pprof/heap?format=speedscope&seconds=7",
        7
    )]
    #[case::tasks("tasks", "/debug/tasks?format=text", 0)]
    #[case::tasks_for_go("tasks --format pprof", "/debug/pprof/goroutine", 0)]
    #[case::trace("trace", "/debug/trace?seconds=5", 5)]
    fn what_is_typed_is_what_is_asked(
        #[case] line: &str,
        #[case] route: &str,
        #[case] seconds: u64,
    ) {
        let words = ["profile"].into_iter().chain(line.split(' '));
        let command = Line::try_parse_from(words).expect("it can be meant").command;
        let wanted = command.wanted();
        assert_eq!((wanted.route.as_str(), wanted.seconds), (route, seconds));
    }

    #[rstest]
    #[case::problem(br#"{"type": "x", "detail": "one runs"}"#, "one runs")]
    #[case::text(b"one runs\n", "one runs")]
    #[case::nothing(b"", "")]
    fn a_refusal_is_told_in_the_daemons_words(#[case] body: &[u8], #[case] said: &str) {
        let answer = Answer { status: 409, body: body.to_owned() };
        assert_eq!(refused("/x", &answer).said, said);
    }
}
