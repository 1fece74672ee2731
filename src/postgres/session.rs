//! A dedicated connection that heals itself: every statement has a deadline, and a connection that
//! missed one, or failed in a way that leaves doubt, is closed rather than used again.
//!
//! A statement's future is dropped in the middle by its deadline, and by the supervisor where a loop has
//! stood still for far longer than any deadline; the connection goes with it. Those are the nets for a
//! network or a server that says nothing. Before them the server itself ends what takes too long: the
//! connection is kept then, and no backend is left behind that still waits for a lock when ten more have
//! come to wait beside it. Each answer is a step of the loop that asked, so that a loop may send as many
//! statements as it likes.

use super::{ConnectError, Connector, Refusal, link::Link, watch::Reporter};
use crate::supervise::{self, WaitPoint, at};
use futures::future::BoxFuture;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::{borrow::Cow, time::Duration};
use tokio::time::{Instant, timeout};

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// There was no connection to send it on.
    #[error("there is no connection to the database")]
    Connect(#[from] ConnectError),
    /// It didn't answer in time; the connection is closed.
    #[error("the database didn't answer within {0:?}")]
    Deadline(Duration),
    /// The database said no, or the connection broke. It stands in log lines: without the driver's words, which name a line
    /// of the server's source, and without what may quote a value.
    #[error("the database refused a statement: {}", Refusal::of(.0).map_or_else(|| .0.to_string(), |said| said.line()))]
    Statement(sqlx::Error),
}

impl DbError {
    /// What the database refused the statement by, as a line may tell it.
    pub fn refusal(&self) -> Option<String> {
        let Self::Statement(error) = self else { return None };
        Some(Refusal::of(error)?.line())
    }

    /// SQLSTATE, where the server gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Statement(sqlx::Error::Database(error)) => error.code().map(Into::into),
            Self::Statement(_) | Self::Connect(_) | Self::Deadline(_) => None,
        }
    }

    /// Whether an address leads where it shouldn't.
    pub fn leads_astray(&self) -> bool {
        matches!(self, Self::Connect(error) if error.leads_astray())
    }

    /// Whether the session broke under the statement, or the server goes or hasn't come yet: it says nothing about what stands in
    /// the database.
    pub fn is_of_the_session(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Deadline(_) => true,
            Self::Statement(error) => broke(error),
        }
    }

    /// What the metrics call it: SQLSTATE's class, `deadline`, or `io` for a connection that broke or
    /// couldn't be had.
    pub(super) fn class(&self) -> Cow<'static, str> {
        let error = match self {
            Self::Deadline(_) | Self::Connect(ConnectError::Deadline { .. }) => {
                return "deadline".into();
            }
            Self::Connect(
                ConnectError::Plaintext { .. }
                | ConnectError::Mistakes(_)
                | ConnectError::Pooler { .. }
                | ConnectError::Elsewhere { .. }
                | ConnectError::Startup { .. }
                | ConnectError::NoDirect { .. },
            ) => return "".into(),
            // As the server says it of a write.
            Self::Connect(ConnectError::ReadOnly { .. }) => return "25".into(),
            Self::Connect(ConnectError::NoTls { .. }) => return "io".into(),
            Self::Connect(
                ConnectError::Url(error) | ConnectError::Refused { source: error, .. },
            )
            | Self::Statement(error) => error,
        };
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                code.get(..2).unwrap_or_default().to_owned().into()
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => "io".into(),
            // A row that isn't as we expect it, or a setting: none of them has a class.
            _ => "".into(),
        }
    }

    /// Whether the rows are to blame rather than the moment: bad data, broken constraints and what an
    /// operator's trigger raises, by whatever SQLSTATE, come back however often they are sent. A right, a
    /// table or a function that is missing says nothing about the rows, and comes back by a grant or a
    /// migration.
    pub fn blames_the_rows(&self) -> bool {
        !self.was_ended()
            && self.sqlstate_class().is_some_and(|class| {
                !OF_THE_MOMENT.contains(&&*class) && !OF_EITHER.contains(&&*class)
            })
    }

    /// Whether the same statement, sent again, is likely to fail again: for who would otherwise try it for ever, before
    /// everything else that waits.
    pub fn comes_again(&self) -> bool {
        self.blames_the_rows() || (self.may_be_a_row_or_the_moment() && !self.was_ended())
    }

    /// Whether it may be one row or all of them, and an hour from now neither: what waits for a lock
    /// or takes too long, what lacks a right, a table or a function, perhaps in somebody's trigger, and
    /// what another server or a file says to such a trigger.
    pub(super) fn may_be_a_row_or_the_moment(&self) -> bool {
        self.was_ended()
            || self.sqlstate_class().is_some_and(|class| {
                OF_EITHER.contains(&&*class)
                    || (OF_A_CONNECTION.contains(&&*class) && self.ended_a_statement_alone())
            })
    }

    /// Whether the session goes on after it.
    fn ended_a_statement_alone(&self) -> bool {
        let Self::Statement(sqlx::Error::Database(error)) = self else { return false };
        let error = error.try_downcast_ref::<PgDatabaseError>();
        error.is_some_and(|error| error.severity() == PgSeverity::Error)
    }

    fn sqlstate_class(&self) -> Option<String> {
        self.sqlstate().map(|code| code.get(..2).unwrap_or_default().to_owned())
    }

    /// Whether the server ended it at one of its limits, a lock's or the whole statement's.
    pub(super) fn was_ended(&self) -> bool {
        self.sqlstate().is_some_and(|code| code == NO_LOCK || code == ENDED)
    }
}

/// See [`DbError::is_of_the_session`].
pub(super) fn broke(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57"))
        }
        _ => false,
    }
}

/// Classes of SQLSTATE that tell of the connection, the session or the server: no row is to blame.
const OF_THE_MOMENT: [&str; 11] = ["", "08", "25", "26", "28", "3D", "40", "53", "57", "58", "F0"];
/// Of these, those by which a server ends its own session. One that ends a statement alone is what a
/// trigger was told by somebody else: another server, by `dblink` or a foreign table, or a file.
const OF_A_CONNECTION: [&str; 4] = ["08", "28", "3D", "58"];
/// Those that tell of neither: what isn't supported, isn't there or isn't in the right state, another
/// server's, and Postgres's own errors, one of which is a broken block.
const OF_EITHER: [&str; 6] = ["0A", "3F", "42", "55", "HV", "XX"];

/// SQLSTATE of a statement that waited for a lock for `lock_timeout`.
const NO_LOCK: &str = "55P03";
/// SQLSTATE of a statement that the server ended: at `statement_timeout`, or because somebody asked.
pub(super) const ENDED: &str = "57014";

/// Whether a connection can be used again after this error: not if it broke, nor if the server is
/// going away or has become read-only under us.
fn keeps_connection(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // With `exit_on_error`, which a role or a function may have set, any error is the session's last.
    let said = error.try_downcast_ref::<PgDatabaseError>();
    let is_last = said.is_some_and(|it| !matches!(it.severity(), PgSeverity::Error));
    !is_last && error.code().is_some_and(|code| leaves_the_session_usable(&code))
}

/// Whether a session can be used again after this SQLSTATE.
pub(super) fn leaves_the_session_usable(code: &str) -> bool {
    code == ENDED || !matches!(code.get(..2), Some("08" | "25" | "57" | "XX"))
}

/// How much earlier than we give up the server ends a statement: a tenth, for its answer to come in
/// time. At most this much.
const HEAD_START_MAX: Duration = Duration::from_millis(500);

/// The server's limit for a statement that we wait for so long.
fn server_limit(limit: Duration) -> Duration {
    limit.saturating_sub((limit / 10).min(HEAD_START_MAX))
}

/// Where who waits for a session's answer is.
fn wait_point_of(role: &str) -> WaitPoint {
    match role {
        "claim" => WaitPoint::ClaimQuery,
        "completer" => WaitPoint::FlushQuery,
        "maintenance" => WaitPoint::MaintenanceQuery,
        "survey" => WaitPoint::SurveyQuery,
        "heartbeat" => WaitPoint::LeaseQuery,
        "sql-aside" => WaitPoint::AsideQuery,
        _ => WaitPoint::OtherQuery,
    }
}

/// A connection, and the limit that its server knows.
struct Connected {
    connection: Link,
    limit: Duration,
}

impl Connected {
    /// Has the server end what takes longer than `limit` allows.
    async fn end_at(&mut self, limit: Duration) -> Result<(), sqlx::Error> {
        if self.limit != limit {
            self.connection.limit(server_limit(limit)).await?;
            self.limit = limit;
        }
        Ok(())
    }
}

/// One role's connection.
pub struct Session {
    connector: Connector,
    role: &'static str,
    /// Settings that hold for the whole session.
    setup: Option<&'static str>,
    connection: Option<Connected>,
    /// Told of each statement, where the session is one of a daemon's.
    reporter: Option<Reporter>,
}

impl Session {
    /// Connects at its first statement. `setup` is sent after each connect, or with each statement where
    /// the connection ends at a pooler.
    pub fn new(connector: Connector, role: &'static str, setup: Option<&'static str>) -> Self {
        let reporter = connector.reporter(role);
        Self { connector, role, setup, connection: None, reporter }
    }

    /// Runs one statement under the deadline of `database.statement_timeout`. `operation` is the name
    /// of its file, by which metrics know it.
    pub async fn run<T>(
        &mut self,
        operation: &'static str,
        statement: impl for<'c> FnOnce(&'c mut Link) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        let limit = self.connector.statement_timeout();
        self.run_within(operation, limit, statement).await
    }

    /// Runs one statement under a deadline of its own.
    pub async fn run_within<T>(
        &mut self,
        operation: &'static str,
        limit: Duration,
        statement: impl for<'c> FnOnce(&'c mut Link) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, DbError> {
        supervise::step();
        // Taken out for the time of the statement: whatever goes wrong, nobody finds it half used.
        let mut connected = match self.connection.take() {
            Some(connected) => connected,
            None => self.connect(limit).await?,
        };
        let sent = Instant::now();
        let limited = async {
            connected.end_at(limit).await?;
            statement(&mut connected.connection).await
        };
        let answer = match at(wait_point_of(self.role), timeout(limit, limited)).await {
            Ok(Ok(value)) => {
                self.connection = Some(connected);
                Ok(value)
            }
            Ok(Err(error)) => {
                if keeps_connection(&error) {
                    self.connection = Some(connected);
                }
                Err(DbError::Statement(error))
            }
            Err(_) => Err(DbError::Deadline(limit)),
        };
        supervise::step();
        if let Some(reporter) = &mut self.reporter {
            let (error, kept) = (answer.as_ref().err(), self.connection.is_some());
            reporter.answered(operation, sent.elapsed(), error, kept);
        }
        answer
    }

    async fn connect(&mut self, limit: Duration) -> Result<Connected, DbError> {
        let began = Instant::now();
        let connected = at(WaitPoint::Connect, self.try_connect(limit)).await;
        supervise::step();
        if let Some(reporter) = &mut self.reporter {
            reporter.connected(began.elapsed(), connected.as_ref().err());
        }
        connected
    }

    async fn try_connect(&self, limit: Duration) -> Result<Connected, DbError> {
        let connection = self.connector.link(self.role, self.setup).await?;
        supervise::step();
        let mut connected = Connected { connection, limit: Duration::ZERO };
        match timeout(limit, connected.end_at(limit)).await {
            Ok(Ok(())) => Ok(connected),
            Ok(Err(error)) => Err(DbError::Statement(error)),
            Err(_) => Err(DbError::Deadline(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::the_default(10_000, 9_500)]
    #[case::the_shortest(100, 90)]
    #[case::a_scan(30_000, 29_500)]
    fn the_server_ends_a_statement_before_we_give_it_up(#[case] ours: u64, #[case] its: u64) {
        let limit = server_limit(Duration::from_millis(ours));
        assert_eq!(limit, Duration::from_millis(its));
    }
}
