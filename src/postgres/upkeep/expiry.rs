//! Discards waiting jobs whose time has passed, all but those that the database refuses to discard.

use super::Upkeep;
use crate::postgres::{DbError, Session, apart, settle::lacks_a_partition};
use futures::FutureExt;

impl Upkeep {
    /// Discards every waiting job whose time has passed; gives how many.
    pub async fn expire(&self) -> Result<u64, DbError> {
        let (mut discarded, mut left) = (0, 0);
        loop {
            // For one page at a time: others have their turn, however many the database refuses.
            let session = &mut *self.brief().await;
            let due = sqlx::query_scalar(include_str!("../sql/expired.sql")).bind(left);
            let jobs: Vec<i64> = session.run("expired", |c| due.fetch_all(c).boxed()).await?;
            if jobs.is_empty() {
                return Ok(discarded);
            }
            let looked_at = jobs.len();
            let parted = discard(session, jobs).await?;
            discarded += parted.changed;
            left += parted.left_of(looked_at);
        }
    }
}

/// Discards these, having made history's days where one is missing.
async fn discard(session: &mut Session, jobs: Vec<i64>) -> Result<apart::Parted, DbError> {
    let statement = |jobs| sqlx::query(include_str!("../sql/expire_these.sql")).bind(jobs);
    let whole = statement(jobs.clone());
    match session.run("expire_these", |c| whole.fetch_all(c).boxed()).await {
        Ok(rows) => return Ok(apart::Parted::of(rows)),
        Err(error) if lacks_a_partition(&error) => {
            let make = sqlx::query(include_str!("../sql/make_discard_days.sql"));
            session.run("make_discard_days", |c| make.execute(c).boxed()).await?;
        }
        Err(error) if error.blames_the_rows() => {}
        Err(error) => return Err(error),
    }
    apart::all_but_the_refused(session, "expire_these", jobs, statement).await
}
