//! Going on with operations on many jobs, whoever began them.

use super::Upkeep;
use crate::postgres::{DbError, operations::BulkOperation};
use futures::FutureExt;

impl Upkeep {
    /// The operation that this daemon is to go on with.
    pub async fn next_operation(&self, holder: i64) -> Result<Option<i64>, DbError> {
        let statement = sqlx::query_scalar(include_str!("../sql/next_operation.sql")).bind(holder);
        let session = &mut *self.survey().await;
        session.run("next_operation", |c| statement.fetch_optional(c).boxed()).await
    }

    /// Does an operation's next batch. Of what comes back in a form that this release doesn't know, nothing is said:
    /// it is done all the same.
    pub async fn step_operation(
        &self,
        operation: i64,
        holder: i64,
    ) -> Result<Option<BulkOperation>, DbError> {
        let statement =
            sqlx::query_scalar(include_str!("../sql/step_bulk.sql")).bind(operation).bind(holder);
        let session = &mut *self.survey().await;
        let json: String = session.run("step_bulk", |c| statement.fetch_one(c).boxed()).await?;
        Ok(serde_json::from_str(&json).ok())
    }

    /// How an operation stands, if there is such a one, in a form that this release knows.
    pub async fn show_operation(&self, operation: i64) -> Result<Option<BulkOperation>, DbError> {
        let statement =
            sqlx::query_scalar(include_str!("../sql/show_operation.sql")).bind(operation);
        let session = &mut *self.survey().await;
        let json: Option<String> =
            session.run("show_operation", |c| statement.fetch_optional(c).boxed()).await?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Ends an operation whose next batch the database refuses.
    pub async fn fail_operation(&self, operation: i64, why: String) -> Result<(), DbError> {
        let statement = sqlx::query(include_str!("../sql/fail_bulk.sql")).bind(operation).bind(why);
        let session = &mut *self.survey().await;
        session.run("fail_bulk", |c| statement.execute(c).boxed()).await.map(drop)
    }
}
