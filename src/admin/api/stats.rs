//! Figures for autoscalers.

use super::{
    super::{problem::Refusal, routes::AdminState},
    ask,
    query::{Asked, Parameters, Query},
    shown,
};
use crate::{
    job::QueueName,
    postgres::operations::{self, QueueDetail},
};
use axum::{extract::State, response::Response};
use futures::FutureExt;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Of which queue.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Of {
    /// The queue; without it `default`.
    #[param(value_type = Option<String>, default = "default", example = "default")]
    queue: Option<QueueName>,
}

impl Parameters for Of {
    fn read(query: &Query) -> Result<Self, Refusal> {
        Ok(Self { queue: query.parsed("queue")? })
    }
}

/// How much a queue could use.
#[derive(Serialize, ToSchema)]
pub(super) struct Scale {
    /// Which queue.
    queue: String,
    /// Jobs in line, counted to 10,000.
    available: i64,
    /// How long ago the job was due that has been in line for longest; 0 where none is.
    oldest_age_seconds: f64,
    /// Slots that would be in use if there were enough: what is in line and what waits in daemons, unless the queue is
    /// paused, and what runs. Divided by the `concurrency` of one daemon it is how many daemons there should be.
    desired_workers: i64,
}

impl Scale {
    fn of(queue: &QueueDetail) -> Self {
        let in_daemons: i64 = queue.daemons.iter().filter_map(|daemon| daemon.waiting).sum();
        let waiting = if queue.paused { 0 } else { queue.depth.available + in_daemons };
        Self {
            queue: queue.name.clone(),
            available: queue.depth.available,
            oldest_age_seconds: queue.oldest_age_seconds.unwrap_or_default(),
            desired_workers: waiting + queue.depth.running,
        }
    }
}

/// What an autoscaler goes by
///
/// A queue that nobody knows yet has nothing to do: an autoscaler may ask before its first job.
#[utoipa::path(get, path = "/api/v1/stats/scale", operation_id = "scale", tag = "stats", params(Of),
    responses((status = 200, description = "It.", body = Scale, example = json!({
        "queue": "default", "available": 1250, "oldest_age_seconds": 12.5, "desired_workers": 1270,
    }))))]
pub(in crate::admin) async fn scale(
    State(state): State<AdminState>,
    Asked(of): Asked<Of>,
) -> Result<Response, Refusal> {
    let queue = match of.queue {
        Some(queue) => queue,
        None => super::queue("default")?,
    };
    let name = queue.to_string();
    let found =
        ask(&state, move |c| async move { operations::show_queue(c, &queue, None).await }.boxed())
            .await?;
    let nothing =
        || Scale { queue: name, available: 0, oldest_age_seconds: 0.0, desired_workers: 0 };
    shown(&found.as_ref().map_or_else(nothing, Scale::of))
}
