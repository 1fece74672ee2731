//! What operators decided at run time, as daemons read it.

use super::Upkeep;
use crate::{
    config::Overrides,
    job::QueueName,
    postgres::{DbError, operations::Connection},
};
use futures::FutureExt;
use std::time::Duration;

/// What a daemon is told to do; each is more than those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Claim nothing more, as TSTP has it.
    Quiet,
    /// End, as TERM has it.
    Drain,
    /// End at once, as a second TERM has it.
    Shutdown,
}

impl Wanted {
    /// As it is stored and named.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Drain => "drain",
            Self::Shutdown => "shutdown",
        }
    }

    fn of(text: &str) -> Option<Self> {
        match text {
            "quiet" => Some(Self::Quiet),
            "drain" => Some(Self::Drain),
            "shutdown" => Some(Self::Shutdown),
            _ => None,
        }
    }
}

/// What was decided and holds.
#[derive(Debug, Clone, Default)]
pub struct Decided {
    /// What this daemon is to do.
    pub wanted: Option<Wanted>,
    /// Queues of those that were asked for that are paused.
    pub paused: Vec<String>,
    /// Those of them that somebody drains.
    pub draining: Vec<String>,
    /// Overrides of queues.
    pub overrides: Overrides,
    /// In what time the next of it ends; zero where it should have.
    pub next: Option<Duration>,
}

type Names = Vec<String>;
type Row = (Option<String>, Names, Names, Names, Names, Names, Option<f64>);

impl From<Row> for Decided {
    fn from((wanted, paused, draining, queues, settings, values, next): Row) -> Self {
        let rows = queues.into_iter().zip(settings).zip(values);
        Self {
            wanted: wanted.and_then(|wanted| Wanted::of(&wanted)),
            paused,
            draining,
            overrides: rows.map(|((queue, setting), value)| (queue, setting, value)).collect(),
            next: next
                .map(|next| Duration::try_from_secs_f64(next.max(0.0)).unwrap_or(Duration::MAX)),
        }
    }
}

/// What was decided for queues, for a daemon that isn't registered yet.
pub async fn decided(connection: &mut Connection) -> Result<Decided, DbError> {
    let statement = sqlx::query_as::<_, Row>(include_str!("../sql/decided.sql"));
    let row = statement.persistent(false).bind(None::<i64>).bind(Vec::<String>::new());
    let row = row.fetch_one(connection).await;
    row.map(Decided::from).map_err(DbError::Statement)
}

impl Upkeep {
    /// What was decided, for the daemon of this boot id that serves these queues.
    pub async fn decided(
        &self,
        boot: Option<i64>,
        served: &[QueueName],
    ) -> Result<Decided, DbError> {
        let served: Vec<_> = served.iter().map(ToString::to_string).collect();
        let statement = sqlx::query_as::<_, Row>(include_str!("../sql/decided.sql"));
        let statement = statement.bind(boot).bind(served);
        let row = self.brief().await.run("decided", |c| statement.fetch_one(c).boxed()).await?;
        Ok(row.into())
    }

    /// Ends what is past; gives how much that was.
    pub async fn end_overrides(&self) -> Result<i32, DbError> {
        let statement = sqlx::query_scalar(include_str!("../sql/end_overrides.sql"));
        self.brief().await.run("end_overrides", |c| statement.fetch_one(c).boxed()).await
    }
}
