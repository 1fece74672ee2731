//! How a connection is made: TLS by default, a deadline, and settings that don't depend on roles.
//!
//! Every session of ours is a dedicated connection (ADR 0001, concurrency.md); there is no pool
//! whose borrower could inherit somebody's open transaction. Where there is a pooler on the way, it is
//! decided here which sessions go through it (ADR 0018).

mod error;

pub use error::ConnectError;

use super::{
    link::{self, Link},
    transaction,
    upkeep::SCAN_LIMIT,
    watch::{Reporter, Watch},
};
use crate::config::{Database, DatabaseUrl, Pooler};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How much later than we the server gives up where nothing is gained by its answer.
const SERVER_SLACK: Duration = Duration::from_millis(500);

/// Sessions that go past a pooler where they can, one of each role (of `sql`, as many as
/// `database.sql_connections`), and why; the others, one each as well, gain nothing by it.
const DIRECT: [&str; 5] = [
    "claim",     // its plan lives by the session's settings
    "heartbeat", // nothing may stand in front of a renewal
    "listener",  // LISTEN is a session's
    "sql",       // an attempt keeps its session anyway, and is ended by its process's number
    "sql-aside", // which ends it
];

/// The sessions of a daemon.
const DAEMONS: [&str; 9] = [
    "admin",
    "claim",
    "completer",
    "heartbeat",
    "listener",
    "maintenance",
    "sql",
    "sql-aside",
    "survey",
];

/// How daemons' sessions are named in `pg_stat_activity`, but for the application's name behind it.
pub(super) fn names_of_daemons() -> Vec<String> {
    DAEMONS.iter().map(|role| session_name(role, None)).collect()
}

/// Makes connections to one database. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Connector {
    /// Where `database.url` leads.
    main: Route,
    /// Where `database.direct_url` leads.
    direct: Option<Route>,
    /// Whether a pooler is at `main`'s end.
    pooled: bool,
    connect_timeout: Duration,
    statement_timeout: Duration,
    watch: Option<Arc<Watch>>,
}

/// An address, read.
#[derive(Debug, Clone)]
pub(super) struct Route {
    options: PgConnectOptions,
    pub(super) place: String,
    /// What the URL calls its sessions, besides their role.
    application: Option<String>,
    must_be_writable: bool,
}

impl Route {
    fn of(url: &DatabaseUrl, settings: &Database) -> Result<Self, ConnectError> {
        let address = url.read().map_err(ConnectError::Mistakes)?;
        let options = PgConnectOptions::from_str(address.driver_url())
            .map_err(ConnectError::Url)?
            .disable_statement_logging();
        let remote = options.get_socket().is_none() && !is_local(options.get_host());
        let place = url.redacted();
        let options = match (remote && !settings.allow_plaintext, options.get_ssl_mode()) {
            // sqlx's default, `prefer`, falls back to plaintext without a word.
            (true, PgSslMode::Prefer) => options.ssl_mode(PgSslMode::VerifyFull),
            // sqlx takes `allow` for `disable`.
            (true, PgSslMode::Disable) => {
                return Err(ConnectError::Plaintext { place, mode: "disable" });
            }
            (true, PgSslMode::Allow) => {
                return Err(ConnectError::Plaintext { place, mode: "allow" });
            }
            _ => options,
        };
        Ok(Self {
            options,
            place,
            application: address.application_name().map(str::to_owned),
            must_be_writable: address.must_be_writable(),
        })
    }

    fn options(&self, role: &str) -> PgConnectOptions {
        self.options.clone().application_name(&session_name(role, self.application.as_deref()))
    }
}

impl Connector {
    /// Reads the URLs. Whatever connects to Postgres comes by here, so that this is the one place where
    /// it is decided what may go over a network without TLS: nothing, unless `allow_plaintext` says so.
    pub fn new(url: &DatabaseUrl, settings: &Database) -> Result<Self, ConnectError> {
        let mut main = Route::of(url, settings)?;
        let pooled = settings.pooler == Pooler::Transaction;
        if pooled {
            // A parameter that PgBouncer knows nothing of, so it would refuse the session.
            main.options = main.options.extra_float_digits(None);
        }
        let direct = settings.direct_url.as_ref().filter(|_| pooled);
        let direct = direct.map(|url| Route::of(url, settings)).transpose()?;
        Ok(Self {
            main,
            direct,
            pooled,
            connect_timeout: settings.connect_timeout,
            statement_timeout: settings.statement_timeout,
            watch: None,
        })
    }

    /// Has the sessions that are made from here on report to `watch`.
    #[must_use]
    pub fn watched(mut self, watch: Arc<Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Has the sessions that are made from here on report to nobody.
    #[must_use]
    pub(super) fn unwatched(self) -> Self {
        Self { watch: None, ..self }
    }

    pub(super) fn reporter(&self, role: &'static str) -> Option<Reporter> {
        self.watch.as_ref().map(|watch| Reporter::new(Arc::clone(watch), role))
    }

    /// Where it connects to, without the password.
    pub fn place(&self) -> &str {
        &self.main.place
    }

    /// How long one statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// The longest that a statement of a session can keep a loop in one step: connecting, the session's
    /// settings and the statement are a step each.
    pub fn step_max(&self) -> Duration {
        self.connect_timeout.max(self.statement_timeout)
    }

    /// The same of the session that surveys the table.
    pub fn survey_step_max(&self) -> Duration {
        self.step_max().max(SCAN_LIMIT)
    }

    /// Whether sessions of the server can be had, and with them LISTEN.
    pub fn reaches_server(&self) -> bool {
        self.server().is_some()
    }

    fn server(&self) -> Option<&Route> {
        if self.pooled { self.direct.as_ref() } else { Some(&self.main) }
    }

    /// What should lead to the server, and the key that says so.
    pub(super) fn server_key(&self) -> &'static str {
        if self.pooled { "database.direct_url" } else { "database.url with pooler = \"none\"" }
    }

    /// The options and the place, for the listener, which makes its own connection.
    pub(super) fn to_server(&self, role: &str) -> Result<(PgConnectOptions, String), ConnectError> {
        let no_direct =
            || ConnectError::NoDirect { session: role.into(), place: self.main.place.clone() };
        let server = self.server().ok_or_else(no_direct)?;
        Ok((server.options(role), server.place.clone()))
    }

    /// Refuses where there is only a pooler.
    pub fn needs_server(&self, session: &str) -> Result<(), ConnectError> {
        self.to_server(session).map(drop)
    }

    /// A session of the server's own, which shows as `legwork ROLE` in `pg_stat_activity`, with the URL's
    /// name behind it. What it is asked may take as long as it takes.
    pub async fn connect(&self, role: &str) -> Result<PgConnection, ConnectError> {
        self.to_server(role)?;
        let server = self.server().unwrap_or(&self.main);
        self.connect_by(server, role, async |c| sqlx::raw_sql(SETTINGS).execute(c).await.map(drop))
            .await
    }

    /// The same, whose server ends a statement soon after we give it up: who tries again and again leaves
    /// nothing behind that still waits for a lock. Where there is only a pooler, all that is asked is
    /// one transaction, which is begun.
    pub async fn connect_limited(&self, role: &str) -> Result<PgConnection, ConnectError> {
        let limit = self.statement_timeout + SERVER_SLACK;
        let server = self.server().unwrap_or(&self.main);
        self.connect_by(server, role, async |c| {
            if self.reaches_server() {
                sqlx::raw_sql(SETTINGS).execute(&mut *c).await?;
                return limit_statements(c, limit).await;
            }
            transaction::begin_with(c, &local_settings(limit)).await
        })
        .await
    }

    /// As the server's session, or, where there is only a pooler, one for [`local_settings`]'
    /// transactions.
    pub(super) async fn connect_somewhere(&self, role: &str) -> Result<PgConnection, ConnectError> {
        if self.reaches_server() {
            return self.connect(role).await;
        }
        self.connect_by(&self.main, role, async |_| Ok(())).await
    }

    /// A connection of this role that statements are sent on, with these settings as well.
    pub(super) async fn link(
        &self,
        role: &'static str,
        setup: Option<&'static str>,
    ) -> Result<Link, ConnectError> {
        let setup = setup.unwrap_or_default();
        let server = self.server().filter(|_| !self.pooled || DIRECT.contains(&role));
        if let Some(server) = server {
            let set = async |c: &mut PgConnection| {
                sqlx::raw_sql(SETTINGS).execute(&mut *c).await?;
                sqlx::raw_sql(setup).execute(c).await.map(drop)
            };
            return self.connect_by(server, role, set).await.map(Link::direct);
        }
        let connection = self.connect_by(&self.main, role, async |_| Ok(())).await?;
        Ok(Link::pooled(connection, link::local(&[SETTINGS, setup])))
    }

    /// A session on which nothing is set.
    pub(super) async fn bare(&self, role: &str) -> Result<PgConnection, ConnectError> {
        self.bare_by(self.server().unwrap_or(&self.main), role).await
    }

    /// The same by this way.
    pub(super) async fn bare_by(
        &self,
        route: &Route,
        role: &str,
    ) -> Result<PgConnection, ConnectError> {
        self.connect_by(route, role, async |_| Ok(())).await
    }

    /// The way through the pooler, where there is one past it too.
    pub(super) fn pooler(&self) -> Option<&Route> {
        (self.pooled && self.direct.is_some()).then_some(&self.main)
    }

    async fn connect_by(
        &self,
        route: &Route,
        role: &str,
        set: impl AsyncFnOnce(&mut PgConnection) -> Result<(), sqlx::Error>,
    ) -> Result<PgConnection, ConnectError> {
        let place = || route.place.clone();
        match timeout(self.connect_timeout, Box::pin(open(route, role, set))).await {
            Ok(Ok(Some(connection))) => Ok(connection),
            Ok(Ok(None)) => Err(ConnectError::ReadOnly { place: place() }),
            Ok(Err(error)) if is_without_tls(&error) => Err(ConnectError::NoTls { place: place() }),
            Ok(Err(source)) => Err(ConnectError::refused(place(), source)),
            Err(_) => Err(ConnectError::Deadline { place: place(), limit: self.connect_timeout }),
        }
    }
}

/// What no role's or database's own settings may change, since our statements mean it.
const SETTINGS: &str = include_str!("sql/session.sql");

/// What a transaction begins with where there is only a pooler.
pub(super) fn local_settings(limit: Duration) -> String {
    let limit = format!("SET statement_timeout = {};", limit.as_millis());
    link::local(&[SETTINGS, &limit])
}

/// Connects and makes the session's settings. `None` where the server is read-only and mustn't be.
async fn open(
    route: &Route,
    role: &str,
    set: impl AsyncFnOnce(&mut PgConnection) -> Result<(), sqlx::Error>,
) -> Result<Option<PgConnection>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(&route.options(role)).await?;
    set(&mut connection).await?;
    if !route.must_be_writable {
        return Ok(Some(connection));
    }
    // As simple text, which is one message to whatever is at the other end.
    let asked = sqlx::raw_sql(include_str!("sql/is_read_only.sql")).fetch_one(&mut connection);
    let read_only: bool = sqlx::Row::try_get(&asked.await?, 0)?;
    Ok((!read_only).then_some(connection))
}

/// Longest name that Postgres keeps, in bytes; it cuts what is behind.
const SESSION_NAME_MAX_BYTES: usize = 63;

/// The role comes first and stays whole: people and queries find sessions by it. The application's
/// name is cut to what is left.
fn session_name(role: &str, application: Option<&str>) -> String {
    let own = format!("legwork {role}");
    let Some(application) = application else { return own };
    let room = SESSION_NAME_MAX_BYTES.saturating_sub(own.len() + " ()".len());
    let application = &application[..application.floor_char_boundary(room)];
    format!("{own} ({application})")
}

/// Has the server end what it works on for longer than this.
pub(super) async fn limit_statements(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let limiting = sqlx::query(include_str!("sql/limit_statements.sql"));
    limiting.bind(format!("{}ms", limit.as_millis())).execute(connection).await.map(drop)
}

/// Whether the server said that it has no TLS. The driver has no variant for it, only a text; a test
/// with such a server holds us to it.
fn is_without_tls(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Tls(why) if why.to_string() == "server does not support TLS")
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.starts_with('/')
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[rstest::rstest]
    #[case::says_nothing("postgres://u@192.0.2.1/app", false, "VerifyFull")]
    #[case::says_require("postgres://u@192.0.2.1/app?sslmode=require", false, "Require")]
    #[case::plaintext_is_allowed("postgres://u@192.0.2.1/app?sslmode=disable", true, "Disable")]
    #[case::this_machine("postgres://u@127.0.0.1/app?sslmode=disable", false, "Disable")]
    fn what_leaves_this_machine_is_encrypted(
        #[case] url: &str,
        #[case] allow_plaintext: bool,
        #[case] mode: &str,
    ) {
        let settings = Database { allow_plaintext, ..Settings::default().database };
        let connector = Connector::new(&DatabaseUrl::new(url), &settings).unwrap();
        assert_eq!(format!("{:?}", connector.main.options("cli").get_ssl_mode()), mode);
    }

    #[rstest::rstest]
    #[case::none(None, "legwork maintenance")]
    #[case::short(Some("billing"), "legwork maintenance (billing)")]
    #[case::long(
        Some("0123456789012345678901234567890123456789é0123456789"),
        "legwork maintenance (0123456789012345678901234567890123456789)"
    )]
    fn a_session_is_known_by_its_role_whatever_the_application_is_called(
        #[case] application: Option<&str>,
        #[case] name: &str,
    ) {
        assert_eq!(session_name("maintenance", application), name);
        assert!(name.len() <= SESSION_NAME_MAX_BYTES);
    }

    /// What the driver makes of a URL that `config` has read.
    fn options(url: &str) -> PgConnectOptions {
        let connector = Connector::new(&DatabaseUrl::new(url), &Settings::default().database);
        connector.expect("the URL is right").main.options("cli")
    }

    #[test]
    fn every_part_of_a_url_reaches_the_driver_decoded() {
        let url = "postgres://me%40corp:p%2Fw+%3F@db.example:6000/my%20app?sslmode=require\
                   &sslrootcert=/a/b&options=-c%20x%3Dy&statement-cache-capacity=7";
        let options = options(url);
        assert_eq!(options.get_username(), "me@corp");
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 6000));
        assert_eq!(options.get_database(), Some("my app"));
        assert_eq!(options.get_options(), Some("-c x=y"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyCa), "an authority is checked");
        let shown = format!("{options:?}");
        assert!(shown.contains("p/w+?") && shown.contains("capacity: 7"), "{shown}");
    }

    #[rstest::rstest]
    #[case::of_the_authority("postgres://%2Frun%2Fpg/app")]
    #[case::of_a_parameter("postgres:///app?host=/run/pg")]
    #[case::with_a_user_before_it("postgres://u:p@/app?host=/run/pg")]
    #[case::instead_of_a_host("postgres://u:p@localhost/app?host=%2Frun%2Fpg")]
    fn a_socket_is_found_wherever_a_platform_writes_it(#[case] url: &str) {
        assert_eq!(options(url).get_socket(), Some(&std::path::PathBuf::from("/run/pg")));
    }

    proptest::proptest! {
        #[test]
        fn what_the_configuration_lets_through_the_driver_can_read(
            url in "postgres://([a%20:@\\[\\]./!,]|%4[01]){0,8}(/[a%2F]{0,4})?([?](port=|host=|hostaddr=|sslmode=|options=|connect_timeout=|user=|[a0%:1&]){0,5})?",
        ) {
            let made = Connector::new(&DatabaseUrl::new(url), &Settings::default().database);
            proptest::prop_assert!(!matches!(made, Err(ConnectError::Url(_))), "{made:?}");
        }
    }

    #[test]
    fn an_ipv6_address_is_a_server_s_name_without_its_brackets() {
        assert_eq!(options("postgres://u@[::1]:6000/app").get_host(), "::1");
    }

    #[test]
    fn every_session_of_a_daemon_is_known_by_the_name_that_the_documents_have() {
        let documented = include_str!("../../docs/concurrency.md").lines();
        let names = documented.filter_map(|line| line.strip_prefix("| `legwork ")?.split_once('`'));
        let names: Vec<_> = names.map(|(role, _)| format!("legwork {role}")).collect();
        assert_eq!(names_of_daemons(), names);
        assert!(DIRECT.iter().all(|role| DAEMONS.contains(role)));
    }
}
