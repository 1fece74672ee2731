//! Waiting until jobs have ended, and no longer than they can take.

use super::{BenchError, LIMIT, handler::Stamps};
use crate::postgres::BenchSession;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at the counter.
const LOOK: Duration = Duration::from_millis(2);
/// Between two looks at the table.
const LOOK_AT_TABLE: Duration = Duration::from_millis(5);

/// Whoever hasn't left by then belongs to somebody else.
const LEFT: Duration = Duration::from_secs(5);

/// Until so many jobs were handled.
pub(super) async fn handled(
    stamps: &Stamps,
    jobs: u64,
    show: impl Fn(u64),
) -> Result<(), BenchError> {
    let began = Instant::now();
    while stamps.handled() < jobs {
        let done = stamps.handled();
        show(done);
        if began.elapsed() > LIMIT {
            return Err(BenchError::Limit { done, of: jobs });
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Until the server has seen every daemon leave. Those that were told to stop have by then: it is the server's own
/// process that may take a moment longer.
pub(super) async fn left(session: &mut BenchSession) -> Result<(), BenchError> {
    let began = Instant::now();
    while session.connections().await? > 0 && began.elapsed() < LEFT {
        sleep(LOOK_AT_TABLE).await;
    }
    Ok(())
}

/// Until the table, all of whose jobs were handled, is empty.
pub(super) async fn gone(session: &mut BenchSession, jobs: u64) -> Result<(), BenchError> {
    let began = Instant::now();
    while !session.is_empty().await? {
        if began.elapsed() > LIMIT {
            return Err(BenchError::Kept { jobs });
        }
        sleep(LOOK_AT_TABLE).await;
    }
    Ok(())
}
