//! Discards waiting jobs whose time has passed, all but those that the database refuses to discard.

use super::Upkeep;
use crate::postgres::{DbError, Session, apart, settle::lacks_a_partition};
use futures::FutureExt;

impl Upkeep {
    /// Discards every waiting job whose time has passed; gives how many.
    pub async fn expire(&self) -> Result<u64, DbError> {
        let session = &mut *self.brief().await;
        let (mut discarded, mut refused) = (0, 0);
        loop {
            let due = sqlx::query_scalar(include_str!("../sql/expired.sql")).bind(refused);
            let jobs: Vec<i64> = session.run("expired", |c| due.fetch_all(c).boxed()).await?;
            let parted = discard(session, jobs).await?;
            discarded += parted.changed;
            refused += i64::try_from(parted.refused.len()).unwrap_or(0);
            // Nothing is left, or what is left is being changed by somebody just now.
            if parted.changed == 0 {
                return Ok(discarded);
            }
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
