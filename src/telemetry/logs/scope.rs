//! Which job a line is about, without a word from whoever speaks.
//!
//! Every line that is logged while an attempt's future is polled carries that job's fields and those
//! of its origin: a handler's own lines, a library's, a panic's. A span would do the same for a
//! registration and an allocation at each job; this is a value that lies in the future and is looked
//! at only when somebody speaks.

use super::line::Fields;
use crate::{
    job::{JobId, KindName, QueueName},
    telemetry::Origin,
};
use std::{future::Future, sync::Arc};

tokio::task_local! {
    static JOB: JobScope;
}

/// The job that a line is about.
#[derive(Debug, Clone)]
pub struct JobScope {
    /// `job.id`
    pub id: JobId,
    /// `job.kind`, where it is known.
    pub kind: Option<KindName>,
    /// `job.queue`
    pub queue: QueueName,
    /// `job.attempt`, from 1.
    pub attempt: u16,
    /// `job.max_attempts`, where it is known.
    pub max_attempts: Option<u16>,
    /// Trace, request and user, where the producer named them.
    pub origin: Option<Arc<Origin>>,
}

impl JobScope {
    /// Lines of `work` are about this job.
    pub fn over<Work: Future>(self, work: Work) -> impl Future<Output = Work::Output> {
        JOB.scope(self, work)
    }

    /// Lines that `speak` logs are about this job.
    pub fn say(self, speak: impl FnOnce()) {
        JOB.sync_scope(self, speak);
    }

    fn add_to(&self, fields: &mut Fields) {
        let origin = self.origin.as_deref();
        if let Some(trace) = origin.and_then(|origin| origin.trace) {
            fields.put_missing("trace_id", || trace.trace_id.to_string().into());
            fields.put_missing("span_id", || trace.span_id.to_string().into());
            fields.put_missing("trace_flags", || format!("{:02x}", trace.flags).into());
        }
        let text = |text: Option<&String>| text.map(|text| text.as_str().to_owned());
        if let Some(id) = text(origin.and_then(|origin| origin.request_id.as_ref())) {
            fields.put_missing("request_id", || id.into());
        }
        if let Some(id) = text(origin.and_then(|origin| origin.user_id.as_ref())) {
            fields.put_missing("user_id", || id.into());
        }
        fields.put_missing("job.id", || self.id.0.into());
        if let Some(kind) = &self.kind {
            fields.put_missing("job.kind", || kind.as_str().into());
        }
        fields.put_missing("job.queue", || self.queue.as_str().into());
        fields.put_missing("job.attempt", || self.attempt.into());
        if let Some(most) = self.max_attempts {
            fields.put_missing("job.max_attempts", || most.into());
        }
    }
}

/// The kind of the job that is being polled, if there is one and it is known.
pub(super) fn kind() -> Option<KindName> {
    JOB.try_with(|scope| scope.kind.clone()).ok().flatten()
}

/// Adds what is known of the job that is being polled, if there is one.
pub(super) fn add_to(fields: &mut Fields) {
    // Outside of any job there is nothing to add.
    JOB.try_with(|scope| scope.add_to(fields)).ok();
}
