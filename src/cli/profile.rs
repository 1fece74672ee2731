//! `legwork profile`: fetches a profile of a running daemon and writes it down, or shows it.
//!
//! What it asks for is what `go tool pprof`, Perfetto and a browser ask for themselves; this is for the machine
//! that has none of them, and for a file to hand on.

mod fetch;
mod place;
mod switch;

pub(super) use fetch::run;

use self::place::Place;
use super::port::Whom;
use clap::{Args, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};

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
        /// Have the daemon sample what it allocates from now on, in place of a profile
        #[arg(long, conflicts_with_all = ["seconds", "format", "file", "open"])]
        activate: bool,
        /// Have it sample no longer, and forget what was sampled
        #[arg(long, conflicts_with_all = ["activate", "seconds", "format", "file", "open"])]
        deactivate: bool,
        #[command(flatten)]
        how: Sampled,
    },
    /// What each task and running job waits for, and since when
    Tasks {
        /// In which form [default: text, and json with --output json]
        #[arg(long, value_enum, value_name = "FORM")]
        format: Option<TaskForm>,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        whom: Whom,
    },
    /// What happened when: polls, wake-ups, waits and the phases of jobs, for ui.perfetto.dev
    Trace {
        /// How long, 1 to 60; the first 262,144 events are kept, which a busy daemon has in less than a second
        #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
        /// Where to write it; - is standard output [default: a new file here, named by the daemon and the time]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        whom: Whom,
    },
    /// All that a report of a fault is to have with it: profiles, trace, tasks, metrics, log, the database's view
    Bundle {
        /// How long the CPU profile and the trace in it last, 1 to 60
        #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
        /// Where to write it; - is standard output [default: a new file here, named by the daemon and the time]
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
    /// Where to write it; - is standard output [default: a new file here, named by the daemon and the time]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Open the file with whatever the desktop opens its kind with: a flamegraph, in a browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    whom: Whom,
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

    /// The one whose files are called so.
    fn of(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let named =
            |form: &Self| name.strip_suffix(form.ending()).is_some_and(|it| it.ends_with('.'));
        Self::value_variants().iter().copied().find(named)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TaskForm {
    /// For people
    Text,
    /// For programs
    Json,
    /// For `go tool pprof`, gzipped
    Pprof,
}

impl ProfileCommand {
    /// Whether it has to look up where to ask.
    pub(super) fn reads_configuration(&self) -> bool {
        self.whom().is_configured()
    }

    /// Whether heap profiling is to be switched on or off, and nothing fetched.
    fn switches(&self) -> Option<bool> {
        match self {
            Self::Heap { activate: true, .. } => Some(true),
            Self::Heap { deactivate: true, .. } => Some(false),
            _ => None,
        }
    }

    fn whom(&self) -> &Whom {
        match self {
            Self::Cpu { how, .. } | Self::Heap { how, .. } => &how.whom,
            Self::Tasks { whom, .. } | Self::Trace { whom, .. } | Self::Bundle { whom, .. } => whom,
        }
    }

    /// What is to be fetched of the daemon at this address, for a program where that is said.
    fn wanted(&self, address: &str, for_programs: bool) -> Wanted<'_> {
        match self {
            Self::Cpu { seconds, how } => how.wanted(("cpu", "profile"), Some(*seconds), address),
            Self::Heap { seconds, how, .. } => how.wanted(("heap", "heap"), *seconds, address),
            Self::Tasks { format, file, .. } => {
                let usual = if for_programs { TaskForm::Json } else { TaskForm::Text };
                let (route, format) = match format.unwrap_or(usual) {
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
                place: Place::of(file.as_deref())
                    .unwrap_or_else(|| Place::new("trace", address, "json")),
                open: false,
            },
            Self::Bundle { seconds, file, .. } => Wanted {
                what: "bundle",
                route: format!("/debug/bundle?seconds={seconds}"),
                seconds: *seconds,
                format: "tar.gz",
                place: Place::of(file.as_deref())
                    .unwrap_or_else(|| Place::new("bundle", address, "tar.gz")),
                open: false,
            },
        }
    }
}

impl Sampled {
    fn wanted(
        &self,
        (what, profile): (&'static str, &str),
        seconds: Option<u64>,
        address: &str,
    ) -> Wanted<'_> {
        let usual = if self.open { Form::Svg } else { Form::Pprof };
        let form = self.format.or_else(|| self.file.as_deref().and_then(Form::of)).unwrap_or(usual);
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
                .unwrap_or_else(|| Place::new(what, address, form.ending())),
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
    #[case::by_the_files_name("heap --file a.svg", "/debug/pprof/heap?format=svg", 0)]
    #[case::by_a_long_ending(
        "heap --file b/a.speedscope.json --open",
        "/debug/pprof/heap?format=speedscope",
        0
    )]
    #[case::by_no_name("heap --file svg", "/debug/pprof/heap?format=pprof", 0)]
    #[case::said_otherwise(
        "heap --file a.svg --format folded",
        "/debug/pprof/heap?format=folded",
        0
    )]
    #[case::tasks("tasks", "/debug/tasks?format=text", 0)]
    #[case::tasks_for_go("tasks --format pprof", "/debug/pprof/goroutine", 0)]
    #[case::trace("trace", "/debug/trace?seconds=5", 5)]
    #[case::bundle("bundle", "/debug/bundle?seconds=10", 10)]
    fn what_is_typed_is_what_is_asked(
        #[case] line: &str,
        #[case] route: &str,
        #[case] seconds: u64,
    ) {
        let words = ["profile"].into_iter().chain(line.split(' '));
        let command = Line::try_parse_from(words).expect("it can be meant").command;
        let wanted = command.wanted("h:1", false);
        assert_eq!((wanted.route.as_str(), wanted.seconds), (route, seconds));
    }

    #[rstest]
    #[case::nothing_said("tasks", "/debug/tasks?format=json")]
    #[case::said_otherwise("tasks --format text", "/debug/tasks?format=text")]
    fn programs_get_tasks_as_json(#[case] line: &str, #[case] route: &str) {
        let words = ["profile"].into_iter().chain(line.split(' '));
        let command = Line::try_parse_from(words).expect("it can be meant").command;
        assert_eq!(command.wanted("h:1", true).route, route);
    }
}
