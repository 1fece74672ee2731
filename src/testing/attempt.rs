//! One attempt of a handler, in place: the same executor that the daemon calls, no daemon, no database.

use crate::{
    executor::{AttemptLimits, Context, Handler, IntoHandler, Stop, StopOrder, execute},
    job::{ClaimedJob, Ending, JobError, JobId, KindName, Lease, Outcome, QueueName},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// An attempt that is about to run, made by [`attempt`].
#[must_use = "nothing runs before `run`"]
pub struct Attempt {
    handler: Arc<dyn Handler>,
    job: ClaimedJob,
    timeout: Duration,
    max_attempts: u16,
    told: Option<(CancellationToken, Stop)>,
}

/// The first attempt of a job with this payload: kind `test`, queue `default`, 20 attempts of five
/// minutes each, as a kind has by default.
///
/// # Panics
///
/// Where the payload can't be written as JSON.
#[track_caller]
pub fn attempt<Form>(
    handler: impl IntoHandler<Form>,
    payload: &(impl Serialize + ?Sized),
) -> Attempt {
    let payload = serde_json::to_string(payload).expect("the payload can be written as JSON");
    let queue = QueueName::new("default").expect("`default` is a name");
    let kind = KindName::new("test").expect("`test` is a name");
    Attempt {
        handler: handler.into_handler(),
        job: ClaimedJob::new(Lease { job: JobId(1), token: 1, holder: 1 }, queue, kind, payload),
        timeout: Duration::from_mins(5),
        max_attempts: 20,
        told: None,
    }
}

impl Attempt {
    /// The job's number.
    pub fn job(mut self, id: i64) -> Self {
        self.job.lease.job = JobId(id);
        self
    }

    /// The job's kind.
    pub fn kind(mut self, kind: KindName) -> Self {
        self.job.kind = kind;
        self
    }

    /// The job's queue.
    pub fn queue(mut self, queue: QueueName) -> Self {
        self.job.queue = queue;
        self
    }

    /// Which attempt it is, from 1.
    pub fn attempt(mut self, number: u16) -> Self {
        self.job.charged = number.saturating_sub(1);
        self
    }

    /// How many attempts the job has.
    pub fn max_attempts(mut self, attempts: u16) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long the attempt may take.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// What [`Context::lease_token`] says.
    pub fn lease_token(mut self, token: i64) -> Self {
        self.job.lease.token = token;
        self
    }

    /// The job's metadata.
    ///
    /// # Panics
    ///
    /// Where it can't be written as JSON.
    #[track_caller]
    pub fn metadata(mut self, object: &(impl Serialize + ?Sized)) -> Self {
        let text = serde_json::to_string(object).expect("the metadata can be written as JSON");
        self.job.metadata = Some(text);
        self
    }

    /// Cancelled when this token is, as by `legwork job cancel`.
    pub fn cancelled_by(mut self, token: CancellationToken) -> Self {
        self.told = Some((token, Stop::Cancelled));
        self
    }

    /// Told to stop when this token is cancelled, as by a daemon that shuts down.
    pub fn interrupted_by(mut self, token: CancellationToken) -> Self {
        self.told = Some((token, Stop::Shutdown));
        self
    }

    /// Runs it to its end: what the handler decides, its deadline, a panic.
    pub async fn run(self) -> Ran {
        let limits = AttemptLimits {
            timeout: self.timeout,
            max_attempts: self.max_attempts,
            grace_without_lease: Duration::from_secs(5),
        };
        // Not the program's own token: a deadline cancels it, and a reason stands before it is cancelled.
        let (token, stop) = (CancellationToken::new(), StopOrder::default());
        let context = Context::new(self.job, limits, token.clone());
        let progress = context.progress_so_far();
        let told = async {
            if let Some((asked, why)) = self.told {
                asked.cancelled().await;
                stop.give(why);
                token.cancel();
            }
            std::future::pending::<()>().await;
        };
        let ending = tokio::select! {
            biased;
            () = told => unreachable!("being told to stop is no end"),
            ending = execute(self.handler.as_ref(), &context, &stop) => ending,
        };
        Ran { ending, progress: progress.last() }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("job", &self.job).finish_non_exhaustive()
    }
}

/// How an attempt ended. The `assert_…` functions panic with the whole ending where it was another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    ending: Ending,
    progress: Option<String>,
}

impl Ran {
    /// How it ended.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// What the handler decided; nothing where it didn't get to.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.ending {
            Ending::Decided(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The last progress that was reported.
    pub fn progress(&self) -> Option<&str> {
        self.progress.as_deref()
    }

    /// It completed with this result.
    #[track_caller]
    pub fn assert_result<R>(&self, expected: &R)
    where
        R: DeserializeOwned + PartialEq + fmt::Debug,
    {
        let Some(Outcome::Complete { result }) = self.outcome() else {
            panic!("the attempt should have completed, and ended so: {:?}", self.ending)
        };
        let text = result.as_ref().map_or("null", |json| json.as_str());
        match serde_json::from_str::<R>(text) {
            Ok(found) => assert_eq!(&found, expected, "the attempt left another result"),
            Err(error) => panic!("the result {text} isn't of the type expected: {error}"),
        }
    }

    /// It completed, whatever its result.
    #[track_caller]
    pub fn assert_completed(&self) {
        let completed = matches!(self.outcome(), Some(Outcome::Complete { .. }));
        assert!(completed, "the attempt should have completed, and ended so: {:?}", self.ending);
    }

    /// It failed and is to be tried again; gives its error.
    #[track_caller]
    pub fn assert_retried(&self) -> &JobError {
        match self.outcome() {
            Some(Outcome::Retry { error, .. }) => error,
            _ => {
                panic!("the attempt should have asked for another, and ended so: {:?}", self.ending)
            }
        }
    }

    /// It failed for good; gives its error.
    #[track_caller]
    pub fn assert_discarded(&self) -> &JobError {
        match self.outcome() {
            Some(Outcome::Discard { error, .. }) => error,
            _ => {
                panic!("the attempt should have given up for good, and ended so: {:?}", self.ending)
            }
        }
    }
}
