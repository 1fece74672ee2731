//! A private `PgBouncer` in front of the run's server.
//!
//! It listens on a socket in a directory of its own and goes with its test, or with the test run where
//! that is killed. It lets everybody in as the user of the run's address, so a test on roles has to go
//! past it. As on any other machine that lacks it, a test that wants one is passed over with a line that
//! says so; `LEGWORK_TEST_POOLER=1` wants it and nothing else.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::Once;

use legwork::config::{Database, DatabaseUrl, Pooler};
use legwork::sys::ChildSetup;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;
use tokio::time::Instant;

use super::pooled::for_all;
use super::server::environment;
use super::{LOOK_EVERY, PATIENCE, TestDb, eventually};

/// In the socket's name.
const PORT: u16 = 6432;

/// A running `PgBouncer`. Dropping it ends it.
pub(crate) struct Bouncer {
    process: Child,
    directory: TempDir,
    database: String,
    server: Server,
}

/// How it lends sessions out, and what a URL may ask of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mode {
    /// For how long: `transaction`, unless this says otherwise.
    pub(crate) lends: Option<&'static str>,
    /// It passes over what a plain driver asks for at the start of a session.
    pub(crate) ignores: bool,
}

/// A server's address, without what a client asks of it besides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Server {
    /// Of a machine, or its socket's directory.
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    /// Taken on at the start of a session.
    role: Option<String>,
}

/// Parameters of a URL that say where the server is, or how the way there is protected.
const OF_THE_WAY: [&str; 6] = ["host=", "hostaddr=", "port=", "user=", "password=", "sslmode="];

impl Server {
    /// What a URL says of it, the database, and the parameters that say something else. `None` where that
    /// is no server of this machine, or the URL asks for what no pooler passes on.
    pub(super) fn of(url: &str) -> Option<(Self, String, Vec<String>)> {
        let options =
            PgConnectOptions::from_str(url).ok().filter(|_| url.starts_with("postgres"))?;
        let host = match options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let is_here = host.starts_with('/') || ["localhost", "127.0.0.1"].contains(&host.as_str());
        let user_info = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let password = user_info.and_then(|(user, _)| user.split_once(':'));
        let parameters = url.split_once('?').map(|(_, all)| all.split('&')).into_iter().flatten();
        let mut role = None;
        let mut others = Vec::new();
        for parameter in parameters {
            match parameter.strip_prefix("options=") {
                Some(options) => role = Some(options.strip_prefix("-crole%3D")?.to_owned()),
                None if OF_THE_WAY.iter().any(|way| parameter.starts_with(way)) => {}
                None => others.push(parameter.to_owned()),
            }
        }
        let server = Self {
            host,
            port: options.get_port(),
            user: options.get_username().to_owned(),
            password: password.map(|(_, password)| password.to_owned()),
            role,
        };
        let database = options.get_database().filter(|_| is_here)?.to_owned();
        Some((server, database, others))
    }
}

/// What the names of their directories begin with.
const DIRECTORY: &str = "legwork-bouncer-";

/// Whether an address is one's of ours.
pub(super) fn is_one(url: &str) -> bool {
    url.contains(DIRECTORY)
}

/// Its program, or a line that says what isn't tested without it.
pub(crate) fn program() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let path = environment("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];
    let directories = std::env::split_paths(&path).chain(usual.map(PathBuf::from));
    let found = directories.map(|at| at.join("pgbouncer")).find(|program| program.is_file());
    assert!(found.is_some() || !for_all(), "LEGWORK_TEST_POOLER=1, and there is no pgbouncer");
    if found.is_none() {
        // Past the capture of output: a passing run is to say it as well.
        let line = b"there is no pgbouncer: nothing is tested through a pooler\n";
        SAID.call_once(|| std::io::stderr().write_all(line).unwrap_or_default());
    }
    found
}

impl Bouncer {
    /// In front of the test's database; `None`, and a line, where there is no such program.
    pub(crate) async fn start(db: &TestDb, mode: Mode) -> Option<Self> {
        let (server, database, _) = Server::of(&db.url()).expect("the run's address is right");
        let bouncer = Self::begin(&program()?, &server, database, mode);
        bouncer.answers().await;
        Some(bouncer)
    }

    /// The same, whose sessions have this role.
    pub(crate) async fn start_as(db: &TestDb, role: &str) -> Option<Self> {
        let (server, database, _) =
            Server::of(&db.url_as(role)).expect("the run's address is right");
        let bouncer = Self::begin(&program()?, &server, database, Mode::default());
        bouncer.answers().await;
        Some(bouncer)
    }

    /// In front of all databases of a server, for a run that goes through such.
    pub(super) fn for_all(server: &Server) -> Self {
        let program = program().expect("a run that wants one has one");
        let bouncer = Self::begin(&program, server, "postgres".into(), Mode::default());
        let socket = bouncer.directory.path().join(format!(".s.PGSQL.{PORT}"));
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(began.elapsed() < PATIENCE, "the pooler doesn't listen");
            // It sends nobody a signal.
            std::thread::sleep(LOOK_EVERY);
        }
        bouncer
    }

    fn begin(program: &Path, server: &Server, database: String, mode: Mode) -> Self {
        let directory = tempfile::Builder::new().prefix(DIRECTORY).tempdir_in("/tmp");
        let directory = directory.expect("a directory can be made");
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, configuration(server, directory.path(), mode))
            .expect("its configuration can be written");
        let owner = owner(server);
        for path in [directory.path(), &file] {
            std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1)).expect("it can be given");
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(path, mode).expect("its mode can be set");
        }
        let process = spawn(program, &file, owner);
        Self { process, directory, database, server: server.clone() }
    }

    /// The address of the database through it.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.database)
    }

    pub(super) fn url_of(&self, database: &str) -> String {
        let place = self.directory.path().display();
        format!("postgres:///{database}?host={place}&port={PORT}&user=legwork")
    }

    /// `[database]` of a daemon that goes through it, and past it where it is to.
    pub(crate) fn database(&self, db: &TestDb, direct: bool, database: &mut Database) {
        database.url = Some(DatabaseUrl::new(self.url_of(db.name())));
        database.pooler = Pooler::Transaction;
        database.direct_url = direct.then(|| DatabaseUrl::new(db.url()));
    }

    /// The same as text.
    pub(crate) fn section(&self, db: &TestDb, direct: bool) -> String {
        let direct = if direct { format!("direct_url = '{}'\n", db.url()) } else { String::new() };
        format!("[database]\nurl = '{}'\npooler = 'transaction'\n{direct}", self.url())
    }

    /// A connection through it that asks for nothing at its start.
    pub(crate) async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::from_str(&self.url()).expect("it is right");
        let connected = PgConnection::connect_with(&options.extra_float_digits(None)).await;
        connected.expect("the pooler lets us in")
    }

    /// Has its console do this.
    pub(crate) async fn console(&self, order: &str) {
        let mut console = self.console_session().await.expect("the console lets us in");
        let done = console.execute(sqlx::raw_sql(AssertSqlSafe(order.to_owned()))).await;
        done.unwrap_or_else(|error| panic!("{order}: {error}"));
    }

    /// How many connections its clients hold on the test's database.
    pub(crate) async fn clients(&self) -> usize {
        let mut console = self.console_session().await.expect("the console lets us in");
        let clients = console.fetch_all(sqlx::raw_sql("SHOW CLIENTS")).await;
        let clients = clients.expect("it lists its clients");
        clients.iter().filter(|client| client.get::<&str, _>("database") == self.database).count()
    }

    /// Ends its process at once and starts another.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it can be waited for");
        let program = program().expect("there was one");
        let file = self.directory.path().join("pgbouncer.ini");
        self.process = spawn(&program, &file, owner(&self.server));
        self.answers().await;
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }

    /// Has it read its file again.
    pub(crate) fn reload(&self) {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGHUP).expect("it runs");
    }

    /// Has it end its idle sessions on a database, of which it may know nothing any more.
    pub(super) async fn reconnect(&self, database: &str) {
        if let Ok(mut console) = self.console_session().await {
            let order = AssertSqlSafe(format!("RECONNECT {database}"));
            console.execute(sqlx::raw_sql(order)).await.ok();
        }
    }

    async fn console_session(&self) -> Result<PgConnection, sqlx::Error> {
        let url = self.url().replace(&format!("/{}?", self.database), "/pgbouncer?");
        let options = PgConnectOptions::from_str(&url)?.extra_float_digits(None);
        PgConnection::connect_with(&options).await
    }

    async fn answers(&self) {
        let why = "the pooler answers";
        eventually(why, async || self.console_session().await.is_ok()).await;
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn configuration(server: &Server, directory: &Path, mode: Mode) -> String {
    let Server { host, port, user, password, role } = server;
    let password = password.as_ref().map(|password| format!(" password={password}"));
    let role = role.as_ref().map(|role| format!(" connect_query='SET ROLE {role}'"));
    let pool_mode = mode.lends.unwrap_or("transaction");
    let ignores =
        if mode.ignores { "ignore_startup_parameters = extra_float_digits\n" } else { "" };
    format!(
        "[databases]\n* = host={host} port={port} user={user}{password}{role}\n[pgbouncer]\n\
         listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {directory}\nauth_type = any\n\
         pool_mode = {pool_mode}\nadmin_users = pgbouncer, legwork\nmax_client_conn = 400\ndefault_pool_size = 20\n\
         server_idle_timeout = 1\nserver_login_retry = 0.2\n{ignores}",
        password = password.unwrap_or_default(),
        role = role.unwrap_or_default(),
        directory = directory.display(),
    )
}

/// Who it runs as: never root, and where the server's socket is for one user alone, as that one.
fn owner(server: &Server) -> (u32, u32) {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if !uid.is_root() {
        return (uid.as_raw(), gid.as_raw());
    }
    let socket = Some(&server.host).filter(|host| host.starts_with('/'));
    let socket = socket.and_then(|at| std::fs::metadata(at).ok());
    let of_socket = socket.map(|at| (at.uid(), at.gid())).filter(|(uid, _)| *uid != 0);
    // `nobody`, whatever it is called.
    of_socket.unwrap_or((65_534, 65_534))
}

fn spawn(program: &Path, file: &Path, (uid, gid): (u32, u32)) -> Child {
    let mut command = Command::new(program);
    command.arg("-q").arg(file).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut setup = ChildSetup::new().death_signal(Signal::SIGKILL);
    if Uid::effective().is_root() {
        setup = setup.user(Uid::from_raw(uid), Gid::from_raw(gid));
    }
    setup.apply(&mut command);
    legwork::sys::spawner::spawn_blocking(command).expect("pgbouncer can be started")
}
