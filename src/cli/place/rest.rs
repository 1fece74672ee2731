//! Schedules and the audit, of either place. Over a port the schedules are those of the file of the daemon that answers.

use super::{
    Place, Problem,
    port::{Asked, because, query, since},
};
use crate::{
    cli::{
        Context,
        exit::{NoSuchSchedule, NotNow},
    },
    config::{self, ScheduleSettings},
    job::JobId,
    postgres::operations::{self, Asker, Connection, NoteFilter, NotePage, Ran, ScheduleList},
};
use serde::Deserialize;

/// What the API says of a schedule's job.
#[derive(Deserialize)]
struct Enqueued {
    id: i64,
}

impl Place {
    pub(in crate::cli) async fn list_schedules(
        &mut self,
        context: &Context,
    ) -> anyhow::Result<ScheduleList> {
        match self {
            Self::Database(session) => {
                let schedules = config::load(&context.source)?.settings.schedules;
                session.within(async |c| operations::list_schedules(c, &schedules).await).await
            }
            Self::Port(port) => {
                port.look("couldn't look at the schedules", &["schedules"], &[]).await
            }
        }
    }

    /// Enqueues a schedule's job.
    pub(in crate::cli) async fn run_schedule(
        &mut self,
        name: &str,
        asker: &Asker,
        context: &Context,
    ) -> anyhow::Result<JobId> {
        let port = match self {
            Self::Port(port) => port,
            Self::Database(session) => {
                let schedule = schedule(name, context)?;
                let metadata = operations::metadata_of(&schedule);
                let run = async |c: &mut Connection| {
                    operations::run_schedule(c, &schedule, &metadata, asker).await
                };
                return ran(name, session.change(run).await?);
            }
        };
        let what = "couldn't enqueue the schedule's job";
        let question = Asked { what, method: "POST", path: &["schedules", name, "run"] };
        match port.change::<Enqueued>(&question, because(asker.reason.as_ref())).await {
            Ok(enqueued) => Ok(JobId(enqueued.id)),
            Err(error) => Err(not_run(name, error)),
        }
    }

    pub(in crate::cli) async fn list_notes(
        &mut self,
        filter: &NoteFilter,
        limit: u32,
    ) -> anyhow::Result<NotePage> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::list_notes(c, filter, limit).await).await
            }
            Self::Port(port) => {
                let NoteFilter { action, target, actor, since: from, after } = filter;
                let asked = query([
                    ("action", action.clone()),
                    ("target", target.clone()),
                    ("actor", actor.clone()),
                    ("since", from.and_then(since)),
                    ("after", after.map(|id| id.to_string())),
                    ("limit", Some(limit.to_string())),
                ]);
                port.look("couldn't list what people changed", &["audit"], &asked).await
            }
        }
    }
}

/// The schedule of this name in the configuration.
pub(in crate::cli) fn schedule(name: &str, context: &Context) -> anyhow::Result<ScheduleSettings> {
    let schedules = config::load(&context.source)?.settings.schedules;
    let named = schedules.into_iter().find(|schedule| schedule.name.as_str() == name);
    Ok(named.ok_or_else(|| NoSuchSchedule { of: "the", name: name.to_owned() })?)
}

/// What a daemon's refusal means to whoever named the schedule.
fn not_run(name: &str, error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<Problem>() {
        Some(problem) if problem.kind == "wrong-state" => {
            let hint = problem.hint().map(str::to_owned);
            NotNow { said: format!("not enqueued: {}", problem.said()), hint }.into()
        }
        Some(problem) if problem.kind == "no-such-schedule" => {
            NoSuchSchedule { of: "the daemon's", name: name.to_owned() }.into()
        }
        _ => error,
    }
}

fn not_now(said: String) -> anyhow::Result<JobId> {
    Err(NotNow { said, hint: None }.into())
}

fn ran(name: &str, ran: Ran) -> anyhow::Result<JobId> {
    match ran {
        Ran::Enqueued(job) => Ok(job),
        Ran::Overlapped(job) => not_now(format!(
            "not enqueued: job {} of schedule {name} is unfinished, and its overlap is \"skip\"",
            job.0
        )),
        Ran::Busy => not_now(format!("not enqueued: schedule {name} fires again and again now")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::problem::tests::advised, *};

    #[test]
    fn what_the_database_advises_of_a_schedule_s_job_is_kept() {
        let refused = not_run("nightly", advised().into());
        let NotNow { said, hint } = refused.downcast().expect("it is one of these");
        assert_eq!((&*said, hint.as_deref()), ("not enqueued: it runs", Some("Wait.")));
    }
}
