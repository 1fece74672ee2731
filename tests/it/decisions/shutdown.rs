//! Test 7: TERM, while a handler of every type hangs, the database is black-holed and the completer
//! is full, all at once: the daemon ends in bounded time and names every job that it leaves behind.
//!
//! Handlers in Rust exist only in a program that embeds the library, so the daemon here is this test
//! binary, started again as a process of its own ([`host`]): TERM, exit and black hole are real.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use legwork::config::{Environment, Source, load};
use legwork::daemon::{Caught, Daemon as Library, Signals};
use legwork::executor::{Context, Handler, HandlerFuture};
use legwork::job::{KindName, Outcome};
use legwork::telemetry::logs;
use nix::sys::signal::Signal;
use sqlx::postgres::PgPool;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::watch;

use crate::process::bound::{BOUND, SCHEDULING};
use crate::support::{self, Daemon, Proxy, receiver::Receiver};

/// More verdicts than the completer takes: 512 in its flush and 4,096 in its channel.
const VERDICTS: i32 = 5000;

/// The handlers that can hang, as the reference lists them; `noop` has nothing to hang on.
const HANG: [&str; 5] = ["sleep", "rust", "command", "http", "sql"];

/// A function that doesn't come to its end; nothing waits for its sleep.
const FUNCTION: &str = "CREATE FUNCTION public.hang(payload jsonb) RETURNS jsonb LANGUAGE sql
    AS $$ SELECT payload FROM pg_sleep(86400) $$";

/// Ignores TERM, and would be given half a minute for it.
const STUBBORN: &str = "trap '' TERM; : > command; while :; do sleep 0.05; done";

#[test]
fn the_end_is_bounded_and_names_its_orphans_whatever_hangs_at_once() {
    support::run(async |db| {
        let pool = db.pool().await;
        let proxy = Proxy::before(&db.url()).await;
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().to_owned();
        sqlx::query(FUNCTION).execute(&pool).await.unwrap();
        let mute = Receiver::doing(async |mut stream| {
            stream.read_to_end(&mut Vec::new()).await.ok();
        })
        .await;
        let text = configuration(proxy.url(), &at, &mute.url("/"));
        std::fs::write(at.join("hosted.toml"), text).unwrap();
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "decisions::shutdown::host", "--nocapture", "--test-threads=1"]);
        let mut daemon = Daemon::start_command(command, directory).await;

        for (kind, payload) in [
            ("command", "{}"),
            ("sleep", "{\"seconds\": 86400}"),
            ("rust-waits", "{}"),
            ("rust-blocks", "{}"),
            ("http", "{}"),
            ("sql", "{}"),
        ] {
            let insert =
                "INSERT INTO legwork.job (queue, kind, payload) VALUES ('hung', $1, $2::jsonb)";
            sqlx::query(insert).bind(kind).bind(payload).execute(&pool).await.unwrap();
        }
        let many = "INSERT INTO legwork.job (queue, kind) SELECT 'many', 'gated' FROM generate_series(1, $1)";
        sqlx::query(many).bind(VERDICTS).execute(&pool).await.unwrap();
        support::eventually("every job is held", async || {
            held(&pool).await.len() == usize::try_from(VERDICTS).unwrap() + 6
        })
        .await;
        support::eventually("every handler that hangs has started", async || {
            let hangs = "SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'";
            let hangs = sqlx::query(hangs).fetch_all(&pool).await.unwrap();
            let files = ["command", "rust-waits", "rust-blocks"];
            files.iter().all(|name| at.join(name).exists())
                && (hangs.len(), mute.requests().len()) == (1, 1)
        })
        .await;

        proxy.blackhole();
        std::fs::write(at.join("go"), "").unwrap();
        support::eventually("more verdicts are there than the completer takes", async || {
            at.join("decided").exists()
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        daemon.exit(BOUND + SCHEDULING).await;

        let stopped = daemon.logged("daemon.stopped").await;
        assert_eq!(stopped["clean"], false);
        let left = held(&pool).await;
        assert!(left.len() > usize::try_from(VERDICTS).unwrap() - 512, "{}", left.len());
        let named = named(&daemon);
        let nameless: Vec<_> = left.difference(&named).collect();
        assert!(nameless.is_empty(), "{} of {} have no name", nameless.len(), left.len());
        assert_eq!(stopped["orphans"], named.len());
        pool.close().await;
    });
}

/// The jobs that a daemon holds.
async fn held(pool: &PgPool) -> BTreeSet<i64> {
    let held = sqlx::query_scalar("SELECT id FROM legwork.job WHERE holder IS NOT NULL");
    held.fetch_all(pool).await.expect("jobs can be read").into_iter().collect()
}

/// The jobs that the daemon's log calls orphans.
fn named(daemon: &Daemon) -> BTreeSet<i64> {
    let events = daemon.events();
    let names = ["shutdown.orphans", "job.orphaned"];
    let orphans = events.iter().filter(|line| names.iter().any(|name| line["event"] == **name));
    let ids = orphans.filter_map(|line| line["job.ids"].as_str());
    ids.flat_map(|ids| ids.split(',')).map(|id| id.parse().expect("an id")).collect()
}

#[test]
fn every_handler_of_the_reference_hangs_here_or_cannot() {
    let page = include_str!("../../../docs/configuration.md");
    let row = page.lines().find(|line| line.starts_with("| `kind.handler` |"));
    let allowed = row.and_then(|row| row.split('|').nth(3)).expect("the reference has the key");
    let mut handlers: Vec<_> = allowed.split(',').map(str::trim).collect();
    handlers.retain(|handler| *handler != "noop");
    assert_eq!(handlers, HANG, "a new handler hangs in the test above too");
}

fn configuration(url: &str, directory: &Path, receiver: &str) -> String {
    let directory = directory.display();
    format!(
        "[database]\nurl = '{url}'\n[shutdown]\ngrace = '500ms'\ncancel_grace = '500ms'\n\
         [claim]\nbatch = 1000\n[admin]\nlisten = 'off'\n[log]\nformat = 'json'\n\
         [[queue]]\nname = 'hung'\n[[queue]]\nname = 'many'\nconcurrency = {VERDICTS}\n\
         [[kind]]\nname = 'command'\nhandler = 'command'\nkill_grace = '30s'\n\
         command = ['/bin/sh', '-c', \"{STUBBORN}\"]\nunsafe_shell = true\ncwd = '{directory}'\n\
         [[kind]]\nname = 'sleep'\nhandler = 'sleep'\ntimeout = '2d'\n\
         [[kind]]\nname = 'rust-waits'\nhandler = 'rust'\n\
         [[kind]]\nname = 'rust-blocks'\nhandler = 'rust'\n\
         [[kind]]\nname = 'http'\nhandler = 'http'\nurl = '{receiver}'\n\
         allow_hosts = ['127.0.0.1']\nresponse_timeout = '1d'\ntimeout = '2d'\n\
         [[kind]]\nname = 'sql'\nhandler = 'sql'\nfunction = 'public.hang'\ntimeout = '2d'\n\
         [[kind]]\nname = 'gated'\nhandler = 'rust'\n"
    )
}

/// Never done, and deaf to its token.
struct Waits;

impl Handler for Waits {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        std::fs::write("rust-waits", "").expect("a file can be made");
        Box::pin(std::future::pending())
    }
}

/// Blocks its thread, as no handler should.
struct Blocks;

impl Handler for Blocks {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async {
            std::fs::write("rust-blocks", "").expect("a file can be made");
            loop {
                std::thread::park();
            }
        })
    }
}

/// Decides once the gate is open, all at the same time.
struct Gated {
    gate: watch::Receiver<bool>,
    decided: watch::Sender<i32>,
}

impl Handler for Gated {
    fn run<'a>(&'a self, _context: &'a Context) -> HandlerFuture<'a> {
        let mut gate = self.gate.clone();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.expect("the gate outlives its jobs");
            self.decided.send_modify(|decided| *decided += 1);
            Outcome::Complete { result: None }
        })
    }
}

/// Opens the gate when the file `go` is there, and says by the file `decided` when all have decided.
async fn keep_the_gate(gate: watch::Sender<bool>, mut decided: watch::Receiver<i32>) {
    support::eventually("the gate may be opened", async || Path::new("go").exists()).await;
    gate.send_replace(true);
    decided.wait_for(|decided| *decided == VERDICTS).await.expect("the handlers are there");
    std::fs::write("decided", "").expect("a file can be made");
}

/// The daemon, with the configuration in its directory. Beside other tests there is none, and
/// nothing to do: it only counts when the test above runs it.
#[test]
fn host() {
    let file = Path::new("hosted.toml");
    if !file.exists() {
        return;
    }
    let source = Source::new(Environment::of([("PATH", "/usr/bin:/bin")])).with_file(file);
    let settings = load(&source).expect("the configuration is right").settings;
    let log = logs::init(&settings.log, "host").expect("nobody logs yet");
    let name = |text| KindName::new(text).expect("a name");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let signals = Signals::default();
        let caught = Caught::install().expect("signals can be caught");
        let (gate, decided) = (watch::Sender::new(false), watch::Sender::new(0));
        let gated = Gated { gate: gate.subscribe(), decided: decided.clone() };
        let daemon = Library::new(settings, Environment::of::<&str, &str>([]))
            .with_handler(name("rust-waits"), Waits)
            .with_handler(name("rust-blocks"), Blocks)
            .with_handler(name("gated"), gated);
        let follow = async {
            tokio::join!(signals.clone().follow(caught), keep_the_gate(gate, decided.subscribe()));
        };
        tokio::select! {
            ended = daemon.run_with(signals.clone()) => drop(ended.expect("it had started")),
            () = follow => unreachable!("signals are followed for ever"),
        }
    });
    log.flush(Duration::from_secs(1));
    runtime.shutdown_background();
}
