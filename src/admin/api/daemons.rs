//! The daemons that serve this database.

use super::{
    super::{problem::Refusal, routes::AdminState},
    ask,
    query::{Asked, Nothing},
    shown,
};
use crate::postgres::operations::{self, DaemonList};
use axum::{extract::State, response::Response};
use futures::FutureExt;

/// The daemons of this database, those that work first
///
/// Live ones, then quiet, overdue and gone ones, of each those that started last first. Those that have ended stay for an
/// hour. At most 1,000; how many more there are is `omitted`.
#[utoipa::path(get, path = "/api/v1/daemons", operation_id = "list_daemons", tag = "daemons",
    responses((status = 200, description = "They.", body = DaemonList, example = json!({
        "now": "2026-03-01T12:00:00.000000Z",
        "daemons": [{ "id": "-4611686018427387904", "name": "a", "version": "0.1.0", "hostname": "web-1",
            "state": "live", "wanted": null, "started_at": "2026-03-01T09:00:00.000000Z", "heartbeat_age_seconds": 2.5,
            "expires_at": "2026-03-01T12:00:27.000000Z", "died_at": null, "running": 10,
            "queues": ["default"], "kinds": ["send_email"] }],
        "omitted": 0,
    }))))]
pub(in crate::admin) async fn list(
    State(state): State<AdminState>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Refusal> {
    shown(&ask(&state, |c| operations::list_daemons(c).boxed()).await?)
}
