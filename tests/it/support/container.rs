//! Postgres in a container, for a test run on a machine with a Docker engine.
//!
//! Everybody who runs the tests has the same server then, whatever their system packages. The
//! container belongs to the run: it is named before it exists, and a shell removes it by that name
//! when this process ends in whatever way, since a test run ends without dropping its statics.
//!
//! Ready means that a session could be had over the published port. The image logs that it is ready
//! twice: first for a server that only initialises the data and listens on no port.

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};

use super::holds_within;
use super::server::{MAX_CONNECTIONS, environment};

/// What the superuser of a server that lives for one run is let in with.
const PASSWORD: &str = "legwork";

/// The same as a server keeps it, made with one round of hashing instead of 4096.
/// sqlx 0.9.0 yields 819 times on those, 20 ms of hashing in a test build: a test that drops an operation
/// at its every await would drop hashing, and little else.
const KEPT_PASSWORD: &str = "SCRAM-SHA-256$1:bGVnd29yay10ZXN0LXJ1bg==\
    $X7XvXkZ8UhRzwPS+95Qj1YLZP9egyxd651WLhp9e++g=:7BPIaFEngU/fYj9k11pS0h7fjzHHde0KCeoJ7pdDjlw=";

/// The longest wait for sessions. It takes 3 s on an idle machine, most of it initdb.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// Shared memory for parallel queries, in bytes; Docker's own 64 MiB are soon used up.
const SHARED_MEMORY: u64 = 512 << 20;

/// A server in a container. It goes when this process ends.
pub(crate) struct Container {
    port: u16,
    _handle: ContainerAsync<GenericImage>,
    _remover: Child,
}

impl Container {
    /// Starts the server and waits for it. Blocks: on a thread outside every runtime.
    pub(crate) fn start() -> Result<Self, Box<dyn Error + Send + Sync>> {
        // Kept for the run: the container's handle speaks to the engine through this runtime.
        let runtime = Box::leak(Box::new(
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        ));
        let name = format!("legwork-test-{:012x}", fastrand::u64(..) >> 16);
        let remover = remove_when_this_process_ends(&name)?;
        let handle = runtime.block_on(request(&name).start())?;
        let port = runtime.block_on(handle.get_host_port_ipv4(5432))?;
        let container = Self { port, _handle: handle, _remover: remover };
        let url = container.url("postgres");
        let ready =
            runtime.block_on(holds_within(READY_LIMIT, async || takes_sessions(&url).await));
        if !ready {
            return Err(format!("{} takes no session within {READY_LIMIT:?}", image()).into());
        }
        runtime.block_on(make_sessions_cheap(&url))?;
        Ok(container)
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }
}

/// Where the Docker engine is asked for.
pub(crate) fn engine() -> String {
    environment("DOCKER_HOST").unwrap_or("unix:///var/run/docker.sock".to_owned())
}

/// Whether something listens there. An engine elsewhere is believed to.
pub(crate) fn engine_answers() -> bool {
    match engine().strip_prefix("unix://") {
        Some(socket) => UnixStream::connect(socket).is_ok(),
        None => true,
    }
}

/// The image: the oldest or newest Postgres can be had by naming it.
pub(crate) fn image() -> String {
    environment("LEGWORK_TEST_IMAGE").unwrap_or("postgres:17".to_owned())
}

/// What the engine is asked for.
fn request(container: &str) -> ContainerRequest<GenericImage> {
    let image = image();
    let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
    GenericImage::new(name, tag)
        .with_exposed_port(5432.tcp())
        .with_container_name(container)
        .with_env_var("POSTGRES_PASSWORD", PASSWORD)
        .with_shm_size(SHARED_MEMORY)
        .with_cmd(["-c", "fsync=off", "-c", &format!("max_connections={MAX_CONNECTIONS}")])
}

async fn takes_sessions(url: &str) -> bool {
    let Ok(session) = PgConnection::connect(url).await else { return false };
    session.close().await.is_ok()
}

/// Has the server keep the password so that a session costs no hashing.
async fn make_sessions_cheap(url: &str) -> Result<(), sqlx::Error> {
    let mut session = PgConnection::connect(url).await?;
    let statement = format!("ALTER ROLE postgres PASSWORD '{KEPT_PASSWORD}'");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await?;
    session.close().await
}

/// A shell that sees the end of its input when this process ends. In a process group of its own:
/// a Ctrl-C that ends the run must not end the shell before it has done its work.
fn remove_when_this_process_ends(name: &str) -> std::io::Result<Child> {
    let script = "cat >/dev/null; docker rm --force --volumes \"$1\" >/dev/null 2>&1";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", name]).stdin(Stdio::piped()).process_group(0).spawn()
}
