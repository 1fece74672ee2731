//! Changes of all jobs that meet filters, of either place. Over a port a daemon does the batches.

use super::{
    Place, Problem,
    port::{Asked, Port, because, body, query, since, span},
};
use crate::{
    cli::exit::{NoSuchOperation, Unsure},
    postgres::operations::{
        self, Asker, Bulk, BulkOperation, Connection, JobFilter, OperationPage, OperationState,
        Trial,
    },
};
use serde_json::{Map, Value, json};

impl Place {
    /// Who does the batches of what is begun here: this command, by this number, or a daemon.
    pub(in crate::cli) fn holder(&self) -> Option<i64> {
        matches!(self, Self::Database(_)).then(|| fastrand::i64(..))
    }

    pub(in crate::cli) async fn try_bulk(&mut self, bulk: &Bulk) -> anyhow::Result<Trial> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::try_bulk(c, bulk).await).await
            }
            Self::Port(port) => {
                let trial = port.bulk("couldn't count the jobs", bulk, None, true).await;
                // It is sent as a change is, and makes none.
                trial.map_err(Unsure::undone)
            }
        }
    }

    pub(in crate::cli) async fn begin_bulk(
        &mut self,
        bulk: &Bulk,
        holder: Option<i64>,
        asker: &Asker,
    ) -> anyhow::Result<BulkOperation> {
        match self {
            Self::Database(session) => {
                let beginning =
                    async |c: &mut Connection| operations::begin_bulk(c, bulk, holder, asker).await;
                session.change(beginning).await
            }
            Self::Port(port) => {
                let what = "couldn't begin the operation; no job was changed";
                port.bulk(what, bulk, asker.reason.as_ref(), false).await
            }
        }
    }

    /// Does a batch or, where a daemon does them, looks how far it is.
    pub(in crate::cli) async fn step_bulk(
        &mut self,
        id: i64,
        holder: Option<i64>,
    ) -> anyhow::Result<BulkOperation> {
        match (self, holder) {
            (Self::Database(session), Some(holder)) => {
                // Of a batch that gets no answer the operation knows; whoever asked is told how to look.
                session.within(async |c| operations::step_bulk(c, id, holder).await).await
            }
            (place, _) => place.show_operation(id).await,
        }
    }

    pub(in crate::cli) async fn list_operations(
        &mut self,
        state: Option<OperationState>,
        after: Option<i64>,
        limit: u32,
    ) -> anyhow::Result<OperationPage> {
        match self {
            Self::Database(session) => {
                let listing =
                    async |c: &mut _| operations::list_operations(c, state, after, limit).await;
                session.within(listing).await
            }
            Self::Port(port) => {
                let asked = query([
                    ("state", state.map(|state| state.as_str().to_owned())),
                    ("after", after.map(|id| id.to_string())),
                    ("limit", Some(limit.to_string())),
                ]);
                port.look("couldn't list the operations", &["operations"], &asked).await
            }
        }
    }

    pub(in crate::cli) async fn show_operation(
        &mut self,
        id: i64,
    ) -> anyhow::Result<BulkOperation> {
        match self {
            Self::Database(session) => {
                let found = session.within(async |c| operations::show_operation(c, id).await);
                Ok(found.await?.ok_or(NoSuchOperation(id))?)
            }
            Self::Port(port) => {
                let path = ["operations", &id.to_string()];
                let shown = port.look("couldn't read the operation", &path, &[]).await;
                shown.map_err(|error: anyhow::Error| match error.downcast_ref() {
                    Some(Problem { kind, .. }) if kind == "no-such-operation" => {
                        NoSuchOperation(id).into()
                    }
                    _ => error,
                })
            }
        }
    }

    pub(in crate::cli) async fn cancel_bulk(
        &mut self,
        id: i64,
        asker: &Asker,
    ) -> anyhow::Result<BulkOperation> {
        match self {
            Self::Database(session) => {
                session.change(async |c| operations::cancel_bulk(c, id, asker).await).await
            }
            Self::Port(port) => {
                let path = ["operations", &id.to_string()];
                let what = "couldn't end the operation";
                let question = Asked { what, method: "DELETE", path: &path };
                port.change(&question, because(asker.reason.as_ref())).await
            }
        }
    }
}

impl Port {
    async fn bulk<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        bulk: &Bulk,
        reason: Option<&String>,
        dry_run: bool,
    ) -> anyhow::Result<T> {
        let said = body([
            ("action", Some(json!(bulk.action))),
            ("filter", Some(filter(&bulk.filter))),
            ("for", bulk.delay.map(|delay| json!(span(delay)))),
            ("all", Some(json!(bulk.everything))),
            ("dry_run", Some(json!(dry_run))),
            ("reason", reason.map(|reason| json!(reason))),
        ]);
        self.change(&Asked { what, method: "POST", path: &["jobs", "bulk"] }, said).await
    }
}

fn filter(filter: &JobFilter) -> Value {
    let JobFilter { queue, kind, state, tag, created_after, created_before, payload, after: _ } =
        filter;
    let places: Map<_, _> =
        payload.iter().map(|(at, is)| (at.clone(), Value::from(is.as_str()))).collect();
    body([
        ("queue", queue.as_ref().map(|queue| json!(queue.as_str()))),
        ("kind", kind.as_ref().map(|kind| json!(kind.as_str()))),
        ("state", state.map(|state| json!(state.as_str()))),
        ("tag", tag.as_ref().map(|tag| json!(tag))),
        ("created_after", created_after.and_then(since).map(Value::from)),
        ("created_before", created_before.and_then(since).map(Value::from)),
        ("payload", (!places.is_empty()).then_some(Value::Object(places))),
    ])
}
