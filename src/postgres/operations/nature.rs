//! What a database error means to whoever has to decide what to do next.
//!
//! Callers branch on four natures rather than on some forty SQLSTATEs: the command line maps them to
//! exit codes, the HTTP API to status codes. The wording stays with the error.

use crate::postgres::ConnectError;
use sqlx::{error::DatabaseError, postgres::PgDatabaseError};
use std::error::Error;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// No session could be had, or it broke.
    Unreachable,
    /// The same thing may work in a moment.
    Temporary,
    /// The address itself can't be right, or what is asked for there.
    Address,
    /// The database understood and said no.
    Refused,
}

impl Nature {
    /// Of an error while a session was used.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::of_code(error.as_ref()),
            sqlx::Error::Configuration(_) => Self::Address,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Self::Unreachable
            }
            _ => Self::Refused,
        }
    }

    /// Of an error while a session was being opened.
    ///
    /// A refused password or a database that doesn't exist yet counts as unreachable: both happen
    /// while things are being set up or rotated, and trying again is then right.
    pub fn of_connecting(error: &sqlx::Error) -> Self {
        match Self::of(error) {
            Self::Refused => Self::Unreachable,
            other => other,
        }
    }

    /// Of a connection that couldn't be had.
    pub fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Mistakes(_)
            | ConnectError::Url(_)
            | ConnectError::Plaintext { .. }
            | ConnectError::Pooler { .. }
            | ConnectError::Elsewhere { .. }
            | ConnectError::Startup { .. }
            | ConnectError::NoDirect { .. }
            | ConnectError::NoTls { .. } => Self::Address,
            ConnectError::ReadOnly { .. } => Self::Temporary,
            ConnectError::Refused { source, .. } => Self::of_connecting(source),
            ConnectError::Deadline { .. } => Self::Unreachable,
        }
    }

    fn of_code(error: &dyn DatabaseError) -> Self {
        let code = error.code().unwrap_or_default();
        match code.as_ref() {
            // Serialization failure, deadlock, lock timeout, statement timeout, too many connections;
            // then: the server is starting or stopping, or after a fail-over still read-only.
            "40001" | "40P01" | "55P03" | "57014" | "53300" | "57P01" | "57P02" | "57P03"
            | "25006" => Self::Temporary,
            code if code.starts_with("08") => Self::Unreachable,
            _ => Self::Refused,
        }
    }
}

/// Whether a session broke, or was ended, before the server said what became of a statement on it.
pub(in crate::postgres) fn is_no_answer(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            // Of the connection, by a pooler too; statement_completion_unknown; the server stops, or somebody ended the session.
            let code = error.code().unwrap_or_default();
            code.starts_with("08") || code.starts_with("57P") || code == "40003"
        }
        error => Nature::of(error) == Nature::Unreachable,
    }
}

/// What the database itself said of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its sentence, with the detail where it gave one.
    pub message: String,
    /// What it advises.
    pub hint: Option<String>,
    /// The argument of a function, or the column of a table, that it is about, where it named one.
    pub member: Option<String>,
}

/// A stack that a value is nested too deeply for.
const TOO_DEEP: &str = "54001";

/// What to do about a server that TLS can't be had with.
const NO_TLS: &str = "what leaves this machine goes by TLS, and the server's name and certificate are \
                      checked: sslrootcert in the URL names another authority. Where the network \
                      itself can be trusted, set allow_plaintext = true under [database]";

/// What the database said, where this cause of an error is its answer: without the driver's words round
/// it, which name the line of the server's source.
pub fn said(cause: &(dyn Error + 'static)) -> Option<Said> {
    let error = cause.downcast_ref::<sqlx::Error>()?;
    if let sqlx::Error::Tls(why) = error {
        let hint = Some(NO_TLS.to_owned());
        return Some(Said { message: why.to_string(), hint, member: None });
    }
    let error = error.as_database_error()?;
    let postgres = error.try_downcast_ref::<PgDatabaseError>();
    let detail = postgres.and_then(PgDatabaseError::detail);
    let message = match detail {
        Some(detail) => format!("{} ({})", error.message(), detail.trim_end_matches('.')),
        None => error.message().to_owned(),
    };
    // Of a value that is nested too deeply the server speaks of a setting of its own.
    let is_too_deep = error.code().is_some_and(|code| code == TOO_DEEP);
    let hint = postgres
        .and_then(PgDatabaseError::hint)
        .filter(|_| !is_too_deep)
        .or_else(|| advice(error.code()?.as_ref(), error.message()));
    let member = postgres.and_then(PgDatabaseError::column).map(str::to_owned);
    Some(Said { message, hint: hint.map(str::to_owned), member })
}

/// What to do where the database doesn't say: the mistakes of the first hour, and of a fail-over.
fn advice(code: &str, message: &str) -> Option<&'static str> {
    // A pooler passes on the words and not the code.
    let is_missing = message.starts_with("database \"") && message.ends_with("\" does not exist");
    match code {
        "28P01" | "28000" => Some(
            "the role or its password is wrong, or pg_hba.conf lets it in by other means only; \
             `legwork config show` says where the address comes from",
        ),
        _ if code == "3D000" || is_missing => {
            Some("create the database (`createdb NAME`), then run `legwork migrate up`")
        }
        "25006" => Some(
            "the server is read-only: a standby, or one that is just taking over. Name the primary, \
             or run it again in a moment. Or default_transaction_read_only is set for the database \
             or the role: SELECT * FROM pg_db_role_setting",
        ),
        _ => None,
    }
}

/// What an error means that came out of a statement.
pub fn nature(error: &(dyn Error + 'static)) -> Nature {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let driver = causes.filter_map(|cause| cause.downcast_ref::<sqlx::Error>()).last();
    driver.map_or(Nature::Refused, Nature::of)
}

/// Whether an error comes down to a right that the session's role doesn't have.
pub fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(answer) = error.downcast_ref().and_then(sqlx::Error::as_database_error) {
            return answer.code().is_some_and(|code| code == "42501");
        }
        cause = error.source();
    }
    false
}
