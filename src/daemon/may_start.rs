//! The one look at the database before anything begins: may work begin there, and what was decided meanwhile?

use super::StartError;
use crate::{
    config::Overrides,
    postgres::{
        self, DbError,
        migrate::{self, SchemaCheck},
        operations::Connection,
        roles,
    },
};

/// Tells a look whose session broke under it from one that was answered: it is made again, as where there was no session.
pub(super) fn unless_it_broke<T>(
    looked: Result<T, StartError>,
) -> Result<Result<T, StartError>, DbError> {
    match looked {
        Err(StartError::CheckSchema(error)) => match error.of_the_session() {
            Ok(broken) => Err(broken),
            Err(other) => Ok(Err(StartError::CheckSchema(other))),
        },
        Err(StartError::CheckRights(error) | StartError::ReadOverrides(error))
            if error.is_of_the_session() =>
        {
            Err(error)
        }
        answered => Ok(answered),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_look_whose_session_broke_is_made_again_and_what_was_answered_is_not() {
        let late = || DbError::Deadline(Duration::from_secs(1));
        for broken in [StartError::CheckRights(late()), StartError::ReadOverrides(late())] {
            assert!(unless_it_broke::<()>(Err(broken)).is_err());
        }
        let answered = unless_it_broke::<()>(Err(StartError::Rights));
        assert!(matches!(answered, Ok(Err(StartError::Rights))));
        assert!(matches!(unless_it_broke(Ok(7)), Ok(Ok(7))));
    }
}
