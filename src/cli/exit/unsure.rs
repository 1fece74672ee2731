//! A change that got no answer: it may have been made, and a script that repeats it may make it twice.

use super::{NotReady, Problem, Silent};
use crate::postgres::{enqueue::EnqueueError, operations::OperationError};

/// A change that was asked for, and of which nobody said whether it was made.
#[derive(Debug, thiserror::Error)]
#[error("the change may have been made, though nobody said so: look before you repeat it")]
pub(in crate::cli) struct Unsure(#[source] anyhow::Error);

impl Unsure {
    /// The change failed like this, and may have been made all the same.
    pub(in crate::cli) fn because(error: impl Into<anyhow::Error>) -> anyhow::Error {
        Self(error.into()).into()
    }

    /// How a change failed: as the database says, or unsure where it says nothing.
    pub(in crate::cli) fn or(error: anyhow::Error) -> anyhow::Error {
        let is_unsure = error.is::<Silent>()
            || error.downcast_ref().is_some_and(OperationError::may_be_done)
            || error.downcast_ref().is_some_and(EnqueueError::may_be_done);
        if is_unsure { Self::because(error) } else { error }
    }

    /// The error itself, where what was asked for changes nothing.
    pub(in crate::cli) fn undone(error: anyhow::Error) -> anyhow::Error {
        match error.downcast() {
            Ok(Self(error)) | Err(error) => error,
        }
    }

    /// What to do about the silence.
    pub(super) fn help(&self) -> Option<&'static str> {
        let Self(error) = self;
        let silent = error.downcast_ref().and_then(NotReady::help);
        silent.or_else(|| error.downcast_ref().and_then(Problem::help))
    }
}
