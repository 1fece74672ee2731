//! Which leases this daemon knows that it holds.
//!
//! A claim whose answer is lost on the way may have committed all the same. Its rows then belong to
//! a daemon that lives, so nobody rescues them, and that doesn't know of them, so nobody runs them.
//! What is claimed is noted here until its verdict is written; whatever a row says beyond that is
//! such a claim's, and the claim session gives it back. It decides nothing and asks nobody.

use crate::job::JobId;
use rustc_hash::FxHashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Jobs and their lease tokens, from the claim's answer to the verdict's. Bounded by the slots and
/// the verdicts that wait.
#[derive(Debug, Default)]
pub struct Held {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    leases: FxHashSet<(i64, i64)>,
    /// Whether there may be more: a claim has no answer, and what it took wasn't looked for since.
    in_doubt: bool,
}

impl Held {
    /// These were claimed. Called before another claim can be sent.
    pub(super) fn note(&self, leases: impl Iterator<Item = (i64, i64)>) {
        self.lock().leases.extend(leases);
    }

    /// The database has answered for these: they are no longer held, or never were ours.
    pub(super) fn settled(&self, ids: &[i64], tokens: &[i64]) {
        let leases = &mut self.lock().leases;
        for (id, token) in ids.iter().zip(tokens) {
            leases.remove(&(*id, *token));
        }
    }

    /// Whether a claim may have taken more than is noted.
    pub(super) fn doubt(&self, in_doubt: bool) {
        self.lock().in_doubt = in_doubt;
    }

    /// Whether there may be more than [`jobs`](Self::jobs) says: a claim's answer is lost or still out.
    pub fn in_doubt(&self) -> bool {
        self.lock().in_doubt
    }

    /// Jobs that are still held: at the daemon's end, those whose verdict no answer confirms.
    pub fn jobs(&self) -> Vec<(JobId, i64)> {
        let mut jobs: Vec<_> =
            self.lock().leases.iter().map(|(job, token)| (JobId(*job), *token)).collect();
        jobs.sort_unstable();
        jobs
    }

    /// All of them, as two columns.
    pub(super) fn columns(&self) -> (Vec<i64>, Vec<i64>) {
        self.lock().leases.iter().copied().unzip()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_from_its_claim_to_its_verdict_and_a_newer_one_stays() {
        let held = Held::default();
        held.note([(7, 1), (8, 1)].into_iter());
        held.settled(&[8], &[1]);
        assert_eq!(held.columns(), (vec![7], vec![1]));
        held.note([(7, 2)].into_iter());
        held.settled(&[7], &[1]);
        assert_eq!(held.columns(), (vec![7], vec![2]));
    }
}
