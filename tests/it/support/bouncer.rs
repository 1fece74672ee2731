//! A private `PgBouncer` in front of the run's server.
//!
//! It listens on a socket in a directory of its own and goes with its test, or with the test run where
//! that is killed. It lets everybody in as the user of the run's address, so a test on roles has to go
//! past it. As on any other machine that lacks it, a test that wants one is passed over with a line that
//! says so; `LEGWORK_TEST_POOLER=1` wants it and nothing else.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr as _;
use std::sync::{Once, OnceLock};

use legwork::config::{Database, DatabaseUrl, Pooler};
use legwork::sys::ChildSetup;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;

use super::server::environment;
use super::{TestDb, eventually};

/// In the socket's name.
const PORT: u16 = 6432;

/// A running `PgBouncer`. Dropping it ends it.
pub(crate) struct Bouncer {
    process: Child,
    directory: TempDir,
    database: String,
    /// The server's, and what runs the process where we are root.
    server: PgConnectOptions,
}

/// How it lends sessions out, and what a URL may ask of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mode {
    /// For as long as a connection lasts, instead of a transaction.
    pub(crate) session: bool,
    /// It passes over what a plain driver asks for at the start of a session.
    pub(crate) ignores: bool,
}

/// Whether the whole suite is to go through one.
pub(crate) fn for_all() -> bool {
    environment("LEGWORK_TEST_POOLER").as_deref() == Some("1")
}

/// Sends a daemon with these settings through it, and past it where it needs that, in a run that asks for it.
pub(crate) fn lead(db: &TestDb, database: &mut Database) {
    if for_all() {
        Bouncer::of_all().database(db, true, database);
    }
}

/// `[database]` of a daemon on this database: through it in a run that asks for it.
pub(crate) fn section(db: &TestDb) -> String {
    let mut database = format!("[database]\nurl = '{}'\n", db.url());
    if for_all() {
        let url = Bouncer::of_all().url_of(db.name());
        database = format!(
            "[database]\nurl = '{url}'\npooler = 'transaction'\ndirect_url = '{}'\n",
            db.url()
        );
    }
    database
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
        let bouncer = Self::begin(&program()?, &db.url(), db.name(), mode);
        bouncer.answers().await;
        Some(bouncer)
    }

    /// The one of a run that goes through one, in front of all of the server's databases.
    fn of_all() -> &'static Self {
        static OF_ALL: OnceLock<Bouncer> = OnceLock::new();
        OF_ALL.get_or_init(|| {
            let program = program().expect("a run that wants one has one");
            let server = super::server::url("postgres");
            Self::begin(&program, &server, "postgres", Mode::default())
        })
    }

    fn begin(program: &Path, url: &str, database: &str, mode: Mode) -> Self {
        let server = PgConnectOptions::from_str(url).expect("the run's address is right");
        let directory = tempfile::Builder::new().prefix("legwork-bouncer-").tempdir_in("/tmp");
        let directory = directory.expect("a directory can be made");
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, configuration(&server, url, directory.path(), mode))
            .expect("its configuration can be written");
        let owner = owner(&server);
        for path in [directory.path(), &file] {
            std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1)).expect("it can be given");
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(path, mode).expect("its mode can be set");
        }
        let process = spawn(program, &file, owner);
        Self { process, directory, database: database.into(), server }
    }

    /// The address of the database through it.
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.database)
    }

    fn url_of(&self, database: &str) -> String {
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

fn configuration(server: &PgConnectOptions, url: &str, directory: &Path, mode: Mode) -> String {
    let host = server.get_socket().map_or(server.get_host().into(), |at| at.display().to_string());
    let (port, user) = (server.get_port(), server.get_username());
    let user_info = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let password = user_info.and_then(|(user, _)| user.split_once(':'));
    let password = password.map(|(_, password)| format!(" password={password}"));
    let pool_mode = if mode.session { "session" } else { "transaction" };
    let ignores =
        if mode.ignores { "ignore_startup_parameters = extra_float_digits\n" } else { "" };
    format!(
        "[databases]\n* = host={host} port={port} user={user}{password}\n[pgbouncer]\n\
         listen_addr =\nlisten_port = {PORT}\nunix_socket_dir = {directory}\nauth_type = any\n\
         pool_mode = {pool_mode}\nadmin_users = pgbouncer, legwork\nmax_client_conn = 400\ndefault_pool_size = 20\n\
         server_idle_timeout = 1\n{ignores}",
        password = password.unwrap_or_default(),
        directory = directory.display(),
    )
}

/// Who it runs as: never root, and where the server's socket is for one user alone, as that one.
fn owner(server: &PgConnectOptions) -> (u32, u32) {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    if !uid.is_root() {
        return (uid.as_raw(), gid.as_raw());
    }
    let socket = server.get_socket().and_then(|at| std::fs::metadata(at).ok());
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
