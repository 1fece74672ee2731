//! The one task that sends spans: gathers what has ended into batches and hands them to the collector.
//!
//! A batch that isn't taken, or the part of one that the collector rejects, is counted and gone. It isn't tried again: what comes meanwhile matters more,
//! and a collector that is away for an hour must not cost an hour's memory. That is said once, until a
//! batch is taken again.

use super::{Losses, collector::Collector};
use crate::telemetry::events;
use metrics::Counter;
use opentelemetry_sdk::trace::SpanData;
use std::{mem, sync::atomic::Ordering, time::Duration};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Most spans of one request: about 300 KB.
const BATCH: usize = 512;
/// How long a span waits for company.
const LINGER: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch, connecting included.
pub const EXPORT_MAX: Duration = Duration::from_secs(5);

/// Sends spans.
#[derive(Debug)]
pub struct Exporter {
    collector: Collector,
    exported: Counter,
    failed: Losses,
    state: Mutex<State>,
}

/// Belongs to the room and not to the task, so that one that is started again finds it.
#[derive(Debug)]
struct State {
    inbox: mpsc::Receiver<SpanData>,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(
        collector: Collector,
        inbox: mpsc::Receiver<SpanData>,
        exported: Counter,
        failed: Losses,
    ) -> Self {
        let state = Mutex::new(State { inbox, failing: false });
        Self { collector, exported, failed, state }
    }

    /// Sends until `stop`, and then what is there.
    pub async fn run(&self, stop: CancellationToken) {
        while let Some(batch) = self.gathered(&stop).await {
            self.send(batch).await;
        }
    }

    /// What has ended within a second, perhaps nothing; no batch once it is told to stop and all was given out.
    pub async fn gathered(&self, stop: &CancellationToken) -> Option<Batch<'_>> {
        let inbox = &mut self.state.lock().await.inbox;
        let mut batch = Batch { here: Vec::new(), sent: 0, failed: &self.failed };
        let spans = &mut batch.here;
        if stop.run_until_cancelled(gather(inbox, spans)).await.is_some() {
            return Some(batch);
        }
        while spans.len() < BATCH
            && let Ok(span) = inbox.try_recv()
        {
            spans.push(span);
        }
        (!spans.is_empty()).then_some(batch)
    }

    /// Hands a batch to the collector, within [`EXPORT_MAX`].
    pub async fn send(&self, batch: Batch<'_>) {
        if !batch.here.is_empty() {
            self.export(&mut *self.state.lock().await, batch).await;
        }
    }

    async fn export(&self, state: &mut State, mut batch: Batch<'_>) {
        let spans = batch.here.len() as u64;
        batch.sent = spans;
        let answer = timeout(EXPORT_MAX, self.collector.take(mem::take(&mut batch.here))).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {EXPORT_MAX:?}")));
        let (lost, why) = match answer {
            Ok(None) => (0, None),
            Ok(Some(rejected)) => (rejected.spans.min(spans), Some(rejected.why)),
            Err(why) => (spans, Some(why)),
        };
        self.exported.increment(spans - lost);
        batch.sent = lost;
        self.tell(state, why);
    }

    /// How many spans nobody got so far, for whatever reason.
    pub fn lost(&self) -> u64 {
        self.failed.all.load(Ordering::Relaxed)
    }

    /// Counts what wasn't sent as lost, and whatever ends from now on. The task that sends is over.
    pub fn give_up(&self) {
        let Ok(mut state) = self.state.try_lock() else { return };
        state.inbox.close();
        while state.inbox.try_recv().is_ok() {
            self.failed.add(1);
        }
    }

    /// Tells once that spans are lost, and once that they no longer are.
    fn tell(&self, state: &mut State, why: Option<String>) {
        let was_failing = std::mem::replace(&mut state.failing, why.is_some());
        let to = self.collector.target();
        match why {
            None if was_failing => {
                tracing::info!(
                    event = events::SPANS_TAKEN,
                    collector = to,
                    "spans are taken again"
                );
            }
            Some(why) if !was_failing => {
                tracing::warn!(
                    event = events::SPANS_LOST,
                    collector = to,
                    error.message = why,
                    "spans are lost until the collector takes them; jobs run all the same"
                );
            }
            None | Some(_) => {}
        }
    }
}

/// Spans that aren't known to be taken. They are lost with it, also where the task is ended while it gathers or sends them.
pub struct Batch<'e> {
    here: Vec<SpanData>,
    /// How many were sent and not taken so far.
    sent: u64,
    failed: &'e Losses,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.failed.add(self.sent + self.here.len() as u64);
    }
}

/// Waits for a batch, or for what came within the time that a span may wait.
async fn gather(inbox: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    let until = Instant::now() + LINGER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match timeout_at(until, inbox.recv_many(batch, room)).await {
            // Whoever makes spans is gone: what is there is all.
            Ok(0) => return sleep_until(until).await,
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
