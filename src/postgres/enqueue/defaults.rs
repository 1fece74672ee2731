//! What COPY can't ask for: the moment from which delays count, and what a row's metadata is where it brings none.

use super::NewJob;
use sqlx::postgres::PgConnection;
use std::time::Duration;
use time::OffsetDateTime;

/// Asked for once before a COPY.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// By the database's clock.
    now: OffsetDateTime,
    /// That of the session, as the column's default has it.
    metadata: Option<String>,
}

impl Defaults {
    /// Those of this session at this moment.
    pub async fn ask(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let session = sqlx::query_as(include_str!("../sql/producer_session.sql"));
        let (now, metadata) = session.persistent(false).fetch_one(connection).await?;
        Ok(Self { now, metadata })
    }

    /// The job with what it lacks; a `run_at` of its own wins over the delay.
    #[must_use]
    pub fn given_to(&self, mut job: NewJob, delay: Option<Duration>) -> NewJob {
        job.run_at = job.run_at.or_else(|| self.now.checked_add(delay?.try_into().ok()?));
        job.metadata = job.metadata.or_else(|| self.metadata.clone());
        job
    }
}
