//! Daemons, of either place. Over a port too it is the database that a daemon is told by, so that any may be asked.

use super::{
    Place,
    port::{Asked, because},
};
use crate::postgres::{
    Wanted,
    operations::{self, Asker, Connection, DaemonList},
};
use serde::Deserialize;

/// What is said where a daemon wasn't told.
pub(super) const TELLING: &str = "couldn't tell the daemon";

/// What the API says of a word to a daemon.
#[derive(Deserialize)]
struct Told {
    changed: bool,
}

impl Place {
    pub(in crate::cli) async fn list_daemons(&mut self) -> anyhow::Result<DaemonList> {
        match self {
            Self::Database(session) => {
                session.within(async |c| operations::list_daemons(c).await).await
            }
            Self::Port(port) => port.look("couldn't list the daemons", &["daemons"], &[]).await,
        }
    }

    pub(in crate::cli) async fn tell_daemon(
        &mut self,
        id: i64,
        wanted: Wanted,
        asker: &Asker,
    ) -> anyhow::Result<bool> {
        match self {
            Self::Database(session) => {
                let telling =
                    async |c: &mut Connection| operations::tell_daemon(c, id, wanted, asker).await;
                session.change(telling).await
            }
            Self::Port(port) => {
                let path = ["daemons", &id.to_string(), wanted.as_str()];
                let question = Asked { what: TELLING, method: "POST", path: &path };
                let told: Told = port.change(&question, because(asker.reason.as_ref())).await?;
                Ok(told.changed)
            }
        }
    }
}
