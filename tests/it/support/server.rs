//! The one Postgres of a test run.
//!
//! `DATABASE_URL` if it is set, else a container if a Docker engine answers, else a private
//! cluster. `LEGWORK_TEST_DOCKER=1` asks for the container and fails without an engine;
//! `LEGWORK_TEST_IMAGE` names another image than `postgres:17`. Every test has a database of its
//! own on this server; tests that need to stop a server start one of their own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use legwork::embedded::{Options, Postgres};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

/// Sessions for all the tests that run at once.
const MAX_CONNECTIONS: &str = "400";

/// Where the server is, and what has to live for as long as the test run does.
enum Server {
    /// Somebody else's.
    Given { url: String },
    /// A container, removed by the shell when this process ends.
    Docker { port: u16, _container: Box<ContainerAsync<GenericImage>>, _remover: Child },
    /// A cluster of our own. Its watchdog removes it when this process ends.
    Private(Postgres),
}

static SERVER: OnceLock<Server> = OnceLock::new();

/// The address of a database on the test run's server. Blocks while the server is being started.
pub(crate) fn url(database: &str) -> String {
    match SERVER.get_or_init(choose) {
        Server::Given { url } => with_database(url, database),
        Server::Docker { port, .. } => {
            format!("postgres://postgres:legwork@127.0.0.1:{port}/{database}")
        }
        Server::Private(postgres) => postgres.url(database),
    }
}

/// The options of a private cluster for tests, with the programs of this machine.
pub(crate) fn private_options() -> Options {
    let mut options = Options::default();
    let path = environment("PATH").unwrap_or_default();
    options.search.splice(0..0, std::env::split_paths(&path));
    options.settings.push(("max_connections".to_owned(), MAX_CONNECTIONS.to_owned()));
    options
}

/// A variable of the test run's environment.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Finds or starts the server. On a thread of its own: the callers are inside a runtime.
fn choose() -> Server {
    let chosen = std::thread::spawn(|| {
        if let Some(url) = environment("DATABASE_URL") {
            return Server::Given { url };
        }
        if environment("LEGWORK_TEST_DOCKER").is_some_and(|value| value == "1") {
            return container().expect("LEGWORK_TEST_DOCKER=1 needs a Docker engine and the image");
        }
        if engine_answers()
            && let Ok(server) = container()
        {
            return server;
        }
        Server::Private(Postgres::start(&private_options()).expect("a private Postgres starts"))
    });
    chosen.join().expect("the test run has a server")
}

/// Whether a Docker engine listens where it usually does.
fn engine_answers() -> bool {
    let host = environment("DOCKER_HOST").unwrap_or("unix:///var/run/docker.sock".to_owned());
    match host.strip_prefix("unix://") {
        Some(socket) => std::os::unix::net::UnixStream::connect(PathBuf::from(socket)).is_ok(),
        None => true,
    }
}

/// Starts Postgres in a container.
fn container() -> Result<Server, Box<dyn std::error::Error + Send + Sync>> {
    let image = environment("LEGWORK_TEST_IMAGE").unwrap_or("postgres:17".to_owned());
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    let request = GenericImage::new(name, tag)
        .with_exposed_port(5432.tcp())
        .with_env_var("POSTGRES_PASSWORD", "legwork")
        .with_cmd(["-c", "fsync=off", "-c", &format!("max_connections={MAX_CONNECTIONS}")]);
    // Kept for the run: the container's handle speaks to the engine through this runtime.
    let runtime = Box::leak(Box::new(
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
    ));
    let container = Box::new(runtime.block_on(request.start())?);
    let remover = remove_when_this_process_ends(container.id())?;
    let port = runtime.block_on(container.get_host_port_ipv4(5432))?;
    Ok(Server::Docker { port, _container: container, _remover: remover })
}

/// A test run ends without dropping its statics; this shell sees the end of its input instead.
fn remove_when_this_process_ends(id: &str) -> std::io::Result<Child> {
    let script = "cat >/dev/null; docker rm --force --volumes \"$1\" >/dev/null 2>&1";
    Command::new("sh").args(["-c", script, "sh", id]).stdin(Stdio::piped()).spawn()
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
