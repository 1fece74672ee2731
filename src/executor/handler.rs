//! The trait that every handler implements, the typed one that people write, and the registry.

use super::Context;
use crate::job::{DiscardReason, JobError, JobResult, KindName, Outcome};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

/// A handler's work on one attempt.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Runs the jobs of a kind.
///
/// The future may be dropped at any await once the attempt's deadline has passed or the job was
/// cancelled and didn't stop by itself; panics are caught and count as a failed attempt.
pub trait Handler: Send + Sync + 'static {
    /// Works on one attempt.
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a>;

    /// How long the handler may take to stop after its token was cancelled, before its future is
    /// dropped.
    fn stop_grace(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why a typed handler didn't complete.
///
/// `?` turns any error into one to retry. A `Box<dyn Error + Send + Sync>` and an `anyhow::Error` are no
/// errors to the compiler; what is inside of them is:
///
/// ```
/// use legwork::{Context, HandlerError, testing};
/// use std::{error::Error, io};
///
/// fn fetch() -> Result<String, Box<dyn Error + Send + Sync>> {
///     Err(io::Error::other("nobody answers").into())
/// }
///
/// async fn work((): (), _: Context) -> Result<String, HandlerError> {
///     fetch().map_err(|error| HandlerError::from(&*error))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(testing::attempt(work, &()).run().await.assert_retried().as_str(), "nobody answers");
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlerError {
    /// Failed; try again after the kind's backoff, or after the given time.
    Retry(JobError, Option<Duration>),
    /// Failed for good.
    Discard(JobError),
    /// Not now; the attempt isn't counted.
    Snooze(Duration),
    /// Stopped because the context said so, or called off.
    Cancel,
}

impl HandlerError {
    /// A failure that is worth another try.
    pub fn retry(error: impl std::fmt::Display) -> Self {
        Self::Retry(JobError::new(error.to_string()), None)
    }

    /// A failure that no further try can mend.
    pub fn discard(error: impl std::fmt::Display) -> Self {
        Self::Discard(JobError::new(error.to_string()))
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    /// Any error is worth another try unless the handler says otherwise; causes are kept.
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            // Many libraries say their cause themselves, the database's driver among them.
            if !text.ends_with(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            cause = inner.source();
        }
        Self::Retry(JobError::new(text), None)
    }
}

/// A handler with a payload of its own type: what most people implement.
///
/// A payload that doesn't decode is discarded with the reason `invalid_payload`.
pub trait TypedHandler: Send + Sync + 'static {
    /// What the payload decodes to.
    type Payload: DeserializeOwned + Send;
    /// What the job leaves as its result.
    type Result: Serialize + Send;

    /// Works on one attempt.
    fn handle(
        &self,
        payload: Self::Payload,
        context: &Context,
    ) -> impl Future<Output = Result<Self::Result, HandlerError>> + Send;
}

/// Makes a [`Handler`] of a [`TypedHandler`].
pub(super) struct Typed<T>(pub(super) T);

impl<T: TypedHandler> Handler for Typed<T> {
    fn run<'a>(&'a self, context: &'a Context) -> HandlerFuture<'a> {
        Box::pin(async move {
            let payload = match serde_json::from_str(&context.job().payload) {
                Ok(payload) => payload,
                Err(error) => return invalid(&error),
            };
            outcome(self.0.handle(payload, context).await)
        })
    }
}

fn invalid(error: &serde_json::Error) -> Outcome {
    let (line, column) = (error.line(), error.column());
    let told = format!("the payload isn't what this kind takes, at line {line} column {column}");
    let error = JobError::quoting(&told, error);
    Outcome::Discard { reason: DiscardReason::InvalidPayload, error }
}

fn outcome<R: Serialize>(result: Result<R, HandlerError>) -> Outcome {
    match result {
        Ok(value) => match serde_json::to_string(&value) {
            Ok(json) if json == "null" => Outcome::Complete { result: None },
            Ok(json) => Outcome::Complete { result: JobResult::new(json) },
            Err(error) => Outcome::Discard {
                reason: DiscardReason::PermanentError,
                error: JobError::new(format!("the result can't be written as JSON: {error}")),
            },
        },
        Err(HandlerError::Retry(error, after)) => Outcome::Retry { error, after },
        Err(HandlerError::Discard(error)) => {
            Outcome::Discard { reason: DiscardReason::PermanentError, error }
        }
        Err(HandlerError::Snooze(delay)) => Outcome::Snooze { delay: Some(delay) },
        Err(HandlerError::Cancel) => Outcome::Cancel,
    }
}

/// Which handler runs which kind.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: BTreeMap<KindName, Arc<dyn Handler>>,
}

impl Registry {
    /// Adds a handler; the last one of a kind wins.
    #[must_use]
    pub fn with(self, kind: KindName, handler: impl Handler) -> Self {
        self.with_shared(kind, Arc::new(handler))
    }

    /// Adds a handler that may be somebody else's as well.
    #[must_use]
    pub fn with_shared(mut self, kind: KindName, handler: Arc<dyn Handler>) -> Self {
        self.handlers.insert(kind, handler);
        self
    }

    /// Adds a typed handler.
    #[must_use]
    pub fn with_typed(self, kind: KindName, handler: impl TypedHandler) -> Self {
        self.with(kind, Typed(handler))
    }

    /// Puts something round every handler.
    #[must_use]
    pub fn wrapped(self, wrap: impl Fn(Arc<dyn Handler>) -> Arc<dyn Handler>) -> Self {
        let wrapped = self.handlers.into_iter().map(|(kind, handler)| (kind, wrap(handler)));
        Self { handlers: wrapped.collect() }
    }

    /// The handler of a kind.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Handler>> {
        self.handlers.get(kind)
    }

    /// Every kind that has a handler.
    pub fn kinds(&self) -> impl Iterator<Item = &KindName> {
        self.handlers.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_quotes_of_the_payload_is_kept_and_not_logged() {
        let error = serde_json::from_str::<u32>("\n \"a secret\"").expect_err("no number");
        let Outcome::Discard { error, .. } = invalid(&error) else { panic!("it is discarded") };
        let told = "the payload isn't what this kind takes, at line 2 column 11";
        assert_eq!(error.for_logs(), told);
        let whole = format!("{told}: invalid type: string \"a secret\", expected u32");
        assert!(error.as_str().starts_with(&whole), "{error}");
    }
}
