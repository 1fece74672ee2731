//! Attempts whose receiver has taken the job and calls back: who may call, and how what is said reaches the
//! attempt.
//!
//! A token names one lease and is signed by a key that this process has made for itself, so nothing is stored and
//! nothing outlives the process. What is said counts exactly if the attempt itself has taken it: the attempt answers,
//! and refuses what comes once its time is up or it was told to stop. What came first, a verdict or a stop, is settled in one
//! place (`StopOrder`) before the answer is given. Whoever calls again hears the same.

use super::{Context, Stop};
use crate::job::{Action, JobError, JobId, JobResult, Lease};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{hmac, rand::SystemRandom};
use rustc_hash::FxHashMap;
use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

/// Calls about one attempt that wait for it; the next one waits for room.
const CALLS_MAX: usize = 4;
/// How long a call waits for its attempt, which answers at once as long as the runtime turns.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts that have ended of which it is remembered how, for who calls again.
const ENDED_MAX: usize = 4096;
/// Bytes of a lease in a token: job, lease token, holder.
const LEASE_BYTES: usize = 24;
/// Bytes of a token: the lease, and its HMAC-SHA256.
const TOKEN_BYTES: usize = LEASE_BYTES + 32;

/// Every attempt of this process that may be called back.
#[derive(Debug)]
pub struct Callbacks {
    key: hmac::Key,
    /// Keyed at random, so that nobody can make two verdicts look the same.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: FxHashMap<Lease, Open>,
    /// The newest at the back.
    ended: VecDeque<(Lease, Ended)>,
}

/// An attempt that can be called.
#[derive(Debug, Clone)]
struct Open {
    calls: mpsc::Sender<Call>,
    /// Longest result that it takes, in bytes.
    max_result: usize,
}

/// How an attempt ended, as far as who calls has to know.
#[derive(Debug, Clone, Copy)]
enum Ended {
    /// By a call, with this verdict.
    Decided(u64),
    /// Somebody cancelled the job.
    Cancelled,
}

/// A token that wasn't signed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token wasn't made by this process")]
pub struct Forged;

/// What somebody says of an attempt.
#[derive(Debug)]
pub enum Word {
    /// The work goes on.
    Heartbeat,
    /// This becomes of the job.
    Decides(Box<Decision>),
}

impl Word {
    fn result_bytes(&self) -> usize {
        match self {
            Self::Heartbeat => 0,
            Self::Decides(decision) => {
                decision.result.as_ref().map_or(0, |result| result.as_str().len())
            }
        }
    }
}

/// A verdict and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is asked for.
    pub action: Action,
    /// What a completed job leaves, in JSON.
    pub result: Option<JobResult>,
    /// Why a job failed.
    pub error: JobError,
    /// When to run it again.
    pub after: Option<Duration>,
}

/// What becomes of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The attempt ends with this verdict.
    Taken,
    /// The attempt waits on, for so long at most.
    Waiting(Duration),
}

/// Why a word counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// The attempt is over; somebody else may have the job.
    Gone,
    /// The job was cancelled.
    Cancelled,
    /// Another verdict was taken before.
    Decided,
    /// The attempt didn't answer in time.
    Busy,
    /// The result has more bytes than the kind keeps: the attempt waits on.
    TooLong {
        /// So many at most.
        max_result: usize,
    },
}

/// A word on its way to its attempt.
#[derive(Debug)]
struct Call {
    word: Word,
    answer: oneshot::Sender<Result<Heard, Unheard>>,
}

impl Default for Callbacks {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.expect("the system has random bytes");
        Self { key, hasher: RandomState::new(), state: Mutex::default() }
    }
}

impl Callbacks {
    /// What whoever calls back about a lease has to show.
    pub fn token(&self, lease: Lease) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        for part in [lease.job.0, lease.token, lease.holder] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        let signature = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(signature.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The lease that a token is for; the time that it takes says nothing about how much of it is right.
    pub fn lease(&self, token: &str) -> Result<Lease, Forged> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Forged)?;
        let (lease, signature) = bytes.split_at_checked(LEASE_BYTES).ok_or(Forged)?;
        hmac::verify(&self.key, lease, signature).map_err(|_| Forged)?;
        let (numbers, _) = lease.as_chunks::<8>();
        let [job, token, holder] = numbers else { return Err(Forged) };
        let number = |bytes: &[u8; 8]| i64::from_be_bytes(*bytes);
        Ok(Lease { job: JobId(number(job)), token: number(token), holder: number(holder) })
    }

    /// From now on the attempt hears what is said of it, until the door is dropped; of a result, so many bytes at most.
    pub fn open(self: &Arc<Self>, context: &Context, max_result: usize) -> Door {
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        self.lock().open.insert(context.job().lease, Open { calls, max_result });
        let (callbacks, context) = (Arc::clone(self), context.clone());
        Door { callbacks, context, inbox, waiting: None, is_decided: false }
    }

    /// Says something to an attempt, and gives its answer.
    pub async fn say(&self, lease: Lease, word: Word) -> Result<Heard, Unheard> {
        let verdict = self.verdict(&word);
        let open = self.lock().open.get(&lease).cloned();
        let Some(Open { calls, max_result }) = open else { return self.again(lease, verdict) };
        // Whoever sends it can still say something shorter; once the attempt has ended nobody could.
        if word.result_bytes() > max_result {
            return Err(Unheard::TooLong { max_result });
        }
        let (answer, answered) = oneshot::channel();
        let heard = async {
            // Either fails where the attempt has ended meanwhile.
            calls.send(Call { word, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(ANSWER_TIMEOUT, heard).await {
            Ok(Some(heard)) => heard,
            Ok(None) => self.again(lease, verdict),
            Err(_) => Err(Unheard::Busy),
        }
    }

    /// The answer where the attempt is over.
    fn again(&self, lease: Lease, verdict: Option<u64>) -> Result<Heard, Unheard> {
        let state = self.lock();
        let ended = state.ended.iter().rev().find(|(of, _)| *of == lease);
        match ended.map(|(_, ended)| *ended) {
            Some(Ended::Decided(before)) if verdict == Some(before) => Ok(Heard::Taken),
            Some(Ended::Decided(_)) if verdict.is_some() => Err(Unheard::Decided),
            Some(Ended::Cancelled) => Err(Unheard::Cancelled),
            Some(Ended::Decided(_)) | None => Err(Unheard::Gone),
        }
    }

    /// What was taken for the attempt came too late to be written: whoever says it again hears that it is over.
    pub fn lost(&self, lease: Lease) {
        self.lock().ended.retain(|(of, _)| *of != lease);
    }

    /// By what a verdict is known again; its result isn't kept for that.
    fn verdict(&self, word: &Word) -> Option<u64> {
        let Word::Decides(decision) = word else { return None };
        let Decision { action, result, error, after } = decision.as_ref();
        let result = result.as_ref().map(JobResult::as_str);
        Some(self.hasher.hash_one((action, result, error.as_str(), after)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, lease: Lease, ended: Ended) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((lease, ended));
    }
}

/// Where an attempt hears what is said of it.
#[derive(Debug)]
pub struct Door {
    callbacks: Arc<Callbacks>,
    context: Context,
    inbox: mpsc::Receiver<Call>,
    /// One that was seen and has no answer yet.
    waiting: Option<Call>,
    is_decided: bool,
}

impl Door {
    /// Waits until something is said, and leaves it to be heard.
    pub async fn called(&mut self) {
        if self.waiting.is_none() {
            self.waiting = self.inbox.recv().await;
        }
    }

    /// Waits for a word and answers it; nothing where the attempt goes on. Nothing is lost where this is dropped.
    pub async fn hear(&mut self) -> Option<Decision> {
        self.called().await;
        self.heard()
    }

    /// Answers what was said already, up to a verdict.
    pub fn heard(&mut self) -> Option<Decision> {
        while let Some(call) = self.waiting.take().or_else(|| self.inbox.try_recv().ok()) {
            if let Some(decision) = self.taken(call) {
                return Some(decision);
            }
        }
        None
    }

    /// Answers a call. A verdict is taken where no stop was before it, and none counts behind it; and once it has its
    /// answer there is no await before the attempt has its verdict, so that none that was taken is lost to a deadline.
    fn taken(&mut self, Call { word, answer }: Call) -> Option<Decision> {
        if self.context.cancellation().is_cancelled() || self.context.is_overdue() {
            answer.send(Err(self.gone())).ok();
            return None;
        }
        let verdict = self.callbacks.verdict(&word);
        let (Word::Decides(decision), Some(verdict)) = (word, verdict) else {
            let left = self.context.deadline().saturating_duration_since(Instant::now());
            answer.send(Ok(Heard::Waiting(left))).ok();
            return None;
        };
        // The token may not be cancelled yet, where a stop was just given.
        if !self.context.decide() {
            answer.send(Err(self.gone())).ok();
            return None;
        }
        self.is_decided = true;
        let (lease, mut state) = (self.context.job().lease, self.callbacks.lock());
        state.open.remove(&lease);
        state.remember(lease, Ended::Decided(verdict));
        drop(state);
        // Whoever has gone away meanwhile hears it when he calls again.
        answer.send(Ok(Heard::Taken)).ok();
        Some(*decision)
    }

    fn gone(&self) -> Unheard {
        match self.context.stop() {
            Some(Stop::Cancelled) => Unheard::Cancelled,
            _ => Unheard::Gone,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let lease = self.context.job().lease;
        let mut state = self.callbacks.lock();
        state.open.remove(&lease);
        if !self.is_decided && self.gone() == Unheard::Cancelled {
            state.remember(lease, Ended::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests;
