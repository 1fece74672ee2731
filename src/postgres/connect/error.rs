//! Why a connection can't be had, in words that say what to set.

use std::time::Duration;

/// Why no connection could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL isn't right, by the rules of the configuration.
    #[error("the database URL can't be used: {}", .0.join("; "))]
    Mistakes(Vec<String>),
    /// The URL can't be read.
    #[error("the database URL can't be read")]
    Url(#[source] sqlx::Error),
    /// It would go over a network as plain text, which nobody has allowed.
    #[error(
        "{place} is on another machine, and sslmode={mode} lets passwords and payloads cross the \
         network in plain text: use verify-full, or set allow_plaintext = true under [database]"
    )]
    Plaintext {
        /// Where, without the password.
        place: String,
        /// What the URL or `PGSSLMODE` says.
        mode: &'static str,
    },
    /// The server answered that it has no TLS, and the connection must have it.
    #[error(
        "{place} offers no TLS, and without it passwords and payloads would cross the network in \
         plain text: turn it on there (ssl = on), or, where nobody in between can listen, set \
         allow_plaintext = true under [database] and ask for none in the URL's sslmode"
    )]
    NoTls {
        /// Where, without the password.
        place: String,
    },
    /// The URL asks for a server that can be written to, and this one can't.
    #[error("{place} is read-only, and target_session_attrs asks for one that can be written to")]
    ReadOnly {
        /// Where, without the password.
        place: String,
    },
    /// What should lead to a server leads to a pooler that lends one out by the transaction.
    #[error(
        "{place} leads to a pooler in transaction mode (PgBouncer, say), and {key} has to lead to the \
         server: set pooler = \"transaction\" under [database], with the pooler as url and the server \
         as direct_url"
    )]
    Pooler {
        /// Where, without the password.
        place: String,
        /// Which key named it.
        key: &'static str,
    },
    /// The pooler and the server are of different databases.
    #[error(
        "{place} (database.url) leads to another database than {server} (database.direct_url): jobs would be \
         claimed in the one and completed in the other; name the same database in both"
    )]
    Elsewhere {
        /// Where the pooler leads, without the password.
        place: String,
        /// Where the server is, without the password.
        server: String,
    },
    /// A pooler doesn't take what a session asks for at its start, or knows no transaction.
    #[error(
        "{place} is a pooler that refuses what our sessions need ({said}): in transaction mode set \
         pooler = \"transaction\" and direct_url under [database]; in session mode have the pooler \
         ignore it (ignore_startup_parameters = extra_float_digits in pgbouncer.ini); in statement mode \
         (pool_mode = statement) none can work; \
         options and PGOPTIONS pass through neither"
    )]
    Startup {
        /// Where, without the password.
        place: String,
        /// What it said.
        said: String,
    },
    /// The session's state is needed, and there is only a pooler.
    #[error(
        "{session} needs a session of its own on the server, and {place} is a pooler: set direct_url \
         under [database] to the server's own address"
    )]
    NoDirect {
        /// What needs it.
        session: String,
        /// Where, without the password.
        place: String,
    },
    /// The server refused, or isn't there.
    #[error("can't connect to {place}")]
    Refused {
        /// Where, without the password.
        place: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Nothing answered.
    #[error("{place} didn't answer within {limit:?}")]
    Deadline {
        /// Where, without the password.
        place: String,
        /// `database.connect_timeout`.
        limit: Duration,
    },
}
