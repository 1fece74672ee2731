//! What `run --once` leaves behind, said in its log.
//!
//! It ends well though jobs are in line that it may not or can't run, and whoever reads the exit code
//! alone would take them for done. It counts once and waits for nothing.

use super::{Running, lanes};
use crate::{postgres::Upkeep, telemetry::events};

impl Running {
    /// Says how much waits in paused queues, and for somebody who serves it.
    pub(super) async fn tell_what_waits(&self, upkeep: &Upkeep) {
        let (queues, kinds) = lanes::served(&self.serving());
        let queues: Vec<_> = queues.iter().map(ToString::to_string).collect();
        let counted = async {
            let elsewhere = upkeep.outside(&queues).await?;
            Ok::<_, crate::postgres::DbError>((elsewhere, upkeep.count(queues, kinds).await?))
        };
        let (elsewhere, counts) = match counted.await {
            Ok(counted) => counted,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                return tracing::warn!(error, "what is left in line couldn't be counted");
            }
        };
        let paused = counts.iter().filter(|queue| queue.paused);
        let paused: i64 = paused.map(|queue| queue.available - queue.unserved).sum();
        let unserved = elsewhere + counts.iter().map(|queue| queue.unserved).sum::<i64>();
        let event = events::DAEMON_DRAINED;
        if paused + unserved == 0 {
            tracing::info!(event, paused_jobs = 0, unserved_jobs = 0, "nothing is left in line");
        } else {
            tracing::warn!(
                event,
                paused_jobs = paused,
                unserved_jobs = unserved,
                "jobs stay in line: in paused queues, or of queues and kinds that aren't served here"
            );
        }
    }
}
