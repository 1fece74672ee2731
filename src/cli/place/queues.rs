//! Queues, of either place.

use super::{
    Place, Problem,
    port::{Asked, Port, because, body, until},
};
use crate::{
    cli::{Context, exit::NoSuchQueue},
    config::{self, QueueOverride, QueueSettings},
    job::QueueName,
    postgres::operations::{self, Asker, Connection, End, QUEUES_MAX, QueueDetail, QueueList},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the API says of a change of a queue.
#[derive(Deserialize)]
struct Done {
    changed: bool,
}

impl Place {
    pub(in crate::cli) async fn list_queues(
        &mut self,
        after: Option<&QueueName>,
    ) -> anyhow::Result<QueueList> {
        match self {
            Self::Database(session) => {
                let listing = async |c: &mut Connection| {
                    operations::list_queues_after(c, after, QUEUES_MAX).await
                };
                session.within(listing).await
            }
            Self::Port(port) => {
                let limit = ("limit".to_owned(), QUEUES_MAX.to_string());
                let after = after.map(|after| ("after".to_owned(), after.to_string()));
                let query: Vec<_> = after.into_iter().chain([limit]).collect();
                port.look("couldn't list queues", &["queues"], &query).await
            }
        }
    }

    /// How a queue stands, with what the file says of it: the configuration or, over a port, that of the daemon that answers.
    pub(in crate::cli) async fn show_queue(
        &mut self,
        queue: &QueueName,
        context: &Context,
    ) -> anyhow::Result<QueueDetail> {
        let file = match self {
            Self::Database(_) => {
                let loaded = config::load(&context.source)?;
                // Without a file there is a queue all the same, of what is built in: no daemon's file need say that.
                let queues = loaded.file.is_some().then_some(loaded.settings.queues);
                queues.into_iter().flatten().find(|of| of.name == *queue)
            }
            Self::Port(_) => None,
        };
        let found = self.find_queue(queue, file.as_ref()).await?;
        Ok(found.ok_or_else(|| NoSuchQueue(queue.clone()))?)
    }

    /// Whether queues may be looked at. A token that may change one may.
    pub(in crate::cli) async fn may_look_at_queues(&mut self) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => session.within(operations::may_look_at_queues).await,
            Self::Port(_) => Ok(true),
        }
    }

    /// The same of a queue that nobody may know; `file` is what the configuration says of it, where the database is asked.
    pub(in crate::cli) async fn find_queue(
        &mut self,
        queue: &QueueName,
        file: Option<&QueueSettings>,
    ) -> anyhow::Result<Option<QueueDetail>> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::show_queue(c, queue, file).await).await
            }
            Self::Port(port) => {
                let path = ["queues", queue.as_str()];
                match port.look("couldn't look at the queue", &path, &[]).await {
                    Ok(found) => Ok(Some(found)),
                    Err(error) => match error.downcast_ref() {
                        Some(Problem { kind, .. }) if kind == "no-such-queue" => Ok(None),
                        _ => Err(error),
                    },
                }
            }
        }
    }

    pub(in crate::cli) async fn pause_queue(
        &mut self,
        queue: &QueueName,
        end: End,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let pausing =
                    async |c: &mut Connection| operations::pause_queue(c, queue, end, asker).await;
                session.change(pausing).await
            }
            Self::Port(port) => port.halt(queue, "pause", end, asker).await,
        }
    }

    pub(in crate::cli) async fn drain_queue(
        &mut self,
        queue: &QueueName,
        end: End,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let draining =
                    async |c: &mut Connection| operations::drain_queue(c, queue, end, asker).await;
                session.change(draining).await
            }
            Self::Port(port) => port.halt(queue, "drain", end, asker).await,
        }
    }

    pub(in crate::cli) async fn resume_queue(
        &mut self,
        queue: &QueueName,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let resuming =
                    async |c: &mut Connection| operations::resume_queue(c, queue, asker).await;
                session.change(resuming).await
            }
            Self::Port(port) => {
                let what = "couldn't resume the queue";
                port.switch(
                    (what, "POST", &[queue.as_str(), "resume"]),
                    because(asker.reason.as_ref()),
                )
                .await
            }
        }
    }

    pub(in crate::cli) async fn override_queue(
        &mut self,
        queue: &QueueName,
        decided: QueueOverride,
        end: End,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let deciding = async |c: &mut Connection| {
                    operations::override_queue(c, queue, decided, end, asker).await
                };
                session.change(deciding).await
            }
            Self::Port(port) => {
                let [time, until, reason] = until(end, asker.reason.as_ref());
                let said = body([
                    ("concurrency", decided.concurrency.map(|jobs| json!(jobs))),
                    ("rate_limit", decided.rate_limit.map(|limit| json!(limit.to_string()))),
                    time,
                    until,
                    reason,
                ]);
                let what = "couldn't override the queue's settings";
                port.switch((what, "PATCH", &[queue.as_str()]), said).await
            }
        }
    }

    pub(in crate::cli) async fn reset_queue(
        &mut self,
        queue: &QueueName,
        setting: Option<&str>,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let resetting = async |c: &mut Connection| {
                    operations::reset_queue(c, queue, setting, asker).await
                };
                session.change(resetting).await
            }
            Self::Port(port) => {
                let path = ["queues", queue.as_str(), "overrides"];
                let what = "couldn't take the queue's overrides away";
                let question = Asked { what, method: "DELETE", path: &path };
                let query: Vec<_> =
                    setting.iter().map(|it| ("setting".to_owned(), (*it).to_owned())).collect();
                let said = because(asker.reason.as_ref()).to_string();
                let done: Done = port.ask(&question, &query, &said).await?;
                Ok(done.changed)
            }
        }
    }
}

impl Port {
    /// Pauses or drains a queue.
    async fn halt(
        &self,
        queue: &QueueName,
        how: &str,
        end: End,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        let said = body(until(end, asker.reason.as_ref()));
        self.switch(("couldn't pause the queue", "POST", &[queue.as_str(), how]), said).await
    }

    /// Changes a queue.
    async fn switch(
        &self,
        (what, method, below): (&'static str, &'static str, &[&str]),
        said: Value,
    ) -> anyhow::Result<bool> {
        let path = [&["queues"][..], below].concat();
        let done: Done = self.change(&Asked { what, method, path: &path }, said).await?;
        Ok(done.changed)
    }
}
