//! The one look at the database before anything begins, and the wait for it: may work begin there, and what was decided meanwhile?

use super::{StartError, wait::Wait};
use crate::{
    config::Overrides,
    postgres::{
        self, ConnectError, Connector, DbError,
        migrate::{self, SchemaCheck},
        operations::Connection,
        roles,
    },
    telemetry::{events, health::Check, systemd::Notifier},
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longest pause between two tries to reach the database at start.
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Waits for a database that is away, and says so once; then looks whether work can begin there.
pub(super) async fn check_schema(
    connector: &Connector,
    pool: &Check,
    notifier: &Notifier,
    wait: &Wait,
) -> Result<(SchemaCheck, Overrides), StartError> {
    // What a look may take, connecting and asking, the pause after it, and some more.
    let within = 2 * (connector.step_max() + CONNECT_PAUSE_MAX);
    let mut pause = Duration::from_millis(200);
    let mut said = false;
    loop {
        notifier.starting(within);
        let error = match look(connector).await {
            Ok(answer) => {
                pool.ok();
                wait.over();
                return answer;
            }
            // It is there and has answered: no waiting turns TLS on, or a pooler into a server.
            Err(DbError::Connect(
                error @ (ConnectError::NoTls { .. }
                | ConnectError::Pooler { .. }
                | ConnectError::Elsewhere { .. }
                | ConnectError::Startup { .. }),
            )) => return Err(error.into()),
            Err(error) => error,
        };
        pool.failing("the database can't be reached");
        if !std::mem::replace(&mut said, true) {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(
                event = events::DATABASE_LOST,
                error = cause,
                "the database can't be reached; trying until it can"
            );
        }
        wait.because(error);
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(CONNECT_PAUSE_MAX);
    }
}

/// One look on a connection of its own, which ends with the look: a network that falls silent after
/// the connect must not keep the daemon from ever starting.
async fn look(
    connector: &Connector,
) -> Result<Result<(SchemaCheck, Overrides), StartError>, DbError> {
    connector.refuse_pooler().await?;
    let mut connection = connector.connect_limited("start").await?;
    let limit = connector.statement_timeout();
    let look = timeout(limit, may_start(&mut connection)).await;
    look.map_err(|_| DbError::Deadline(limit)).and_then(unless_it_broke)
}

/// Tells a look whose session broke under it from one that was answered: it is made again, as where there was no session.
fn unless_it_broke<T>(looked: Result<T, StartError>) -> Result<Result<T, StartError>, DbError> {
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
async fn may_start(connection: &mut Connection) -> Result<(SchemaCheck, Overrides), StartError> {
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
