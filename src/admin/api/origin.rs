//! Where jobs come from that are enqueued by a request: the span of their sending, or else the request's trace, and its
//! id. Both follow them into every log line.

use crate::{
    job::QueueName,
    postgres::enqueue::NewJob,
    telemetry::spans::{self, Sending},
};
use std::collections::HashMap;

/// The bound of a job's metadata in the database, in bytes.
const METADATA_MAX_BYTES: usize = 16 * 1024;
/// Queues of one batch of which there are spans. Jobs of further ones stand below the request's own: a batch may
/// name as many queues as it has lines, and spans that wait have an end.
const QUEUES_MAX: usize = 16;

/// What jobs on their way to one queue are told.
#[derive(Debug)]
pub(super) struct Source {
    sending: Sending,
    /// The metadata of a job that brings none.
    alone: Option<String>,
    jobs: u64,
}

impl Source {
    /// Of the request under way.
    pub(super) fn of(queue: &QueueName) -> Self {
        Self::from(spans::sending(queue))
    }

    /// The job, whose metadata says as well where it comes from, as far as it doesn't by itself.
    pub(super) fn given_to(&mut self, job: NewJob) -> NewJob {
        self.jobs += 1;
        let metadata = match job.metadata {
            None => self.alone.clone(),
            Some(own) => {
                let filled = self.sending.metadata(Some(&own));
                // What is good by itself isn't refused for what is added to it.
                filled.filter(|filled| fits(filled)).or(Some(own))
            }
        };
        NewJob { metadata, ..job }
    }

    /// The span of the sending.
    pub(super) fn sending(&self) -> &Sending {
        &self.sending
    }
}

impl From<Sending> for Source {
    fn from(sending: Sending) -> Self {
        let alone = sending.metadata(None);
        Self { sending, alone, jobs: 0 }
    }
}

/// The same of a batch, whose jobs go to any queues.
#[derive(Debug)]
pub(super) struct Sources {
    each: HashMap<QueueName, Source>,
    other: Source,
}

impl Sources {
    /// Of the request under way.
    pub(super) fn new() -> Self {
        Self { each: HashMap::new(), other: Source::from(spans::sending_untraced()) }
    }

    /// As [`Source::given_to`], by the job's queue.
    pub(super) fn given_to(&mut self, job: NewJob) -> NewJob {
        let queue = job.queue.clone().unwrap_or_default();
        let has_room = self.each.len() < QUEUES_MAX;
        let source = match self.each.get_mut(&queue) {
            Some(known) => known,
            None if has_room => self.each.entry(queue).or_insert_with_key(Source::of),
            None => &mut self.other,
        };
        source.given_to(job)
    }

    /// They are enqueued.
    pub(super) fn sent(&self) {
        for source in self.each.values() {
            source.sending.sent_together(source.jobs);
        }
    }

    /// They aren't: of the database `error`, a SQLSTATE, say; without one the request isn't as it should be, and nothing
    /// was to be enqueued after all.
    pub(super) fn ended(&self, error: Option<&str>) {
        for source in self.each.values() {
            match error {
                Some(error) => source.sending.failed(error),
                None => source.sending.forget(),
            }
        }
    }
}

/// Whether the database takes metadata, which it measures as it renders it: with a space behind each colon and comma.
fn fits(metadata: &str) -> bool {
    let spaces = metadata.bytes().filter(|byte| matches!(byte, b':' | b',')).count();
    metadata.len() + spaces <= METADATA_MAX_BYTES
}
