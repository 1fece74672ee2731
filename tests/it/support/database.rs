//! A database of its own for each test, copied from a template that is migrated once a run.
//!
//! Names carry the machine, the pid and a number, so that several runs can share a server and the
//! next one drops what a killed run left.

use std::sync::atomic::{AtomicU32, Ordering};

use legwork::postgres::migrate;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::OnceCell;

use super::{PATIENCE, server};

/// What the names of all test databases start with.
const PREFIX: &str = "legwork_test_";

/// A database with the schema, for one test.
#[derive(Clone, Debug)]
pub(crate) struct TestDb {
    name: String,
}

impl TestDb {
    /// Makes a database from the template. [`run`](super::run) does this and drops it again.
    pub(crate) async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let template = template().await;
        let name = own_name(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        administer(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        Self { name }
    }

    /// Drops the database, whoever is still connected.
    pub(crate) async fn drop_database(&self) {
        administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    /// The address, for a daemon or a pool.
    pub(crate) fn url(&self) -> String {
        server::url(&self.name)
    }

    /// The address for a session that takes on this role.
    pub(crate) fn url_as(&self, role: &str) -> String {
        let url = self.url();
        let sign = if url.contains('?') { '&' } else { '?' };
        format!("{url}{sign}options=-crole%3D{role}")
    }

    /// The database's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A small pool. Close it before the test ends, or drop all of it.
    pub(crate) async fn pool(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(4).acquire_timeout(PATIENCE);
        options.connect(&self.url()).await.expect("the test's database can be reached")
    }

    /// One connection.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("the test's database can be reached")
    }

    /// The sessions on this database, described.
    pub(crate) async fn sessions(&self) -> Vec<String> {
        let mut session = administrator().await;
        let found = sqlx::query_scalar(
            "SELECT format('session %s (%s, %s): %s', pid, application_name, state, left(query, 80))
             FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
        );
        let found = found.bind(&self.name).fetch_all(&mut session).await;
        session.close().await.expect("an administrator's session ends");
        found.expect("sessions can be listed")
    }
}

/// Asks which session waits for a lock on this table, and gets 0 where none does.
///
/// Of this database: a server's locks are one list, and databases of one template have the same
/// tables under the same numbers.
pub(crate) fn who_waits_for(table: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT coalesce(max(pid), 0) FROM pg_locks
         WHERE NOT granted AND relation = '{table}'::regclass
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ))
}

/// The template of this run, made by whoever asks first.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(async || {
            drop_leftovers().await;
            let name = own_name("template");
            administer(&format!("CREATE DATABASE {name}")).await;
            let migrated = migrate::up(&server::url(&name)).await;
            assert!(migrated.is_ok(), "the template can't be migrated: {migrated:?}");
            name
        })
        .await
}

/// Drops the databases, templates too, of runs on this machine that are dead.
async fn drop_leftovers() {
    let mut session = administrator().await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
            .bind(format!("{PREFIX}{}_", machine()))
            .fetch_all(&mut session)
            .await
            .expect("databases can be listed");
    session.close().await.expect("an administrator's session ends");
    for name in names.iter().filter(|name| is_of_a_dead_run(name)) {
        administer(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    }
}

/// Whether no process has the pid in this name.
fn is_of_a_dead_run(name: &str) -> bool {
    let pid = name.rsplit('_').nth(1).and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH))
}

/// A name of this run.
fn own_name(last: &str) -> String {
    format!("{PREFIX}{}_{}_{last}", machine(), std::process::id())
}

/// What tells pids apart that are equal: another boot, another machine, another container.
fn machine() -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default().hash(&mut hasher);
    std::fs::read_link("/proc/self/ns/pid").unwrap_or_default().hash(&mut hasher);
    std::fs::read("/etc/hostname").unwrap_or_default().hash(&mut hasher);
    format!("{:08x}", hasher.finish() >> 32)
}

/// The address of the database that every server has. The first caller waits for the server.
pub(crate) async fn administrator_url() -> String {
    let url = tokio::task::spawn_blocking(|| server::url("postgres")).await;
    url.expect("the test run has a server")
}

/// A session outside every test database.
async fn administrator() -> PgConnection {
    PgConnection::connect(&administrator_url().await)
        .await
        .expect("the test run's server can be reached")
}

/// Runs a statement about databases.
async fn administer(statement: &str) {
    let mut session = administrator().await;
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await;
    assert!(done.is_ok(), "{statement}: {done:?}");
    session.close().await.expect("an administrator's session ends");
}

#[test]
fn the_databases_of_a_run_that_lives_are_kept() {
    assert!(!is_of_a_dead_run(&own_name("7")));
    // Beyond the highest pid that Linux gives.
    assert!(is_of_a_dead_run("legwork_test_0123abcd_4194305_7"));
}
