//! Requests that are done once, however often they are sent: by a key that the client gives them.
//!
//! What was answered is kept in the transaction of the jobs, so that an answer that got lost can be given again, and
//! nothing is done twice. Who works at a request holds an advisory lock on its key: a repetition that comes meanwhile,
//! to whichever daemon, is told so and waits for nothing.

use super::{Connection, OperationError, Placed, enqueue_or_find};
use crate::postgres::enqueue::NewJob;
use std::time::Duration;

/// What a transaction of a request with a key protects.
pub(super) const PROTECTS: &str =
    "a request's jobs and the answer to it are there together, or neither is.";

/// A request that is to be done once.
#[derive(Debug, Clone)]
pub struct Request {
    /// The client's key.
    pub key: String,
    /// SHA-256 of what is asked.
    pub fingerprint: Vec<u8>,
}

/// What is answered to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where what was made is.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Nothing: it is this transaction's, until its end.
    Ours,
    /// Somebody else works at the request.
    UnderWay,
    /// It was answered.
    Answered {
        /// So.
        answer: Answer,
        /// To a request with this one.
        fingerprint: Vec<u8>,
    },
}

/// Looks at a key, in a transaction.
pub async fn take_turn(connection: &mut Connection, key: &str) -> Result<Turn, OperationError> {
    let ours = sqlx::query_scalar(include_str!("../sql/request_turn.sql")).bind(key);
    let ours: bool =
        ours.persistent(false).fetch_one(&mut *connection).await.map_err(OperationError::Once)?;
    if !ours {
        return Ok(Turn::UnderWay);
    }
    // A statement of its own: what was committed before the lock was had is seen.
    let kept = sqlx::query_as::<_, (Vec<u8>, i16, Option<String>, String)>(include_str!(
        "../sql/request_find.sql"
    ));
    let kept = kept.bind(key).persistent(false).fetch_optional(connection).await;
    Ok(match kept.map_err(OperationError::Once)? {
        None => Turn::Ours,
        Some((fingerprint, status, location, body)) => {
            let status = u16::try_from(status).unwrap_or(200);
            Turn::Answered { answer: Answer { status, location, body }, fingerprint }
        }
    })
}

/// Keeps what is answered, in the same transaction.
pub async fn keep_answer(
    connection: &mut Connection,
    request: &Request,
    answer: &Answer,
) -> Result<(), OperationError> {
    let kept = sqlx::query(include_str!("../sql/request_keep.sql"))
        .bind(&request.key)
        .bind(&request.fingerprint)
        .bind(i16::try_from(answer.status).unwrap_or(i16::MAX))
        .bind(&answer.location)
        .bind(&answer.body)
        .persistent(false)
        .execute(connection);
    kept.await.map(drop).map_err(OperationError::Once)
}

/// What became of a job that was to be enqueued once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// It was now.
    Now(Placed, Answer),
    /// The key was used before, or is.
    Before(Turn),
}

/// Enqueues the job as [`enqueue_or_find`] does, unless the request's key was used before; in a transaction.
pub async fn enqueue_once(
    connection: &mut Connection,
    (job, delay): (&NewJob, Option<Duration>),
    request: &Request,
    answer: impl FnOnce(Placed) -> Answer,
) -> Result<Once, OperationError> {
    match take_turn(connection, &request.key).await? {
        Turn::Ours => {}
        before => return Ok(Once::Before(before)),
    }
    let placed = enqueue_or_find(connection, job, delay).await?;
    let answer = answer(placed);
    keep_answer(connection, request, &answer).await?;
    Ok(Once::Now(placed, answer))
}
