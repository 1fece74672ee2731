//! What is done about an attempt on another connection than its own: ending the server's process behind
//! one that was given up, and asking what became of a COMMIT. And whether functions can be called at all.

use super::{Functions, Refusal, fenced};
use crate::{config::SqlSettings, job::Lease, postgres::DbError};
use futures::FutureExt;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

/// A server's process that may still work for an attempt that is over. Its place among the daemon's
/// connections is taken until it is ended.
#[derive(Debug)]
pub struct Abandoned {
    pub(super) pid: i32,
    /// By the server's clock, in microseconds; with the number it names one process.
    pub(super) started: i64,
    #[expect(dead_code, reason = "it is held, not read")]
    pub(super) place: OwnedSemaphorePermit,
}

/// What became of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    Yes,
    No,
    /// It wasn't made, and somebody else has the job by now, or has ended it.
    NotOurs,
}

/// Looks at least: what cut the attempt's connection off has cut off that of the first look as well.
const LOOKS_MIN: u32 = 3;

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// Takes on a role for a transaction. A name can't be a parameter.
fn as_role(name: &str) -> String {
    format!("SET LOCAL ROLE \"{}\";\n", name.replace('"', "\"\""))
}

/// Names are looked up as an attempt does, where database and role say, and not as a session of ours.
const THEIR_PATH: &str = "SET LOCAL search_path = DEFAULT;\n";

impl Functions {
    /// Waits for the next process that was left behind.
    pub async fn abandoned(&self) -> Option<Abandoned> {
        self.inbox.lock().await.recv().await
    }

    /// One that is left behind already.
    pub async fn abandoned_already(&self) -> Option<Abandoned> {
        self.inbox.lock().await.try_recv().ok()
    }

    /// Has the server end it.
    pub async fn end(&self, abandoned: &Abandoned) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("../sql/end_backend.sql"));
        let statement = statement.bind(abandoned.pid).bind(abandoned.started);
        let mut session = self.aside.lock().await;
        session.run("end_backend", |c| statement.execute(c).boxed()).await.map(drop)
    }

    /// What is in the way of calling this function, as the server says it of a call, if anything is.
    pub async fn obstacle(&self, settings: &SqlSettings) -> Result<Option<String>, DbError> {
        let statement = include_str!("../sql/check_function.sql");
        let statement = statement.replace("{function}", &settings.function.quoted());
        // Sent as one text, all are one transaction, and the path and the role end with it.
        let role = settings.role.as_deref().map(as_role).unwrap_or_default();
        let asked = sqlx::raw_sql(AssertSqlSafe(THEIR_PATH.to_owned() + &role + &statement));
        let mut session = self.aside.lock().await;
        match session.run("check_function", |c| asked.execute(c).boxed()).await {
            Ok(_) => Ok(None),
            Err(DbError::Statement(error)) if fenced::is_refusal(&error) => {
                Ok(Refusal::of(&error).map(|why| format!("{}: {}", why.sqlstate, why.message)))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the attempt of this lease was committed, tried for as long as a statement may take and
    /// a few times; nothing where nobody answers.
    pub(super) async fn look_up(&self, lease: Lease, is_kept: bool) -> Option<Committed> {
        let until = Instant::now() + self.connector.statement_timeout();
        for tried in 1.. {
            match self.look_once(lease, is_kept).await {
                Ok(found) => return Some(found),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(error, "a COMMIT in doubt can't be looked up yet");
                }
            }
            if tried >= LOOKS_MIN && Instant::now() >= until {
                break;
            }
            sleep(LOOK_PAUSE).await;
        }
        None
    }

    async fn look_once(&self, lease: Lease, is_kept: bool) -> Result<Committed, DbError> {
        let mut session = self.aside.lock().await;
        let row = sqlx::query_as::<_, (i64, Option<i64>)>(include_str!("../sql/look_at_lease.sql"));
        let row = row.bind(lease.job.0);
        // Waits until the transaction in doubt has ended: it holds the row from its fence on.
        let found = session.run("look_at_lease", |c| row.fetch_optional(c).boxed()).await?;
        match found {
            Some(found) if found == (lease.token, Some(lease.holder)) => Ok(Committed::No),
            Some(_) => Ok(Committed::NotOurs),
            // Nothing tells who ended a job of which nothing is kept, and nobody will run it again.
            None if !is_kept => Ok(Committed::Yes),
            None => {
                let asked =
                    sqlx::query_scalar::<_, bool>(include_str!("../sql/completed_under.sql"));
                let asked = asked.bind(lease.job.0).bind(lease.token);
                let completed =
                    session.run("completed_under", |c| asked.fetch_one(c).boxed()).await?;
                Ok(if completed { Committed::Yes } else { Committed::NotOurs })
            }
        }
    }
}
