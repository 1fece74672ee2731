//! Puts a dead daemon's jobs back in line, with a record of the attempt that its death cost each.
//!
//! The record is for people. Whatever history says to it (a day that can't be made, a constraint, a
//! lock that somebody holds), the jobs go back all the same.

use super::{SCAN_LIMIT, Upkeep};
use crate::{
    postgres::{DbError, Session, apart, settle::lacks_a_partition},
    telemetry::events,
};
use futures::FutureExt;
use sqlx::{
    Row,
    postgres::{PgArguments, PgRow},
};

type Query = sqlx::query::Query<'static, sqlx::Postgres, PgArguments>;

impl Upkeep {
    /// Puts a batch of a dead daemon's jobs back in line; gives the queue of each.
    pub async fn rescue(&self, dead: i64) -> Result<Vec<String>, DbError> {
        #[cfg(legwork_seeded_bugs)]
        if crate::seeded::has(crate::seeded::Bug::RescueByStaleList) {
            return self.rescue_by_stale_list(dead).await;
        }
        let session = &mut *self.survey().await;
        let recorded = || sqlx::query(include_str!("../sql/rescue.sql")).bind(dead);
        let rescued = match scan(session, "rescue", recorded()).await {
            Err(error) if lacks_a_partition(&error) => {
                let make = sqlx::query(include_str!("../sql/make_discard_days.sql"));
                // Where this fails, the day is missing still, and the next answer says so.
                session.run("make_discard_days", |c| make.execute(c).boxed()).await.ok();
                scan(session, "rescue", recorded()).await
            }
            rescued => rescued,
        };
        match rescued {
            Err(error) if error.sqlstate().is_some() => {
                let statement = sqlx::query(include_str!("../sql/rescue_unrecorded.sql"));
                let rescued = scan(session, "rescue_unrecorded", statement.bind(dead)).await?;
                say_unrecorded(dead, rescued.len(), &error);
                Ok(rescued)
            }
            rescued => rescued,
        }
    }

    /// Which of these dead daemons hold a job, locked or not.
    pub async fn holders_among(&self, dead: &[i64]) -> Result<Vec<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("../sql/holders_among.sql"));
        let statement = statement.bind(dead.to_vec());
        let mut session = self.survey().await;
        session.run_within("holders_among", SCAN_LIMIT, |c| statement.fetch_all(c).boxed()).await
    }

    /// Whether a dead daemon still holds a job, locked or not.
    pub async fn holds(&self, dead: i64) -> Result<bool, DbError> {
        let statement = sqlx::query_scalar(include_str!("../sql/holds.sql")).bind(dead);
        let mut session = self.survey().await;
        session.run_within("holds", SCAN_LIMIT, |c| statement.fetch_one(c).boxed()).await
    }

    /// A bug, see `seeded`.
    #[cfg(legwork_seeded_bugs)]
    async fn rescue_by_stale_list(&self, dead: i64) -> Result<Vec<String>, DbError> {
        const OTHERS_COME_FIRST: std::time::Duration = std::time::Duration::from_millis(300);
        let listed = sqlx::query_scalar(include_str!("../sql/seeded_rescue_list.sql")).bind(dead);
        let listed: Vec<i64> =
            self.survey().await.run("seeded", |c| listed.fetch_all(c).boxed()).await?;
        tokio::time::sleep(OTHERS_COME_FIRST).await;
        let statement = sqlx::query_scalar(include_str!("../sql/seeded_rescue.sql")).bind(listed);
        self.survey().await.run("seeded", |c| statement.fetch_all(c).boxed()).await
    }

    /// Puts all of a dead daemon's jobs back in line but those that the database refuses; gives the
    /// queue of each. For when [`rescue`](Self::rescue) was refused.
    pub async fn rescue_apart(&self, dead: i64) -> Result<Vec<String>, DbError> {
        let session = &mut *self.survey().await;
        let (mut queues, mut after) = (Vec::new(), i64::MIN);
        loop {
            let held =
                sqlx::query_scalar(include_str!("../sql/held_by.sql")).bind(dead).bind(after);
            let jobs: Vec<i64> =
                session.run_within("held_by", SCAN_LIMIT, |c| held.fetch_all(c).boxed()).await?;
            let Some(last) = jobs.last() else { return Ok(queues) };
            after = *last;
            let recorded =
                |jobs| sqlx::query(include_str!("../sql/rescue_these.sql")).bind(dead).bind(jobs);
            let done = apart::take_apart(session, "rescue_these", jobs, recorded).await?;
            queues.extend(queues_of(&done.rows));
            let refused = done.refused.into_iter().map(|(job, _)| job).collect();
            let unrecorded = |jobs: Vec<i64>| {
                let statement = include_str!("../sql/rescue_these_unrecorded.sql");
                sqlx::query(statement).bind(dead).bind(jobs)
            };
            let operation = "rescue_these_unrecorded";
            let done = apart::all_but_the_refused(session, operation, refused, unrecorded).await?;
            queues.extend(queues_of(&done.rows));
        }
    }
}

async fn scan(
    session: &mut Session,
    operation: &'static str,
    statement: Query,
) -> Result<Vec<String>, DbError> {
    let rows = session.run_within(operation, SCAN_LIMIT, |c| statement.fetch_all(c).boxed()).await;
    rows.map(|rows| queues_of(&rows).collect())
}

fn queues_of(rows: &[PgRow]) -> impl Iterator<Item = String> {
    rows.iter().filter_map(|row| row.try_get(0).ok())
}

fn say_unrecorded(dead: i64, jobs: usize, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(
        event = events::RESCUE_UNRECORDED,
        error,
        daemon.id = dead,
        jobs,
        "history doesn't take the records of a dead daemon's attempts; its jobs are back in line without them"
    );
}
