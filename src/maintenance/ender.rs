//! Ends what attempts of sql kinds have left behind on the server: processes that may still work for an
//! attempt that was cancelled, ran out of time or was dropped.
//!
//! It decides nothing: nothing of such an attempt is kept, whether its process is ended or not. But a
//! function that goes on holds locks and a connection. First of all it tells which functions can't be
//! called as the configuration has them, so that it is known before the first job, after a reload as well.

use crate::{
    config::SqlSettings,
    postgres::{Abandoned, DbError, Functions},
    supervise::{self, WaitPoint, at},
    telemetry::events,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often a process is tried for: then its own limit ends it, or the server is away, and it with it.
const TRIES: u32 = 5;
/// Pause after a failed try.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends what is left behind until it is told to stop, and then what is left behind by then. Tells of functions
/// among `called` that can't be called, at its start and whenever they are others.
pub async fn end_abandoned(
    functions: Arc<Functions>,
    mut called: watch::Receiver<Vec<SqlSettings>>,
    stop: CancellationToken,
) {
    called.mark_changed();
    loop {
        let next = async {
            tokio::select! {
                biased;
                Ok(()) = called.changed() => None,
                abandoned = functions.abandoned() => abandoned,
            }
        };
        match at(WaitPoint::ChannelReceive, supervise::waiting(stop.run_until_cancelled(next)))
            .await
        {
            Some(Some(abandoned)) => end(&functions, &abandoned, &stop).await,
            Some(None) => {
                let called = called.borrow_and_update().clone();
                stop.run_until_cancelled(tell_of_obstacles(&functions, &called)).await;
            }
            None => break,
        }
    }
    while let Some(abandoned) = functions.abandoned_already().await {
        end(&functions, &abandoned, &stop).await;
    }
}

async fn end(functions: &Functions, abandoned: &Abandoned, stop: &CancellationToken) {
    for _ in 0..TRIES {
        let Err(error) = functions.end(abandoned).await else { return };
        tell("a function may still run that was given up; the server ends it at its limit", &error);
        // Once it is told to stop, there is no time for another try.
        if at(WaitPoint::RetryPause, stop.run_until_cancelled(sleep(PAUSE))).await.is_none() {
            return;
        }
    }
}

fn tell(what: &str, error: &DbError) {
    let error: &dyn std::error::Error = error;
    supervise::failed(error);
    tracing::warn!(event = events::FUNCTION_FAILED, error, "{what}");
}

async fn tell_of_obstacles(functions: &Functions, called: &[SqlSettings]) {
    for settings in called {
        match functions.obstacle(settings).await {
            Ok(None) => {}
            Ok(Some(why)) => tracing::error!(
                event = events::FUNCTION_FAILED,
                function = %settings.function,
                error.message = why,
                "a function can't be called yet; its jobs are tried again until it can"
            ),
            Err(error) => {
                // Nobody answers, and what was left behind mustn't wait for as many deadlines.
                return tell("it isn't known whether functions can be called", &error);
            }
        }
    }
}
