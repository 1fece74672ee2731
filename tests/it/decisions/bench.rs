//! Test 1: `bench drain` starts the shipped daemon's pipeline over the configured noop kind, and
//! shares no SQL with the product but the INSERT.
//!
//! The server tells: its log has every statement with the session that sent it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use legwork::embedded::Postgres;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;

use crate::cli::command;
use crate::support::server;

const CLAIM: &str = include_str!("../../../src/postgres/sql/claim.sql");
const FINISH: &str = include_str!("../../../src/postgres/sql/finish.sql");
const WITHOUT_HISTORY: &str = include_str!("../../../src/postgres/sql/finish_without_history.sql");

/// Before each line: who.
const PREFIX: &str = "@%a|";

/// A server that logs every statement.
struct Logging {
    postgres: Postgres,
    read: usize,
}

impl Logging {
    fn start() -> Self {
        let mut options = server::private_options();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.settings.push(set("log_statement", "all"));
        options.settings.push(set("log_line_prefix", PREFIX));
        let postgres = Postgres::start(&options).expect("a private Postgres starts");
        Self { postgres, read: 0 }
    }

    /// Runs a benchmark; gives its figures, and what was sent with who sent it.
    fn bench(&mut self, arguments: &[&str]) -> (Value, Vec<(String, String)>) {
        let url = self.postgres.url("postgres");
        let arguments = [&["bench"], arguments, &["--output", "json"]].concat();
        let ran = command(&url, &arguments).into_std().output().expect("it runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let figures = serde_json::from_slice(&ran.stdout).expect("it prints JSON");
        let log = std::fs::read_to_string(log_of(&url)).expect("the log can be read");
        let new = log[self.read..].to_owned();
        self.read = log.len();
        // What follows in a statement of several lines is indented by the server.
        let entries = new.split("\n@").filter_map(|entry| entry.split_once('|'));
        let entries = entries.map(|(who, what)| (who.to_owned(), what.replace("\n\t", "\n")));
        (figures, entries.collect())
    }
}

/// How often this session sent this.
fn sent(statements: &[(String, String)], who: &str, statement: &str) -> usize {
    let statement = statement.trim_end();
    statements.iter().filter(|(w, what)| w == who && what.contains(statement)).count()
}

/// The server's log lies beside its socket.
fn log_of(url: &str) -> PathBuf {
    let options = PgConnectOptions::from_str(url).expect("the address can be read");
    options.get_socket().map(|directory: &PathBuf| directory.join("server.log")).expect("a socket")
}

/// The files under `sql/` that a file of the sources includes.
fn sql_of(file: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = std::fs::read_to_string(file).expect("the source is there");
    let names = text.split("include_str!(\"sql/").skip(1);
    names.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_drain_runs_the_shipped_pipeline_and_shares_no_sql_with_it_but_the_way_in() {
    let mut server = Logging::start();
    let (_, statements) = server.bench(&["drain", "--jobs", "2000"]);
    let sent = |who, statement| sent(&statements, who, statement);
    assert!(sent("legwork claim", CLAIM) > 0, "the daemon's own claim took the jobs");
    assert!(sent("legwork completer", FINISH) > 0, "and its own completer ended them");
    let kinds = statements.iter().filter(|(who, _)| who == "legwork claim");
    assert!(kinds.clone().any(|(_, what)| what.contains("'{noop}'")), "{:?}", kinds.last());

    let own = statements.iter().filter(|(who, _)| who.starts_with("legwork bench"));
    let touching: Vec<_> = own.filter(|(_, what)| what.contains("legwork.")).collect();
    assert!(!touching.is_empty(), "the benchmark's own sessions are in the log");
    for (who, what) in touching {
        let allowed = ["COPY legwork.job ", "SELECT NOT EXISTS (SELECT FROM legwork.job)"];
        assert!(allowed.iter().any(|allowed| what.contains(allowed)), "{who}: {what}");
    }
    server.postgres.stop().expect("it stops");
    let files = sql_of("postgres/bench.rs");
    assert!(files.len() > 5, "{files:?}");
    assert!(files.iter().all(|file| file.starts_with("bench_")), "{files:?}");
}

#[test]
fn a_benchmark_makes_as_many_jobs_as_told_and_keeps_history_or_not() {
    let mut server = Logging::start();
    for work in ["drain", "latency"] {
        for history in ["on", "off"] {
            let (figures, statements) = server.bench(&[work, "--jobs", "50", "--history", history]);
            let timed = &figures["commit_to_start_ms"]["n"];
            assert_eq!(if work == "drain" { &figures["n"] } else { timed }, 50, "{work}");
            let kept = sent(&statements, "legwork completer", FINISH) > 0;
            let forgotten = sent(&statements, "legwork completer", WITHOUT_HISTORY) > 0;
            assert_eq!((kept, forgotten), (history == "on", history == "off"), "{work}");
        }
    }
    let (figures, _) = server.bench(&["enqueue", "--jobs", "70"]);
    assert_eq!(figures["n"], 70);
    server.postgres.stop().expect("it stops");
}
