//! The options that stand before any command: each has its effect on a command or is refused there, and
//! `docs/cli.md` says which.

use super::{command, finished, legwork, reference::helped};
use crate::support;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/cli.md");

/// Each option with a value that shows whether anybody looks at it.
const OPTIONS: [(&str, &str); 3] = [
    ("--config", "/nowhere/legwork.toml"),
    ("--database-url", "mysql://nonsense"),
    ("--output", "json"),
];

/// What a command can't be called without, so that an option is all there is to refuse.
const ARGUMENTS: [(&str, &[&str]); 25] = [
    ("bench drain", &["--jobs", "1"]),
    ("bench enqueue", &["--jobs", "1"]),
    ("bench latency", &["--jobs", "1"]),
    ("completions", &["bash"]),
    ("daemon drain", &["1"]),
    ("daemon quiet", &["1"]),
    ("daemon shutdown", &["1"]),
    ("demo", &["--once"]),
    ("enqueue", &["k"]),
    ("job cancel", &["1"]),
    ("job discard", &["1"]),
    ("job retry", &["1"]),
    ("job show", &["1"]),
    ("job snooze", &["1", "--for", "1m"]),
    ("job why", &["1"]),
    ("log-level set", &["info"]),
    ("migrate down", &["--to", "0"]),
    ("operation cancel", &["1"]),
    ("operation show", &["1"]),
    ("queue drain", &["q"]),
    ("queue pause", &["q"]),
    ("queue show", &["q"]),
    ("queue set", &["q", "--concurrency", "1"]),
    ("queue unset", &["q"]),
    ("schedule run", &["s"]),
];

fn words(name: &str) -> Vec<&str> {
    let needed = ARGUMENTS
        .iter()
        .find(|(of, _)| *of == name || name == "queue resume" && *of == "queue pause");
    name.split(' ').chain(needed.into_iter().flat_map(|(_, words)| words.iter().copied())).collect()
}

/// The page's table: each command, and whether it takes each of the options.
fn table() -> BTreeMap<String, [bool; 3]> {
    let rows = PAGE.lines().skip_while(|line| !line.starts_with("| command | `--config`")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let of_row = rows.flat_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let takes = |cell: &str| match cell {
            "yes" => true,
            "no" => false,
            other => panic!("{other:?} is neither yes nor no"),
        };
        let takes = [takes(cells[1]), takes(cells[2]), takes(cells[3])];
        let names = cells[0].split('`').skip(1).step_by(2);
        names.map(move |name| (name.to_owned(), takes)).collect::<Vec<_>>()
    });
    of_row.collect()
}

#[tokio::test]
async fn a_global_option_has_its_effect_on_a_command_or_is_refused_there() {
    let table = table();
    let commands: BTreeSet<_> = helped().await.into_keys().collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), commands, "each has its row");
    for (name, takes) in table {
        for ((option, value), takes) in OPTIONS.into_iter().zip(takes) {
            // What has its effect prints JSON, which the next test sees.
            if takes && option == "--output" {
                continue;
            }
            for option_first in [true, false] {
                let given = [option, value];
                let words = words(&name);
                let line = if option_first {
                    [&given[..], &words].concat()
                } else {
                    [&words[..], &given].concat()
                };
                // Nothing listens there: what isn't refused can't do harm.
                let ran = finished(command("postgres://127.0.0.1:1/x", &line), None).await;
                let (code, said) = if takes {
                    (78, if option == "--config" { value } else { option }.to_owned())
                } else {
                    (2, format!("help: leave out {option}"))
                };
                assert_eq!(ran.code, code, "{line:?}: {}", ran.stderr);
                // A daemon refuses in the form of its log, on the log's stream.
                let (told, other) = match (name.as_str(), takes) {
                    ("run", true) => (&ran.stdout, &ran.stderr),
                    _ => (&ran.stderr, &ran.stdout),
                };
                assert!(told.contains(&said), "{line:?}: {told}");
                assert_eq!(other, "", "{line:?}");
            }
        }
    }
}

/// These print JSON in `decisions::bench`, `decisions::demo`, `cli::healthcheck`, `cli::profiled`, `cli::itself`,
/// `api::decided`, `cli::filtered` and `schedules::commands`, each by its whole name, so that a new one is tried; and the
/// schema goes last.
const APART: [&str; 24] = [
    "bench backlog",
    "bench drain",
    "bench enqueue",
    "bench fleet",
    "bench latency",
    "bench pinned",
    "config reload",
    "daemon drain",
    "daemon quiet",
    "daemon shutdown",
    "demo",
    "healthcheck",
    "log-level reset",
    "log-level set",
    "log-level show",
    "migrate down",
    "operation cancel",
    "operation show",
    "profile bundle",
    "profile cpu",
    "profile heap",
    "profile tasks",
    "profile trace",
    "schedule run",
];

#[test]
fn what_takes_output_prints_json() {
    support::run(async |db| {
        legwork(&db, &["enqueue", "k"]).await.done();
        let takes = table().into_iter().filter(|(_, takes)| takes[2]).map(|(name, _)| name);
        let takes: BTreeSet<_> = takes.collect();
        let unknown: Vec<_> = APART.iter().filter(|name| !takes.contains(**name)).collect();
        assert!(unknown.is_empty(), "no such commands: {unknown:?}");
        let here = takes.into_iter().filter(|name| !APART.contains(&name.as_str()));
        let names: Vec<_> = here.chain(["migrate down".to_owned()]).collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let line = [&words(&name)[..], &["--output", "json"]].concat();
            let ran = legwork(&db, &line).await;
            assert!(ran.json().is_array() || ran.json().is_object(), "{line:?}");
        }
    });
}

#[tokio::test]
async fn a_healthcheck_that_is_told_the_address_reads_no_file() {
    let (file, url) = ("/nowhere/legwork.toml", "http://127.0.0.1:1");
    let line = ["--config", file, "healthcheck", "--url", url];
    let ran = finished(command("", &line), None).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("help: leave out --config"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_environment_is_no_option_and_refused_nowhere() {
    for name in [&["config", "default"][..], &["migrate", "sql"]] {
        let mut command = command("mysql://nonsense", name);
        command.env("LEGWORK_CONFIG", "/nowhere/legwork.toml");
        assert_eq!(finished(command, None).await.code, 0, "{name:?}");
    }
}
