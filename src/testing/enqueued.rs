//! Whether a program enqueued what it should have, asked on its own connection and so inside its own
//! transaction.

use crate::{
    job::JobId,
    postgres::{
        operations::{Connection, OperationError},
        producer::{self, EnqueuedJob},
    },
};
use serde::de::DeserializeOwned;
use std::{fmt::Write as _, future::Future, panic::Location};

/// Jobs that a failed assertion shows.
const SHOWN_MAX: usize = 10;

/// Bytes of a payload that it shows.
const PAYLOAD_SHOWN_MAX_BYTES: usize = 200;

/// No job's number is as low.
const BEFORE_ALL: JobId = JobId(i64::MIN);

/// The unfinished jobs of a kind that this connection sees, those of its own transaction included: the
/// oldest first, a thousand at most. The assertions look at all of them.
pub async fn enqueued(
    connection: &mut Connection,
    kind: &str,
) -> Result<Vec<EnqueuedJob>, OperationError> {
    producer::enqueued(connection, kind, BEFORE_ALL).await
}

/// Panics unless an unfinished job of this kind has a payload that is as it should be, and gives the first
/// one, the oldest. A payload that doesn't decode to `P` isn't such a payload. The message shows what is there
/// instead.
///
/// ```no_run
/// # async fn test(pool: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use legwork::{Job, testing};
///
/// let mut transaction = pool.begin().await?;
/// legwork::enqueue(&mut transaction, &Job::new("send_receipt").payload(&42).queue("mail")).await?;
/// let job = testing::assert_enqueued(&mut transaction, "send_receipt", |order: &i64| *order == 42).await;
/// assert_eq!(job.queue, "mail");
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn assert_enqueued<'a, P: DeserializeOwned>(
    connection: &'a mut Connection,
    kind: &'a str,
    is_right: impl Fn(&P) -> bool + 'a,
) -> impl Future<Output = EnqueuedJob> + 'a {
    let caller = Location::caller();
    async move {
        let mut others = Listed::default();
        let found = first(connection, kind, caller, |job| {
            if fits(&job, &is_right) {
                return Some(job);
            }
            others.add(job);
            None
        });
        if let Some(job) = found.await {
            return job;
        }
        let shown = others.shown(connection).await;
        panic!("{caller}: no job of kind {kind:?} with such a payload is enqueued; {shown}")
    }
}

/// Panics if any unfinished job of this kind has such a payload. One that doesn't decode to `P` hasn't. The
/// message shows it.
#[track_caller]
pub fn assert_not_enqueued<'a, P: DeserializeOwned>(
    connection: &'a mut Connection,
    kind: &'a str,
    is_wrong: impl Fn(&P) -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let caller = Location::caller();
    async move {
        let mut found = Listed::default();
        let all = first(connection, kind, caller, |job| {
            if fits(&job, &is_wrong) {
                found.add(job);
            }
            None::<EnqueuedJob>
        });
        all.await;
        if found.count > 0 {
            let shown = found.shown(connection).await;
            panic!("{caller}: a job of kind {kind:?} with such a payload is enqueued; {shown}");
        }
    }
}

/// Looks at every job of the kind until one is the one.
async fn first(
    connection: &mut Connection,
    kind: &str,
    caller: &Location<'_>,
    mut look: impl FnMut(EnqueuedJob) -> Option<EnqueuedJob>,
) -> Option<EnqueuedJob> {
    let mut after = BEFORE_ALL;
    loop {
        let page = producer::enqueued(connection, kind, after).await.unwrap_or_else(|error| {
            panic!("{caller}: jobs of kind {kind:?} can't be seen: {error:?}")
        });
        after = page.last()?.id;
        if let Some(job) = page.into_iter().find_map(&mut look) {
            return Some(job);
        }
    }
}

/// A payload of another shape isn't the one.
fn fits<P: DeserializeOwned>(job: &EnqueuedJob, predicate: &impl Fn(&P) -> bool) -> bool {
    serde_json::from_str(&job.payload).is_ok_and(|payload| predicate(&payload))
}

/// Jobs for a message: how many, and the first of them.
#[derive(Default)]
struct Listed {
    first: Vec<EnqueuedJob>,
    count: usize,
}

impl Listed {
    fn add(&mut self, job: EnqueuedJob) {
        self.count += 1;
        if self.first.len() < SHOWN_MAX {
            self.first.push(job);
        }
    }

    /// These jobs, or where there are none the kinds that are there.
    async fn shown(&self, connection: &mut Connection) -> String {
        if self.first.is_empty() {
            let kinds = producer::enqueued_kinds(connection).await.unwrap_or_default();
            return match kinds.as_slice() {
                [] => "nothing is enqueued at all".to_owned(),
                kinds => format!("there are jobs of kind {}", kinds.join(", ")),
            };
        }
        let mut text = format!("{} of that kind:", self.count);
        for job in &self.first {
            let cut = job.payload.floor_char_boundary(PAYLOAD_SHOWN_MAX_BYTES);
            let mark = if cut < job.payload.len() { " …" } else { "" };
            write!(text, "\n  job {} in {}: {}{mark}", job.id, job.queue, &job.payload[..cut]).ok();
        }
        if self.count > self.first.len() {
            write!(text, "\n  and {} more", self.count - self.first.len()).ok();
        }
        text
    }
}
