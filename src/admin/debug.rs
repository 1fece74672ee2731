//! What the daemon does at the moment: profiles, traces of its execution, and all of it in one archive.

use super::problem::Problem;
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(super) mod bundle;
pub(super) mod heap;
pub(super) mod pprof;
pub(super) mod trace;

/// Cancelled when the port closes, for requests that would go on beyond that.
#[derive(Debug, Clone)]
pub(super) struct Ends(pub(super) CancellationToken);

/// How long after the port has closed what is still under way is waited for; what isn't answered then is cut.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);

/// Answers for a request that isn't done when the daemon ends: otherwise its client would be told nothing at all.
pub(super) async fn until_the_last(request: Request, next: Next) -> Response {
    let Some(Ends(ends)) = request.extensions().get().cloned() else {
        return next.run(request).await;
    };
    let last = async {
        ends.cancelled().await;
        sleep(ANSWERED_WITHIN).await;
    };
    tokio::select! {
        response = next.run(request) => response,
        () = last => {
            let unknown = "the daemon ends, before this was answered: whether it was done isn't known";
            Problem::DaemonEnds.because(unknown).into_response()
        }
    }
}

/// Answers for a route that takes its time once the port closes: what is dropped then leaves nothing behind, and its
/// client would have to take a connection that breaks off for an answer.
pub(super) async fn until_the_end(request: Request, next: Next) -> Response {
    let Some(Ends(ends)) = request.extensions().get().cloned() else {
        return next.run(request).await;
    };
    tokio::select! {
        response = next.run(request) => response,
        () = ends.cancelled() => Problem::DaemonEnds.into_response(),
    }
}
