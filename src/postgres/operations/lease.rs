//! Whether an attempt still owns its job, for a handler's own transaction.
//!
//! A handler that writes to this database can have its effects fenced by the database itself: as the
//! last statement before COMMIT, this makes an attempt that has lost its lease fail instead of doing the
//! work a second time. It doesn't complete the job: its verdict does.

use super::{Connection, OperationError};
use crate::job::Lease;

/// Fails unless the attempt still owns its job. Call it last in a transaction: until that ends no other
/// attempt can start, and `cancel` waits as long.
///
/// ```no_run
/// # use legwork::{Context, HandlerError, assert_lease, operations::Connection};
/// # async fn handle(transaction: &mut Connection, context: &Context) -> Result<(), HandlerError> {
/// // … what the handler writes, then:
/// assert_lease(transaction, context.job().lease).await?;
/// // … and COMMIT.
/// # Ok(())
/// # }
/// ```
pub async fn assert_lease(connection: &mut Connection, lease: Lease) -> Result<(), OperationError> {
    sqlx::query(include_str!("../sql/assert_lease.sql"))
        .bind(lease.job.0)
        .bind(lease.token)
        .execute(connection)
        .await
        .map(drop)
        .map_err(OperationError::AssertLease)
}
