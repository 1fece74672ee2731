//! The daemon's row, on a connection that only the heartbeat uses.

mod load;

pub use load::{Load, QueueLoad, WaitingRoom};

use super::{Connector, Session};
use crate::heartbeat::{KeeperError, LeaseKeeper};
use futures::FutureExt;
use std::time::Duration;
use tokio::sync::watch;

/// What the row says of us as long as it is there, for people.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `daemon.name`
    pub name: String,
    /// Where we run.
    pub hostname: String,
}

/// Keeps the row.
pub struct PostgresLease {
    session: Session,
    identity: Identity,
    /// The row that was ours last.
    before: Option<i64>,
    load: watch::Receiver<Load>,
    ttl_seconds: f64,
    limit: Duration,
}

impl PostgresLease {
    /// Connects at the first call. A statement may take a third of the ttl, so that a connection
    /// that hangs leaves time for another. `load` is read at each call.
    pub fn new(
        connector: Connector,
        identity: Identity,
        load: watch::Receiver<Load>,
        ttl: Duration,
    ) -> Self {
        let session = Session::new(connector, "heartbeat", None);
        Self {
            session,
            identity,
            before: None,
            load,
            ttl_seconds: ttl.as_secs_f64(),
            limit: ttl / 3,
        }
    }
}

impl LeaseKeeper for PostgresLease {
    async fn register(&mut self, boot: i64) -> Result<(), KeeperError> {
        let (who, ttl) = (self.identity.clone(), self.ttl_seconds);
        let (served, before) = (self.load.borrow().told(), self.before);
        let registered =
            self.session.run_within("daemon_register", self.limit, move |connection| {
                async move {
                    sqlx::query(include_str!("sql/daemon_register.sql"))
                        .bind(boot)
                        .bind(ttl)
                        .bind(who.name)
                        .bind(env!("CARGO_PKG_VERSION"))
                        .bind(who.hostname)
                        .bind(served.queues)
                        .bind(served.kinds)
                        .bind(served.limits)
                        .bind(served.load)
                        .bind(before)
                        .execute(connection)
                        .await
                }
                .boxed()
            });
        registered.await.map_err(|error| KeeperError(error.into()))?;
        self.before = Some(boot);
        Ok(())
    }

    async fn renew(&mut self, boot: i64) -> Result<bool, KeeperError> {
        let ttl = self.ttl_seconds;
        let served = self.load.borrow().told();
        let renewed = self.session.run_within("daemon_renew", self.limit, move |connection| {
            sqlx::query(include_str!("sql/daemon_renew.sql"))
                .bind(boot)
                .bind(ttl)
                .bind(served.load)
                .bind(served.limits)
                .bind(served.queues)
                .bind(served.kinds)
                .fetch_optional(connection)
                .boxed()
        });
        renewed.await.map(|row| row.is_some()).map_err(|error| KeeperError(error.into()))
    }

    async fn retire(&mut self, boot: i64) -> Result<(), KeeperError> {
        let retired = self.session.run_within("daemon_retire", self.limit, move |connection| {
            sqlx::query(include_str!("sql/daemon_retire.sql"))
                .bind(boot)
                .execute(connection)
                .boxed()
        });
        retired.await.map(drop).map_err(|error| KeeperError(error.into()))
    }
}
