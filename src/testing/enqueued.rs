//! Whether a program enqueued what it should have, asked on its own connection and so inside its own
//! transaction.

use crate::postgres::{
    operations::{Connection, OperationError},
    producer::{self, EnqueuedJob},
};
use serde::de::DeserializeOwned;
use std::{fmt::Write as _, future::Future, panic::Location};

/// Jobs that a failed assertion shows.
const SHOWN_MAX: usize = 10;

/// Bytes of a payload that it shows.
const PAYLOAD_SHOWN_MAX_BYTES: usize = 200;

/// The unfinished jobs of a kind that this connection sees, those of its own transaction included: the
/// oldest first, a thousand at most.
pub async fn enqueued(
    connection: &mut Connection,
    kind: &str,
) -> Result<Vec<EnqueuedJob>, OperationError> {
    producer::enqueued(connection, kind).await
}

/// Panics unless an unfinished job of this kind has a payload that is as it should be, and gives the first
/// one. The message shows what is there instead.
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
        let mut jobs = seen(connection, kind, caller).await;
        match jobs.iter().position(|job| fits(job, &is_right)) {
            Some(at) => jobs.swap_remove(at),
            None => panic!(
                "{caller}: no job of kind {kind:?} with such a payload is enqueued; {}",
                shown(connection, &jobs).await
            ),
        }
    }
}

/// Panics if an unfinished job of this kind has such a payload. The message shows it.
#[track_caller]
pub fn assert_not_enqueued<'a, P: DeserializeOwned>(
    connection: &'a mut Connection,
    kind: &'a str,
    is_wrong: impl Fn(&P) -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let caller = Location::caller();
    async move {
        let jobs = seen(connection, kind, caller).await;
        let found: Vec<_> = jobs.into_iter().filter(|job| fits(job, &is_wrong)).collect();
        if !found.is_empty() {
            let shown = shown(connection, &found).await;
            panic!("{caller}: a job of kind {kind:?} with such a payload is enqueued; {shown}");
        }
    }
}

async fn seen(connection: &mut Connection, kind: &str, caller: &Location<'_>) -> Vec<EnqueuedJob> {
    let jobs = producer::enqueued(connection, kind).await;
    jobs.unwrap_or_else(|error| panic!("{caller}: jobs of kind {kind:?} can't be seen: {error:?}"))
}

/// A payload of another shape isn't the one.
fn fits<P: DeserializeOwned>(job: &EnqueuedJob, predicate: &impl Fn(&P) -> bool) -> bool {
    serde_json::from_str(&job.payload).is_ok_and(|payload| predicate(&payload))
}

/// These jobs, or where there are none the kinds that are there.
async fn shown(connection: &mut Connection, jobs: &[EnqueuedJob]) -> String {
    if jobs.is_empty() {
        let kinds = producer::enqueued_kinds(connection).await.unwrap_or_default();
        return match kinds.as_slice() {
            [] => "nothing is enqueued at all".to_owned(),
            kinds => format!("there are jobs of kind {}", kinds.join(", ")),
        };
    }
    let mut text = format!("{} of that kind:", jobs.len());
    for job in jobs.iter().take(SHOWN_MAX) {
        let cut = job.payload.floor_char_boundary(PAYLOAD_SHOWN_MAX_BYTES);
        let mark = if cut < job.payload.len() { " …" } else { "" };
        write!(text, "\n  job {} in {}: {}{mark}", job.id, job.queue, &job.payload[..cut]).ok();
    }
    if jobs.len() > SHOWN_MAX {
        write!(text, "\n  and {} more", jobs.len() - SHOWN_MAX).ok();
    }
    text
}
