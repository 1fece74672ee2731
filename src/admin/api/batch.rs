//! Enqueues any number of jobs: a line of the body each, all of them or none.
//!
//! Lines go from the socket into one COPY as they come. A database that takes no more makes the client wait, since nothing
//! is read meanwhile, and memory is one line and one buffer. A client that dawdles is waited for within named bounds,
//! and nothing is begun before its first line is there.

use super::{
    super::{
        problem::{Problem, Refusal},
        routes::AdminState,
    },
    body::{is_of, plain},
    enqueue::{is_of_value, of_mistakes},
    once::{Key, Print, before, shown},
    origin::Sources,
    query::{Asked, Nothing},
    refusal, refusal_unchanged,
};
use crate::postgres::{
    enqueue::{
        EnqueueError, NewJob, line,
        lines::{LINE_MAX_BYTES, Lines, Read},
    },
    operations::{
        Answer, Batch, BatchError, Nature, OperationError, Request as Keyed, Sent, Turn, said,
    },
};
use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures::{TryStreamExt, stream::MapErr};
use serde::Serialize;
use std::{collections::HashMap, error::Error, io, time::Duration};
use tokio::time::{Instant, timeout_at};
use tokio_util::io::StreamReader;
use utoipa::ToSchema;

/// Where it is.
pub(in crate::admin) const PATH: &str = "/api/v1/jobs:batch";
/// The type of its body.
const NDJSON: &str = "application/x-ndjson";
/// Most bytes of a batch.
pub(in crate::admin) const BODY_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most jobs of a batch.
const JOBS_MAX: u64 = 100_000;
/// Most empty lines at the end: each takes a look, and no file that is meant has so many.
const EMPTY_MAX: u64 = 1000;
/// How long a client may take for a line.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client that was refused may take for a line.
const PASS_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take for all of them.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EnqueuedBatch)]
pub(super) struct Told {
    /// How many there are.
    enqueued: u64,
    /// The number of the first line's.
    first_id: Option<i64>,
    /// That of the last line's. Others that were enqueued meanwhile may lie between the two.
    last_id: Option<i64>,
    /// All, in the order of the lines, where there are at most 100.
    ids: Option<Vec<i64>>,
}

/// Enqueue many jobs, all of them or none
///
/// One JSON object a line, with the members of a single job. At most 100,000 lines of 8 MiB and 64 MiB in all; each line comes
/// within 5 s and the last one within a minute. A unique key that is taken is a mistake here.
#[utoipa::path(post, path = "/api/v1/jobs:batch", operation_id = "enqueue_jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, example = "8e03978e-40d5-43dd-bc93-6894a57f9324",
        description = "Another request with this key within a day does nothing and gets the same answer.")),
    request_body(content = String, content_type = "application/x-ndjson",
        example = "{\"kind\": \"send_email\", \"payload\": {\"to\": \"ann@example.com\"}}\n{\"kind\": \"send_email\"}\n"),
    responses((status = 201, description = "They are enqueued.", body = Told,
        headers(("Idempotency-Replayed" = String, description = "true: it was answered before.")),
        example = json!({ "enqueued": 2, "first_id": 4711, "last_id": 4712, "ids": [4711, 4712] }))))]
pub(in crate::admin) async fn enqueue(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
    Key(key): Key,
    request: Request,
) -> Result<Response, Refusal> {
    plain(request.headers())?;
    if !is_of(NDJSON, request.headers()) {
        return Err(
            Problem::NotJson.because("many jobs are sent with Content-Type: application/x-ndjson")
        );
    }
    let mut jobs = Jobs::of(request.into_body());
    let done = all(&state, &mut jobs, key).await;
    // Nothing of those that are sent already.
    jobs.sources.ended(done.as_ref().err().and_then(|stopped| stopped.by_database.as_deref()));
    if done.is_err() {
        jobs.pass_over().await;
    }
    done.map_err(|stopped| stopped.refusal)
}

/// Why there are none.
struct Stopped {
    refusal: Refusal,
    /// Where the database is why: its SQLSTATE, or `no_answer`.
    by_database: Option<String>,
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, by_database: None }
    }
}

impl Stopped {
    fn by_database(sqlstate: Option<String>, refusal: Refusal) -> Self {
        Self { refusal, by_database: Some(sqlstate.unwrap_or_else(|| "no_answer".to_owned())) }
    }
}

impl From<OperationError> for Stopped {
    fn from(error: OperationError) -> Self {
        // Before the commit nothing is done, whatever the server still does.
        Self::by_database(error.sqlstate(), refusal_unchanged(&error))
    }
}

impl From<EnqueueError> for Stopped {
    fn from(error: EnqueueError) -> Self {
        Self::by_database(error.sqlstate(), of_rows(&error))
    }
}

impl From<BatchError> for Stopped {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Operation(error) => error.into(),
            BatchError::Rows(error) => error.into(),
        }
    }
}

/// All of them.
async fn all(
    state: &AdminState,
    jobs: &mut Jobs,
    key: Option<String>,
) -> Result<Response, Stopped> {
    let place = state.sessions.batch_place()?;
    let first = jobs.next().await?;
    let first = first.ok_or_else(|| Problem::InvalidBody.because("there is no job in it"))?;
    let mut batch = state.sessions.batch(place).await?;
    if let Some(key) = &key {
        let turn = batch.turn(key).await?;
        if turn != Turn::Ours {
            batch.give_up().await;
            return Ok(again(&turn, jobs).await?);
        }
    }
    let sent = match send(&mut batch, first, jobs).await {
        Ok(sent) => sent,
        Err(stopped) => {
            batch.give_up().await;
            return Err(stopped);
        }
    };
    let fingerprint = jobs.print();
    let answer = answer(sent);
    if let Some(key) = key {
        batch.keep(&Keyed { key, fingerprint }, &answer).await?;
    }
    let committed = batch.commit().await;
    committed.map_err(|error| Stopped::by_database(error.sqlstate(), refusal(&error)))?;
    jobs.sources.sent();
    for (queue, jobs) in &jobs.queues {
        state.metrics.enqueued_over_http(queue, *jobs);
    }
    Ok(shown(&answer))
}

/// The answer to a batch whose key was seen before; what it is shows at its end.
async fn again(turn: &Turn, jobs: &mut Jobs) -> Result<Response, Refusal> {
    if matches!(turn, Turn::Answered { .. }) {
        while jobs.next().await?.is_some() {}
    }
    before(turn, &jobs.print())
}

fn answer(sent: Sent) -> Answer {
    let Sent { jobs, first, last, ids } = sent;
    let told = Told { enqueued: jobs, first_id: first, last_id: last, ids };
    // Numbers have a form in JSON.
    let body = serde_json::to_string(&told).unwrap_or_default();
    Answer { status: 201, location: None, body }
}

/// Sends every line. What is wrong with one takes back those before it.
async fn send(batch: &mut Batch, first: Next, jobs: &mut Jobs) -> Result<Sent, Stopped> {
    let mut sending = batch.send().await?;
    let mut next = Some(first);
    while let Some((job, delay)) = next {
        sending.push(job, delay).await?;
        next = match jobs.next().await {
            Ok(next) => next,
            Err(refusal) => {
                // Its failure ends the session, which takes them back as well.
                sending.take_back().await.ok();
                return Err(refusal.into());
            }
        };
    }
    let ended = sending.end().await?;
    Ok(batch.sent(ended).await?)
}

/// A job and its delay.
type Next = (NewJob, Option<Duration>);

/// The body as it comes.
type Coming = StreamReader<MapErr<BodyDataStream, fn(axum::Error) -> io::Error>, Bytes>;

/// The jobs of a body, a line each.
struct Jobs {
    lines: Lines<Coming>,
    sources: Sources,
    print: Print,
    queues: HashMap<String, u64>,
    read: u64,
    empty: Option<u64>,
    until: Instant,
}

impl Jobs {
    fn of(body: Body) -> Self {
        let other: fn(axum::Error) -> io::Error = io::Error::other;
        let body = StreamReader::new(body.into_data_stream().map_err(other));
        let lines = Lines::within(BODY_MAX_BYTES, body);
        let until = Instant::now() + BODY_TIMEOUT;
        let (sources, print, queues) = (Sources::new(), Print::of(PATH), HashMap::new());
        Self { lines, sources, print, queues, read: 0, empty: None, until }
    }

    /// The next one, none at the end; or what is wrong with the line.
    async fn next(&mut self) -> Result<Option<Next>, Refusal> {
        loop {
            let until = self.until.min(Instant::now() + LINE_TIMEOUT);
            let read = timeout_at(until, self.lines.next()).await;
            let read = read.map_err(|_| Problem::BodyTooSlow)?;
            let read = read.map_err(|_| Problem::InvalidBody.because("the body broke off"))?;
            let parsed = match read {
                Read::End => return Ok(None),
                Read::Empty => None,
                Read::TooLong => {
                    let why = format!("a line is longer than {LINE_MAX_BYTES} bytes");
                    Some(Err(Problem::BodyTooLarge.because(why)))
                }
                Read::Line(text) => {
                    self.print.add(text);
                    self.print.add(b"\n");
                    Some(line::parse(text).map_err(|wrong| {
                        let column = wrong.0.first().and_then(|mistake| mistake.column);
                        of_mistakes(&wrong).in_column(column)
                    }))
                }
            };
            let number = self.lines.number();
            // Whatever they hold, empty lines too.
            if self.lines.bytes() > BODY_MAX_BYTES {
                return Err(too_much());
            }
            let Some(parsed) = parsed else {
                // At the end they do no harm; before it rows and lines would be counted differently.
                let first = *self.empty.get_or_insert(number);
                if number - first < EMPTY_MAX {
                    continue;
                }
                return Err(Problem::InvalidBody.because("is empty").in_line(first));
            };
            if let Some(empty) = self.empty {
                return Err(Problem::InvalidBody.because("is empty").in_line(empty));
            }
            let (job, delay) = parsed.map_err(|refusal| refusal.in_line(number))?;
            self.read += 1;
            if self.read > JOBS_MAX {
                return Err(too_much());
            }
            let queue = job.queue.as_ref().map_or("default", |queue| queue.as_str());
            match self.queues.get_mut(queue) {
                Some(jobs) => *jobs += 1,
                None => drop(self.queues.insert(queue.to_owned(), 1)),
            }
            return Ok(Some((self.sources.given_to(job), delay)));
        }
    }

    /// What tells this batch from others, at its end.
    fn print(&self) -> Vec<u8> {
        self.print.clone().end()
    }

    /// Reads on, within bounds, so that a client that sends everything before it reads gets its answer.
    async fn pass_over(&mut self) {
        while self.lines.bytes() <= BODY_MAX_BYTES {
            let until = self.until.min(Instant::now() + PASS_TIMEOUT);
            match timeout_at(until, self.lines.pass()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false) | Err(_)) | Err(_) => return,
            }
        }
    }
}

fn too_much() -> Refusal {
    let why = format!("a batch has at most {BODY_MAX_BYTES} bytes and {JOBS_MAX} jobs");
    Problem::BodyTooLarge.because(why)
}

/// What the database refuses, by the line; or why nothing could be sent.
fn of_rows(error: &EnqueueError) -> Refusal {
    let cause = error.source();
    let (told, hint) = match cause.and_then(said) {
        Some(said) => (said.message, said.hint),
        None => (error.to_string(), None),
    };
    let line = match error {
        EnqueueError::Refused { row, .. } => Some(*row),
        _ => None,
    };
    let refused = match error.broken_rule() {
        Some(broken) => Problem::InvalidJob.because(broken.to_string()).about(broken.column, None),
        None if error.sqlstate().is_some_and(|code| is_of_value(&code)) => {
            Problem::InvalidJob.because(told).advised(hint)
        }
        None => match error.nature() {
            Nature::Unreachable | Nature::Address => Problem::DatabaseUnavailable.into(),
            Nature::Temporary => Problem::DatabaseUnavailable.because(told).advised(hint),
            Nature::Refused => Problem::DatabaseRefused.because(told).advised(hint),
        },
    };
    match line {
        Some(line) => refused.in_line(line),
        None => refused,
    }
}

#[cfg(test)]
mod tests;
