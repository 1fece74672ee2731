//! A statement of an operation, below the span of the request that asked for it.
//!
//! Operations of the command line and of programs have no such span, and it costs them a look.

use crate::telemetry::spans;

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
