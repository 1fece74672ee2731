//! Why a daemon that starts still waits for its database, for the program that waits for the daemon.

use crate::postgres::DbError;
use std::sync::{Arc, Mutex, PoisonError};

/// The last error of a start that goes on; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wait(Arc<Mutex<Option<DbError>>>);

impl Wait {
    /// One more try has failed.
    pub(super) fn because(&self, error: DbError) {
        self.set(Some(error));
    }

    /// The database is there.
    pub(super) fn over(&self) {
        self.set(None);
    }

    /// Why it waits; nothing where it doesn't. Taken out, since errors can't be copied.
    pub(crate) fn reason(&self) -> Option<DbError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, reason: Option<DbError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
