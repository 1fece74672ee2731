//! Test 1: `bench drain` starts the shipped daemon's pipeline over the configured noop kind, and
//! shares no SQL with the product but the INSERT.
//!
//! The server tells: its log has every statement with the session that sent it. And it is made slow
//! where the figures have to show it, by triggers that the benchmark's database inherits.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use legwork::embedded::Postgres;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::cli::command;
use crate::support::server;

const CLAIM: &str = include_str!("../../../src/postgres/sql/claim.sql");
const FINISH: &str = include_str!("../../../src/postgres/sql/finish_alike.sql");
const WITHOUT_HISTORY: &str = include_str!("../../../src/postgres/sql/finish_without_history.sql");

const RENEW: &str = include_str!("../../../src/postgres/sql/daemon_renew.sql");

/// Before each line: who.
const PREFIX: &str = "@%a|";

/// Uses up so many hundredths of a second of CPU, by the kernel's own count of this backend.
const BURN: &str = "
    CREATE FUNCTION public.ticks() RETURNS int LANGUAGE sql AS $$
        SELECT stat[12]::int + stat[13]::int
        FROM string_to_array(substring(pg_read_file('/proc/self/stat') from '.*\\) (.*)'), ' ') stat
    $$;
    CREATE FUNCTION public.burn(much int) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE enough constant int := public.ticks() + much;
        BEGIN WHILE public.ticks() < enough LOOP PERFORM count(*) FROM generate_series(1, 20000);
        END LOOP; END
    $$;";

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

    /// Makes every database from now on do this at these statements on `legwork.job`, as soon as it
    /// has that table. The benchmark makes its database from the template and knows nothing of it.
    fn hampered(self, at: &[(&str, &str)]) -> Self {
        let function = |(event, what): &(&str, &str)| {
            format!(
                "CREATE FUNCTION public.hampers_{event}() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN {what}; RETURN NULL; END $$;"
            )
        };
        let trigger = |(event, _): &(&str, &str)| {
            format!(
                "CREATE TRIGGER hampers_{event} AFTER {event} ON legwork.job FOR EACH STATEMENT
                 EXECUTE FUNCTION public.hampers_{event}();"
            )
        };
        let functions = at.iter().map(function).collect::<Vec<_>>().concat();
        let triggers = at.iter().map(trigger).collect::<Vec<_>>().concat();
        let statement = format!(
            "{BURN} {functions}
             CREATE FUNCTION public.hampers() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                     WHERE object_identity = 'legwork.job') THEN {triggers} END IF;
             END $$;
             CREATE EVENT TRIGGER hampers ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
                 EXECUTE FUNCTION public.hampers()"
        );
        let template = self.postgres.url("template1");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be built");
        runtime.block_on(async {
            let mut session = PgConnection::connect(&template).await.expect("the server is there");
            let made = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await;
            made.expect("the triggers can be made");
            // A template that somebody is connected to can't be copied.
            session.close().await.expect("the session ends");
        });
        self
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
    assert!(
        kinds.clone().any(|(_, what)| what.contains("'{noop}'")),
        "{:?}",
        kinds.clone().next_back()
    );

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
    for work in ["drain", "latency", "pinned", "backlog", "fleet"] {
        for history in ["on", "off"] {
            let (figures, statements) = server.bench(&[work, "--jobs", "50", "--history", history]);
            let timed = &figures["commit_to_start_ms"]["n"];
            assert_eq!(if work == "latency" { timed } else { &figures["n"] }, 50, "{work}");
            let kept = sent(&statements, "legwork completer", FINISH) > 0;
            let forgotten = sent(&statements, "legwork completer", WITHOUT_HISTORY) > 0;
            assert_eq!((kept, forgotten), (history == "on", history == "off"), "{work}");
        }
    }
    for history in ["on", "off"] {
        let asked = ["enqueue", "--jobs", "70", "--seconds", "1", "--history", history];
        let (figures, statements) = server.bench(&asked);
        assert_eq!(figures["n"], 70);
        let kept = sent(&statements, "legwork completer", FINISH) > 0;
        assert_eq!(kept, history == "on");
    }
    server.postgres.stop().expect("it stops");
}

#[test]
fn a_drain_lasts_until_its_row_is_gone_and_counts_the_servers_cpu_and_its_heartbeats() {
    // What is measured is made to take a known time; nothing waits for it.
    let slow = [("delete", "PERFORM public.burn(50); PERFORM pg_sleep(1)")];
    let mut server = Logging::start().hampered(&slow);
    let (figures, statements) = server.bench(&["drain", "--jobs", "1"]);
    let figure = |name: &str| figures[name].as_f64().expect("a number");
    let renewed = sent(&statements, "legwork heartbeat", RENEW);
    let seen = format!("{renewed} renewals, {figures}");
    // Two counters of 10 ms are cut off on either side.
    assert!(figure("wall_s") >= 1.47, "{seen}");
    assert!(figure("jobs_per_s") <= 1.0, "{seen}");
    assert!((0.47..1.5).contains(&figure("pg_cpu_s")), "{seen}");
    assert!(renewed >= 3, "{seen}");
    assert_eq!(figures["config"]["heartbeat_ms"], 250);
    server.postgres.stop().expect("it stops");
}

#[test]
fn latency_holds_the_whole_claim_and_an_insert_the_whole_insert() {
    // The known times that the figures must hold; nothing waits for them.
    let slow = [("update", "PERFORM pg_sleep(0.1)"), ("insert", "PERFORM pg_sleep(0.005)")];
    let mut server = Logging::start().hampered(&slow);
    let (figures, _) = server.bench(&["latency", "--jobs", "30"]);
    let median = |name: &str| figures[name]["p50"].as_f64().expect("a number");
    assert!(median("insert_ms") >= 5.0, "{figures}");
    assert!(median("call_to_start_ms") >= 105.0, "{figures}");
    // A row can be claimed before its producer has seen the answer, so not all of it must show.
    assert!(median("commit_to_start_ms") >= 50.0, "{figures}");
    server.postgres.stop().expect("it stops");
}
