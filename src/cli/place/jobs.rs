//! Jobs, of either place.

use super::{
    Place, Problem,
    port::{Asked, Port, because, body, query, since, span},
};
use crate::{
    cli::exit::{NoSuchJob, Partly, Usage},
    job::{JobId, State},
    postgres::operations::{
        self, Action, Asker, Change, Connection, Gate, JobDetail, JobFilter, JobPage,
    },
};
use serde_json::json;
use std::time::Duration;

/// Pages that are asked for to fill one: as many jobs are looked at as the database looks at for it, a million.
const PAGES_MAX: usize = 50;

impl Place {
    pub(in crate::cli) async fn list_jobs(
        &mut self,
        filter: &JobFilter,
        limit: u32,
    ) -> anyhow::Result<JobPage> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::list_jobs(c, filter, limit).await).await
            }
            Self::Port(port) => port.list_jobs(filter, limit).await,
        }
    }

    /// A job; without what is in it where that isn't for whoever asks.
    pub(in crate::cli) async fn show_job(&mut self, id: JobId) -> anyhow::Result<JobDetail> {
        match self {
            Self::Database(session) => {
                let found = session.within(async |c| operations::show_job(c, id).await).await;
                let found = match found {
                    Err(error) if operations::is_forbidden(error.as_ref()) => {
                        session.within(async |c| operations::show_public_job(c, id).await).await
                    }
                    found => found,
                };
                Ok(found?.ok_or(NoSuchJob(id))?)
            }
            Self::Port(port) => {
                let path = ["jobs", &id.to_string()];
                named(id, port.look("couldn't read the job", &path, &[]).await)
            }
        }
    }

    /// The gates before a job; of the API an error where there is none.
    pub(in crate::cli) async fn explain_job(&mut self, id: JobId) -> anyhow::Result<Vec<Gate>> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::explain_job(c, id).await).await
            }
            Self::Port(port) => {
                let path = ["jobs", &id.to_string(), "why"];
                let what = "couldn't find out why the job isn't running";
                named(id, port.look(what, &path, &[]).await)
            }
        }
    }

    /// What became of them, as far as it came; and the error that ended it there.
    pub(in crate::cli) async fn change_jobs(
        &mut self,
        (action, delay): (Action, Option<Duration>),
        ids: &[JobId],
        asker: &Asker,
    ) -> (Vec<Change>, anyhow::Result<()>) {
        match self {
            Self::Database(session) => {
                let changing = async |c: &mut Connection| match (action, delay) {
                    (Action::Cancel, _) => operations::cancel_jobs(c, ids, asker).await,
                    (Action::Retry, _) => operations::retry_jobs(c, ids, asker).await,
                    (Action::Discard, _) => operations::discard_jobs(c, ids, asker).await,
                    (Action::Snooze, delay) => {
                        operations::snooze_jobs(c, ids, delay.unwrap_or_default(), asker).await
                    }
                };
                match session.change(changing).await {
                    Ok(changes) => (changes, Ok(())),
                    Err(error) => (Vec::new(), Err(error)),
                }
            }
            Self::Port(port) => port.change_jobs((action, delay), ids, asker).await,
        }
    }
}

impl Port {
    /// The API looks at fewer jobs for a page than the command line does; this fills one.
    async fn list_jobs(&self, filter: &JobFilter, limit: u32) -> anyhow::Result<JobPage> {
        let mut page = self.page(filter, limit).await?;
        for _ in 1..PAGES_MAX {
            let found = u32::try_from(page.jobs.len()).unwrap_or(u32::MAX);
            let (Some(next), missing @ 1..) = (page.next, limit.saturating_sub(found)) else {
                break;
            };
            let behind = JobFilter { after: Some(JobId(next)), ..filter.clone() };
            let more = self.page(&behind, missing).await?;
            page.jobs.extend(more.jobs);
            page.next = more.next;
        }
        Ok(page)
    }

    async fn page(&self, filter: &JobFilter, limit: u32) -> anyhow::Result<JobPage> {
        let JobFilter { queue, kind, state, tag, created_after, created_before, payload, after } =
            filter;
        let mut asked = query([
            ("queue", queue.as_ref().map(ToString::to_string)),
            ("kind", kind.as_ref().map(ToString::to_string)),
            ("state", state.map(|state| state.as_str().to_owned())),
            ("tag", tag.clone()),
            ("created_after", created_after.and_then(since)),
            ("created_before", created_before.and_then(since)),
            ("after", after.map(|id| id.0.to_string())),
            ("limit", Some(limit.to_string())),
        ]);
        asked.extend(payload.iter().map(|(at, is)| (format!("payload.{at}"), is.clone())));
        self.look("couldn't list jobs", &["jobs"], &asked).await
    }

    /// In the order in which the database does it, one by one: an error ends it amid them.
    async fn change_jobs(
        &self,
        doing: (Action, Option<Duration>),
        ids: &[JobId],
        asker: &Asker,
    ) -> (Vec<Change>, anyhow::Result<()>) {
        let mut ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > 1 && doing.0 != Action::Cancel {
            let how = format!(
                "over the API {} takes one job: several, all of them or none, are the database's to change; filters take \
                 many over either",
                doing.0.as_str()
            );
            return (Vec::new(), Err(Usage(how).into()));
        }
        let mut changes = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            match self.change_job(doing, JobId(*id), asker).await {
                Ok(change) => changes.push(change),
                Err(error) if at > 0 => {
                    let (all, behind) = (ids.len(), ids.len() - at - 1);
                    let told = format!(
                        "it ended at job {id}: {at} of {all} were done before, {behind} weren't asked for"
                    );
                    return (changes, Err(error.context(Partly(told))));
                }
                Err(error) => return (changes, Err(error)),
            }
        }
        (changes, Ok(()))
    }

    async fn change_job(
        &self,
        (action, delay): (Action, Option<Duration>),
        id: JobId,
        asker: &Asker,
    ) -> anyhow::Result<Change> {
        let what = match action {
            Action::Cancel => "couldn't cancel; no job was changed",
            Action::Retry => "couldn't retry; no job was changed",
            Action::Discard => "couldn't discard; no job was changed",
            Action::Snooze => "couldn't snooze; no job was changed",
        };
        let reason = asker.reason.as_ref();
        let said = match delay {
            Some(delay) => body([
                ("for", Some(json!(span(delay)))),
                ("reason", reason.map(|reason| json!(reason))),
            ]),
            None => because(reason),
        };
        let path = ["jobs", &id.to_string(), action.as_str()];
        let error = match self.change(&Asked { what, method: "POST", path: &path }, said).await {
            Ok(change) => return Ok(change),
            Err(error) => error,
        };
        let kind = error.downcast_ref().map(|problem: &Problem| problem.kind.clone());
        let result = match (action, kind.as_deref()) {
            (Action::Cancel, Some("no-such-job")) => "not_found",
            (Action::Cancel | Action::Discard, Some("wrong-state")) if self.ended(id).await? => {
                "already_finished"
            }
            _ => return Err(error),
        };
        Ok(Change { id: id.0, result: result.to_owned() })
    }

    /// Whether a job that can't be changed is one that has finished: that is no error of the command line's.
    async fn ended(&self, id: JobId) -> anyhow::Result<bool> {
        let job: JobDetail =
            self.look("couldn't read the job", &["jobs", &id.to_string()], &[]).await?;
        let ended = [State::Completed, State::Cancelled, State::Discarded];
        Ok(ended.iter().any(|state| state.as_str() == job.state))
    }
}

/// As the database's error says it that there is no such job.
fn named<T>(id: JobId, found: anyhow::Result<T>) -> anyhow::Result<T> {
    found.map_err(|error| match error.downcast_ref() {
        Some(Problem { kind, .. }) if kind == "no-such-job" => NoSuchJob(id).into(),
        _ => error,
    })
}
