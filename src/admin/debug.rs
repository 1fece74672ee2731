//! What the daemon does at the moment: profiles, traces of its execution, and all of it in one archive.

use super::problem::Problem;
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio_util::sync::CancellationToken;

pub(super) mod bundle;
pub(super) mod heap;
pub(super) mod pprof;
pub(super) mod trace;

/// Cancelled when the port closes, for requests that would go on beyond that.
#[derive(Debug, Clone)]
pub(super) struct Ends(pub(super) CancellationToken);

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
