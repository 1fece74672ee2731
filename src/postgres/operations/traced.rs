//! A statement of an operation, and the session that it takes, below the span of the request that asked for it.
//!
//! Operations of the command line and of programs have no such span, and it costs them a look.

use super::OperationError;
use crate::{
    postgres::ConnectError,
    telemetry::spans::{self, CallSpan},
};

/// Runs a statement. The summary is what its span is called: the statement's verb, and what it is done to.
pub(super) async fn traced<T>(
    summary: &'static str,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let Some(span) = spans::statement(summary) else { return statement.await };
    let done = statement.await;
    let error = done.as_ref().err();
    let sqlstate = error.and_then(|error| error.as_database_error()?.code());
    let sqlstate = sqlstate.as_deref();
    span.returned(sqlstate, error.map(|_| sqlstate.unwrap_or("no_answer")));
    done
}

/// A request that gets a session, until it has one: whoever gets none did nothing else, and its trace says so.
#[derive(Debug)]
pub(super) struct Getting {
    span: Option<CallSpan>,
    /// One lay ready, and nobody waited for it.
    at_once: bool,
}

impl Getting {
    pub(super) fn begin() -> Self {
        Self { span: spans::session(), at_once: true }
    }

    /// There is a wait, or a session to be opened.
    pub(super) fn takes_time(&mut self) {
        self.at_once = false;
    }

    /// It has one, or an error in its place.
    pub(super) fn got<T>(&self, done: Result<T, OperationError>) -> Result<T, OperationError> {
        let Some(span) = &self.span else { return done };
        match &done {
            Ok(_) if self.at_once => span.forget(),
            Ok(_) => span.returned(None, None),
            Err(error) => {
                let sqlstate = code(error);
                let sqlstate = sqlstate.as_deref();
                let place = matches!(error, OperationError::Busy { .. });
                let without = if place { "no_place" } else { "no_connection" };
                span.returned(sqlstate, Some(sqlstate.unwrap_or(without)));
            }
        }
        done
    }
}

/// SQLSTATE, where the server gave one, be it instead of a session.
fn code(error: &OperationError) -> Option<String> {
    let OperationError::Connect(ConnectError::Refused { source, .. }) = error else {
        return error.sqlstate();
    };
    source.as_database_error()?.code().map(Into::into)
}
