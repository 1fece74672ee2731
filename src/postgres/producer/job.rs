//! A job that doesn't exist yet, as a program says it.

use super::rules::{self, BrokenRule};
use crate::{
    executor::Context,
    job::{KindName, QueueName, is_storable_json},
    postgres::enqueue::NewJob,
    telemetry::Origin,
};
use serde::Serialize;
use std::{ops::RangeInclusive, sync::Arc, time::Duration};
use time::{OffsetDateTime, macros::datetime};

const PRIORITIES: RangeInclusive<i16> = -2..=2;
const ATTEMPTS: RangeInclusive<u16> = 1..=1000;
const TIMEOUT_MAX: Duration = Duration::from_hours(30 * 24);
const UNIQUE_KEY_MAX_BYTES: usize = 512;
const FIRST_MOMENT: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);
const END_OF_TIME: OffsetDateTime = datetime!(2200-01-01 00:00 UTC);

/// What happens where an unfinished job of the queue has the same unique key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing is enqueued and that is fine: [`Enqueued::Duplicate`](super::Enqueued::Duplicate).
    #[default]
    Skip,
    /// [`EnqueueError::Taken`](super::EnqueueError::Taken).
    Fail,
}

/// A job to enqueue. Only its kind is required; what isn't said takes the column's default.
///
/// Nothing here fails: [`enqueue`](super::enqueue) says everything that is wrong at once.
///
/// ```
/// use legwork::Job;
/// use std::time::Duration;
///
/// let job = Job::new("send_receipt")
///     .payload(&serde_json::json!({"order": 42}))
///     .queue("mail")
///     .priority(-1)
///     .delay(Duration::from_secs(600))
///     .unique_key("receipt-42")
///     .tag("orders");
/// assert!(job.check().is_ok());
///
/// let broken = Job::new("send receipt").priority(7).check().expect_err("it can't be enqueued");
/// assert_eq!((broken[0].column, broken[1].column), ("kind", "priority"));
/// assert_eq!(broken[1].rule, "priority_is_minus_2_to_2");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a job exists once it is enqueued"]
pub struct Job {
    kind: String,
    payload: Option<Json>,
    queue: Option<String>,
    start: Start,
    priority: Option<i16>,
    max_attempts: Option<u16>,
    unique_key: Option<String>,
    conflict: OnConflict,
    timeout: Option<Duration>,
    expires_at: Option<OffsetDateTime>,
    tags: Vec<String>,
    metadata: Option<Json>,
    follows: Option<Arc<Origin>>,
}

/// JSON text, or why it couldn't be written.
type Json = Result<String, String>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    Now,
    At(OffsetDateTime),
    In(Duration),
}

fn json(value: &(impl Serialize + ?Sized)) -> Json {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

impl Job {
    /// A job of this kind, with the payload `{}`, due at once, in queue `default`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            payload: None,
            queue: None,
            start: Start::Now,
            priority: None,
            max_attempts: None,
            unique_key: None,
            conflict: OnConflict::default(),
            timeout: None,
            expires_at: None,
            tags: Vec::new(),
            metadata: None,
            follows: None,
        }
    }

    /// Its input: anything that serde writes as JSON, at most 1 MiB of it.
    pub fn payload(mut self, payload: &(impl Serialize + ?Sized)) -> Self {
        self.payload = Some(json(payload));
        self
    }

    /// The queue that it waits in.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// −2 … 2; lower runs first.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Not before this moment.
    pub fn run_at(mut self, moment: OffsetDateTime) -> Self {
        self.start = Start::At(moment);
        self
    }

    /// Not before this long from the transaction's begin, by the database's clock. The last of this and
    /// [`run_at`](Self::run_at) counts.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.start = Start::In(delay);
        self
    }

    /// 1 … 1000 attempts, in place of what its kind has.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// At most one unfinished job of a queue has this key, of 1 to 512 bytes.
    pub fn unique_key(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }

    /// What happens where the unique key is taken.
    pub fn on_conflict(mut self, choice: OnConflict) -> Self {
        self.conflict = choice;
        self
    }

    /// How long an attempt may take, up to 30 days, in place of what its kind has.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// No attempt starts after this moment; a job that waits then is discarded.
    pub fn expires_at(mut self, moment: OffsetDateTime) -> Self {
        self.expires_at = Some(moment);
        self
    }

    /// Another word to filter by.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// An object; `traceparent`, `request_id` and `user_id` in it follow the job into logs.
    pub fn metadata(mut self, object: &(impl Serialize + ?Sized)) -> Self {
        self.metadata = Some(json(object));
        self
    }

    /// From a handler: the job that it runs led to this one, which gets its request and user, and a place in
    /// its trace below the attempt. What its own metadata says stands.
    pub fn follows(mut self, context: &Context) -> Self {
        self.follows = context.origin().cloned();
        self
    }

    /// Everything that is wrong with it, as far as that can be known without the database.
    pub fn check(&self) -> Result<(), Vec<BrokenRule>> {
        self.row().map(drop)
    }

    pub(super) fn conflict(&self) -> OnConflict {
        self.conflict
    }

    /// As a row and the delay from now, or everything that is wrong.
    pub(super) fn row(&self) -> Result<(NewJob, Option<Duration>), Vec<BrokenRule>> {
        let mut wrong = Vec::new();
        let kind = KindName::new(&self.kind);
        let kind = kind.map_err(|error| wrong.push(rules::broken("kind", error.to_string())));
        let queue = self.queue.as_deref().map(QueueName::new).transpose();
        let queue = queue.map_err(|error| wrong.push(rules::broken("queue", error.to_string())));
        self.check_limits(&mut wrong);
        self.check_texts(&mut wrong);
        let (Ok(kind), Ok(queue), []) = (kind, queue, wrong.as_slice()) else { return Err(wrong) };
        let (run_at, delay) = match self.start {
            Start::Now => (None, None),
            Start::At(moment) => (Some(moment), None),
            Start::In(delay) => (None, Some(delay)),
        };
        let text = |json: &Option<Json>| json.clone().and_then(Result::ok);
        let row = NewJob {
            payload: text(&self.payload),
            queue,
            run_at,
            priority: self.priority,
            max_attempts: self.max_attempts,
            unique_key: self.unique_key.clone(),
            timeout: self.timeout,
            expires_at: self.expires_at,
            tags: self.tags.clone(),
            metadata: self.all_metadata(),
            ..NewJob::new(kind)
        };
        Ok((row, delay))
    }

    /// Its own, value by value as it is, and what that lacks of the job that it follows. Nothing, where there
    /// is none of either, leaves it to the session.
    fn all_metadata(&self) -> Option<String> {
        let own = self.metadata.clone().and_then(Result::ok);
        let Some(origin) = &self.follows else { return own };
        origin.fill(own.as_deref())
    }

    fn check_limits(&self, wrong: &mut Vec<BrokenRule>) {
        let mut refuse = |column, why: String| wrong.push(rules::broken(column, why));
        if let Some(priority) = self.priority.filter(|given| !PRIORITIES.contains(given)) {
            refuse("priority", format!("{priority} isn't from -2 to 2"));
        }
        if let Some(attempts) = self.max_attempts.filter(|given| !ATTEMPTS.contains(given)) {
            refuse("max_attempts", format!("{attempts} isn't from 1 to 1000"));
        }
        let whole = |time: &Duration| time.as_micros() > 0 && *time <= TIMEOUT_MAX;
        if let Some(timeout) = self.timeout.filter(|given| !whole(given)) {
            refuse("timeout", format!("{timeout:?} isn't above 0 and at most 30 days"));
        }
        let exists = |moment: &OffsetDateTime| (FIRST_MOMENT..END_OF_TIME).contains(moment);
        let far = |delay: Duration| delay >= (END_OF_TIME - FIRST_MOMENT).unsigned_abs();
        match self.start {
            Start::At(moment) if !exists(&moment) => {
                refuse("run_at", format!("{moment} isn't from 2000 to 2199"));
            }
            Start::In(delay) if far(delay) => {
                refuse("run_at", format!("{delay:?} from now isn't from 2000 to 2199"));
            }
            _ => {}
        }
        if let Some(moment) = self.expires_at.filter(|moment| !exists(moment)) {
            refuse("expires_at", format!("{moment} isn't from 2000 to 2199"));
        }
    }

    fn check_texts(&self, wrong: &mut Vec<BrokenRule>) {
        if let Some(key) = &self.unique_key {
            if key.is_empty() || key.len() > UNIQUE_KEY_MAX_BYTES {
                let why =
                    format!("a key has 1 to {UNIQUE_KEY_MAX_BYTES} bytes, this one {}", key.len());
                wrong.push(rules::broken("unique_key", why));
            }
            if key.contains('\0') {
                wrong.push(rules::has_nul("unique_key"));
            }
        }
        if self.tags.iter().any(|tag| tag.contains('\0')) {
            wrong.push(rules::has_nul("tags"));
        }
        for (column, json) in [("payload", &self.payload), ("metadata", &self.metadata)] {
            match json {
                Some(Err(why)) => wrong.push(rules::no_json(column, why)),
                Some(Ok(text)) if !is_storable_json(text) => {
                    wrong.push(rules::has_nul(column));
                }
                Some(Ok(text)) if column == "metadata" && !text.starts_with('{') => {
                    wrong.push(rules::broken(column, "it has to be an object"));
                }
                None | Some(Ok(_)) => {}
            }
        }
    }
}
