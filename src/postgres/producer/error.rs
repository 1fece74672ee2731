//! Why a producer's job wasn't enqueued, by column and rule.

use super::rules::{self, BrokenRule};
use crate::postgres::{
    enqueue::EnqueueError as CopyError,
    operations::{Nature, nature, said},
};
use std::fmt;

/// Why a job wasn't enqueued.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// It was refused before anything was sent: the transaction is as it was.
    Invalid {
        /// Which of the jobs, from 1.
        job: usize,
        /// Everything that is wrong with it.
        broken: Vec<BrokenRule>,
    },
    /// An unfinished job of its queue has its unique key, and the job says
    /// [`OnConflict::Fail`](super::OnConflict::Fail). The transaction is as it was.
    Taken {
        /// The queue.
        queue: String,
        /// The key.
        unique_key: String,
    },
    /// The database refused a row; the transaction can only be rolled back.
    Refused {
        /// Which of the jobs, from 1.
        job: u64,
        /// The rule that it broke.
        broken: BrokenRule,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database couldn't be used, or said something else; the transaction can only be rolled back.
    Database(Box<dyn std::error::Error + Send + Sync>),
}

impl EnqueueError {
    /// Every rule that was broken; none where that isn't why.
    pub fn broken(&self) -> &[BrokenRule] {
        match self {
            Self::Invalid { broken, .. } => broken,
            Self::Refused { broken, .. } => std::slice::from_ref(broken),
            Self::Taken { .. } | Self::Database(_) => &[],
        }
    }

    /// Whether the same thing may work in a moment: the database is away, busy or starting.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Database(error) => {
                let of_copy = error.downcast_ref().map(CopyError::nature);
                let nature = of_copy.unwrap_or_else(|| nature(error.as_ref()));
                matches!(nature, Nature::Unreachable | Nature::Temporary)
            }
            Self::Invalid { .. } | Self::Taken { .. } | Self::Refused { .. } => false,
        }
    }

    /// What a statement's error means.
    pub(super) fn of_database(job: Option<u64>, source: sqlx::Error) -> Self {
        match rules::broken_in_database(&source) {
            Some(broken) => Self::Refused { job: job.unwrap_or(1), broken, source },
            None => Self::Database(source.into()),
        }
    }

    /// What an error of the COPY means.
    pub(super) fn of_copy(error: CopyError) -> Self {
        match error {
            CopyError::Refused { row, source } => Self::of_database(Some(row), source),
            other => Self::Database(other.into()),
        }
    }
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { job, broken } => {
                let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
                write!(f, "job {job} can't be enqueued: {}", broken.join("; "))
            }
            Self::Taken { queue, unique_key } => write!(
                f,
                "unique_key: an unfinished job of queue {queue} has {unique_key:?} (job_unique)"
            ),
            Self::Refused { job, broken, .. } => {
                write!(f, "the database refused job {job}: {broken}")
            }
            Self::Database(error) => match said(error.as_ref()) {
                Some(said) => write!(f, "the database refused to enqueue: {}", said.message),
                None => write!(f, "the job couldn't be enqueued"),
            },
        }
    }
}

impl std::error::Error for EnqueueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            Self::Database(error) => Some(error.as_ref()),
            Self::Invalid { .. } | Self::Taken { .. } => None,
        }
    }
}
