//! The one Postgres of a test run.
//!
//! `DATABASE_URL` if it is set, else a container if a Docker engine answers, else a private
//! cluster. An engine that can't serve the image (it can't pull, for one) is passed over with a
//! line that says so. `LEGWORK_TEST_DOCKER=1` wants the container and nothing else;
//! `LEGWORK_TEST_IMAGE` names another image than `postgres:17`. Every test has a database of its
//! own on this server; tests that need to stop a server start one of their own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use legwork::embedded::{Options, Postgres};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;

use super::container::{self, Container};

/// Where a cluster is quickest: making and dropping a database for each test is a thousand times three hundred files,
/// which a journaled file system spends a third of the server's time on.
const IN_MEMORY: &str = "/dev/shm";
/// What a run may come to there: databases of the tests that run at once, and what the server writes ahead.
const ROOM: u64 = 8 << 30;

/// Sessions for all the tests that run at once.
pub(super) const MAX_CONNECTIONS: &str = "400";

/// Where the server is, and what has to live for as long as the test run does.
enum Server {
    /// Somebody else's.
    Given { url: String },
    /// A container, removed by a shell when this process ends.
    Docker(Box<Container>),
    /// A cluster of our own. Its watchdog removes it when this process ends.
    Private(Postgres),
}

/// The server of this run, or why there is none: said to every test, tried once.
static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// The address of a database on the test run's server. Blocks while the server is being started.
pub(crate) fn url(database: &str) -> String {
    match SERVER.get_or_init(on_a_thread_of_its_own) {
        Ok(Server::Given { url }) => with_database(url, database),
        Ok(Server::Docker(container)) => container.url(database),
        Ok(Server::Private(postgres)) => postgres.url(database),
        Err(why) => panic!("{why}"),
    }
}

/// The `docker` of a run whose own server is a container.
pub(crate) fn docker_of_this_run() -> Option<PathBuf> {
    let server = SERVER.get_or_init(on_a_thread_of_its_own);
    let path = environment("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|directory| directory.join("docker"));
    matches!(server, Ok(Server::Docker(_))).then(|| programs.find(|program| program.is_file()))?
}

/// The options of a private cluster for tests, with the programs of this machine.
pub(crate) fn private_options() -> Options {
    let mut options = Options::default();
    let path = environment("PATH").unwrap_or_default();
    options.search.splice(0..0, std::env::split_paths(&path));
    options.settings.push(("max_connections".to_owned(), MAX_CONNECTIONS.to_owned()));
    if has_room(Path::new(IN_MEMORY)) {
        options.base = PathBuf::from(IN_MEMORY);
    }
    options
}

/// Whether a file system is kept in memory and has room for the databases of a whole run.
fn has_room(place: &Path) -> bool {
    let is_in_memory = statfs(place).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    let room = statvfs(place).map_or(0, |found| found.blocks_available() * found.fragment_size());
    is_in_memory && room >= ROOM
}

/// A variable of the test run's environment.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Which server a run is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// The one with this address.
    Given(String),
    /// A container and nothing else.
    Docker,
    /// A container, or a private cluster where the engine can't serve one.
    DockerOrPrivate,
    /// A private cluster.
    Private,
}

/// The order. Who asks for a container by name gets one, whatever else is there.
fn wanted(docker: Option<&str>, database_url: Option<String>, engine: bool) -> Wanted {
    match (docker, database_url) {
        (Some("1"), _) => Wanted::Docker,
        (_, Some(url)) => Wanted::Given(url),
        (_, None) if engine => Wanted::DockerOrPrivate,
        (_, None) => Wanted::Private,
    }
}

/// Finds or starts the server. The callers are inside a runtime, and starting one blocks.
fn on_a_thread_of_its_own() -> Result<Server, String> {
    let engine = container::engine_answers();
    let docker = environment("LEGWORK_TEST_DOCKER");
    let wanted = wanted(docker.as_deref(), environment("DATABASE_URL"), engine);
    let started = std::thread::spawn(move || start(wanted, engine));
    started.join().unwrap_or_else(|_| Err("the thread that starts the server panicked".into()))
}

/// Starts what is wanted.
fn start(wanted: Wanted, engine: bool) -> Result<Server, String> {
    match wanted {
        Wanted::Given(url) => Ok(Server::Given { url }),
        Wanted::Docker if !engine => Err(format!(
            "LEGWORK_TEST_DOCKER=1, and no Docker engine answers at {}: start one, or name it in \
             DOCKER_HOST",
            container::engine()
        )),
        Wanted::Docker => in_docker(),
        Wanted::DockerOrPrivate => in_docker().or_else(|why| {
            // Past the capture of output: a passing run is to say it as well.
            let line = format!("{why}; the tests use a private cluster instead\n");
            std::io::stderr().write_all(line.as_bytes()).ok();
            private()
        }),
        Wanted::Private => private(),
    }
}

fn in_docker() -> Result<Server, String> {
    let why = |error| {
        let (engine, image) = (container::engine(), container::image());
        format!("the Docker engine at {engine} doesn't serve {image} ({error})")
    };
    Container::start().map(|started| Server::Docker(Box::new(started))).map_err(why)
}

fn private() -> Result<Server, String> {
    Postgres::start(&private_options()).map(Server::Private).map_err(|error| error.to_string())
}

/// The same server, another database: the path of the URL replaced.
fn with_database(url: &str, database: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let scheme = before.find("://").map_or(0, |at| at + 3);
    let authority = before[scheme..].find('/').map_or(before.len(), |at| scheme + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &before[..authority])
}

#[rstest::rstest]
#[case::plain("postgres://u:p@host:5432/old", "postgres://u:p@host:5432/new")]
#[case::no_database("postgres://host", "postgres://host/new")]
#[case::query("postgres:///old?host=/run/pg", "postgres:///new?host=/run/pg")]
fn the_database_of_an_address_is_replaced(#[case] url: &str, #[case] expected: &str) {
    assert_eq!(with_database(url, "new"), expected);
}

#[rstest::rstest]
#[case::the_address_that_is_given(None, Some("a"), true, Wanted::Given("a".into()))]
#[case::an_engine(None, None, true, Wanted::DockerOrPrivate)]
#[case::nothing(None, None, false, Wanted::Private)]
#[case::docker_by_name(Some("1"), Some("a"), true, Wanted::Docker)]
#[case::docker_by_name_without_an_engine(Some("1"), None, false, Wanted::Docker)]
#[case::docker_not_asked_for(Some("0"), None, true, Wanted::DockerOrPrivate)]
fn a_run_has_the_address_it_is_given_else_a_container_else_a_private_cluster(
    #[case] docker: Option<&str>,
    #[case] url: Option<&str>,
    #[case] engine: bool,
    #[case] expected: Wanted,
) {
    assert_eq!(wanted(docker, url.map(str::to_owned), engine), expected);
}

#[test]
fn a_container_that_is_wanted_without_an_engine_is_refused_in_one_sentence() {
    let why = start(Wanted::Docker, false).err().expect("there is no engine");
    assert!(why.starts_with("LEGWORK_TEST_DOCKER=1, and no Docker engine answers at "), "{why}");
    assert!(!why.contains('\n'), "{why}");
}
