//! The one look at the database before anything begins: may work begin there, and what was decided meanwhile?

use super::StartError;
use crate::{
    config::Overrides,
    postgres::{
        self,
        migrate::{self, SchemaCheck},
        operations::Connection,
        roles,
    },
};

/// Whether this is a schema that the binary works with, and a role that may work on it; and what was decided for
/// queues meanwhile.
pub(super) async fn may_start(
    connection: &mut Connection,
) -> Result<(SchemaCheck, Overrides), StartError> {
    let schema = match migrate::check(connection).await {
        Ok(SchemaCheck::Current) => SchemaCheck::Current,
        Ok(other) => return Err(StartError::Schema(other)),
        Err(error) => return Err(StartError::CheckSchema(error)),
    };
    match roles::may_run_jobs(connection).await {
        Ok(true) => {}
        Ok(false) => return Err(StartError::Rights),
        Err(error) => return Err(StartError::CheckRights(error)),
    }
    let decided = postgres::decided(connection).await.map_err(StartError::ReadOverrides)?;
    Ok((schema, decided.overrides))
}
