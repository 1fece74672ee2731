//! A run in which everything goes through a `PgBouncer` in transaction mode: `LEGWORK_TEST_POOLER=1`.
//!
//! Whoever starts a daemon or a command, or makes settings, passes by here with the server's address, and
//! in such a run leaves with a pooler's. Daemons get the server's own as `direct_url`, as operators are told
//! to; commands have the pooler alone where that is allowed, which is the harder way. Each server, proxies
//! and clusters of a test's own included, has a pooler of its own in front, so that what befalls the
//! network befalls the pooler's sessions as well.
//!
//! [`DIRECT`] lists the tests that are the same as ever in such a run, with the reason of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use legwork::DaemonBuilder;
use legwork::config::{Database, DatabaseUrl, Pooler, Settings};
use legwork::daemon::Daemon;
use legwork::postgres::Connector;

use super::bouncer::{self, Bouncer, Server};
use super::server::environment;

/// Tests whose daemons and commands have no pooler even in a run of poolers: the test's path or what it
/// begins with, and why.
pub(crate) const DIRECT: &[(&str, &str)] = &[
    (
        "api::every::a_request_",
        "it counts what is sent to a server by sessions of a name, and a pooler's are of whoever used them last",
    ),
    (
        "cli::errors::a_database_that_is_not_there_is_exit_code_69_and_its_password_is_not_shown",
        "it is about the address of a server that isn't there, and a pooler would be there",
    ),
    (
        "cli::urls::a_url_that_names_no_user_means_the_one_that_runs_the_command",
        "a pooler logs in as who it was told to be, whoever its client is",
    ),
    (
        "plans::round_trips::",
        "it counts what is sent to a server, and what goes through a pooler is sent within transactions",
    ),
    (
        "process::probes::a_session_that_cannot_come_back_is_a_reason_until_it_can",
        "it ends one role's sessions by their name, and a pooler's have that of who used them last",
    ),
    (
        "traps::silence::trap_6_every_connection_that_falls_silent_is_closed_in_time",
        "it counts the daemon's connections to a silent network, and a pooler keeps its own for as \
         long as it likes",
    ),
];

/// The poolers of the run, by what they lead to, and the databases that they were asked for.
static POOLERS: Mutex<BTreeMap<Server, (&'static Bouncer, BTreeSet<String>)>> =
    Mutex::new(BTreeMap::new());

/// Commands that need a session of the server's own, or start daemons.
const NEED_SERVER: [&str; 4] = ["migrate", "run", "bench", "demo"];

/// Whether the whole suite is to go through poolers.
pub(crate) fn for_all() -> bool {
    environment("LEGWORK_TEST_POOLER").as_deref() == Some("1")
}

/// Whether this test is to.
fn is_pooled() -> bool {
    if !for_all() {
        return false;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    assert_ne!(
        test, "main",
        "LEGWORK_TEST_POOLER=1 tells tests by their threads: have two at least"
    );
    !DIRECT.iter().any(|(prefix, _)| test.starts_with(prefix))
}

/// Sends whoever has these settings through a pooler, and past it where it needs that.
pub(crate) fn lead(database: &mut Database) {
    let Some(url) = &database.url else { return };
    let server = url.expose().to_owned();
    if let Some(pooled) = through(&server) {
        database.url = Some(DatabaseUrl::new(pooled));
        database.pooler = Pooler::Transaction;
        database.direct_url = Some(DatabaseUrl::new(server));
    }
}

/// The default settings for the database at this address, led likewise.
pub(crate) fn database(url: &str) -> Database {
    let mut database =
        Database { url: Some(DatabaseUrl::new(url)), ..Settings::default().database };
    lead(&mut database);
    database
}

/// Makes connections to it.
pub(crate) fn connector(url: &str) -> Connector {
    connector_of(&database(url))
}

/// Makes connections by these settings.
pub(crate) fn connector_of(database: &Database) -> Connector {
    let url = database.url.as_ref().expect("it has an address");
    Connector::new(url, database).expect("the address can be read")
}

/// A daemon of the library's on it, without an admin port.
pub(crate) fn builder(url: &str) -> DaemonBuilder {
    let database = database(url);
    if database.pooler == Pooler::None {
        return Daemon::builder().database_url(url);
    }
    let mut settings = Settings { database, ..Settings::default() };
    settings.admin.listen = None;
    Daemon::builder().settings(settings)
}

/// The same of a configuration file.
pub(crate) fn file(text: &str) -> String {
    if !for_all() || text.contains("pooler = ") {
        return text.to_owned();
    }
    let mut section = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let url = line.strip_prefix("url = ").filter(|_| section == "[database]");
        let url = url.map(|url| url.trim_matches(['\'', '"']));
        lines.push(match url.and_then(|url| through(url).map(|pooled| (url, pooled))) {
            Some((url, pooled)) => {
                format!("url = '{pooled}'\npooler = 'transaction'\ndirect_url = '{url}'")
            }
            None => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

/// The environment of a command on this database. One that names its address itself, or asks for the
/// configuration, is left as it is.
pub(crate) fn variables(url: &str, arguments: &[&str]) -> Vec<(&'static str, String)> {
    let named = ["config", "--database-url"].iter().any(|word| arguments.contains(word));
    let pooled = if named { None } else { through(url) };
    let Some(pooled) = pooled else { return vec![("DATABASE_URL", url.to_owned())] };
    let mut variables =
        vec![("DATABASE_URL", pooled), ("LEGWORK_DATABASE__POOLER", "transaction".to_owned())];
    if arguments.iter().any(|argument| NEED_SERVER.contains(argument)) {
        variables.push(("LEGWORK_DATABASE__DIRECT_URL", url.to_owned()));
    }
    variables
}

/// The way to a server's database through its pooler; `None` where there is to be none.
fn through(url: &str) -> Option<String> {
    if !is_pooled() || bouncer::is_one(url) {
        return None;
    }
    let (server, database, parameters) = Server::of(url)?;
    let mut poolers = POOLERS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = poolers.entry(server.clone()).or_insert_with(|| {
        // Kept to the end of the run, like the run's server.
        (Box::leak(Box::new(Bouncer::for_all(&server))), BTreeSet::new())
    });
    entry.1.insert(database.clone());
    let pooled = entry.0.url_of(&database);
    Some(parameters.iter().fold(pooled, |url, parameter| format!("{url}&{parameter}")))
}

/// Has poolers let go of their idle sessions on a database: they aren't left behind, and its test needn't
/// wait for them.
pub(crate) async fn let_go(database: &str) {
    if !for_all() {
        return;
    }
    let of_it = || {
        let poolers = POOLERS.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = poolers.values().filter(|(_, databases)| databases.contains(database));
        asked.map(|(pooler, _)| *pooler).collect::<Vec<_>>()
    };
    for pooler in of_it() {
        pooler.reconnect(database).await;
    }
}
