//! What the database shows of Legwork. One part after the other, on a session as other requests have; once it can't be
//! had, nobody waits for it again.

use super::parts::{Content, Part};
use crate::{
    admin::{api::told, problem::Problem, routes::AdminState},
    postgres::operations::{self, Nature, OperationError},
};
use futures::FutureExt;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long one part may take: a session's place, its statement's limit, and what a network needs. Whoever takes longer
/// isn't asked again.
const PART_WITHIN: Duration = Duration::from_secs(8);
/// How long all of them together.
const ALL_WITHIN: Duration = Duration::from_secs(20);

/// What is told of the database, and the server's version where it said so.
pub(super) async fn parts(state: &AdminState) -> (Vec<Part>, Option<String>) {
    let mut asking = Asking { until: Instant::now() + ALL_WITHIN, gone: None, parts: Vec::new() };
    let sessions = &state.sessions;
    let mut version = None;
    let settings = async {
        let (server, json) = sessions.look(|c| operations::server_settings(c).boxed()).await?;
        version = Some(server);
        Ok(json)
    };
    asking.ask(SETTINGS, settings).await;
    asking.ask(SESSIONS, sessions.look(|c| operations::server_sessions(c).boxed())).await;
    asking.ask(TABLES, sessions.look(|c| operations::server_tables(c).boxed())).await;
    asking.ask(PLANS, sessions.look(|c| operations::server_plans(c).boxed())).await;
    let queues = sessions.within(|c| operations::list_queues(c).boxed());
    asking.ask(QUEUES, queues.map(|found| found.and_then(|found| in_json(&found)))).await;
    let daemons = sessions.within(|c| operations::list_daemons(c).boxed());
    asking.ask(DAEMONS, daemons.map(|found| found.and_then(|found| in_json(&found)))).await;
    (asking.parts, version)
}

/// A file, and what it is.
type Named = (&'static str, &'static str);

const SETTINGS: Named =
    ("database/settings.json", "The server's settings that decide how a queue in it does.");
const SESSIONS: Named = (
    "database/activity.json",
    "Sessions of this database: Legwork's, and whoever waits for a lock, holds one or has long been in a transaction.",
);
const TABLES: Named =
    ("database/tables.json", "Sizes of Legwork's tables and indexes, and what is dead in them.");
const PLANS: Named = (
    "database/plans.txt",
    "The plans of the statements that are sent all the time, as made for any arguments.",
);
const QUEUES: Named =
    ("database/queues.json", "The queues: what is in line, whether it is paused, who serves it.");
const DAEMONS: Named =
    ("database/daemons.json", "The daemons of this database at their last heartbeats.");

/// What was asked so far.
struct Asking {
    until: Instant,
    /// Why the database can't be had.
    gone: Option<String>,
    parts: Vec<Part>,
}

impl Asking {
    async fn ask(
        &mut self,
        (file, about): Named,
        asked: impl Future<Output = Result<String, OperationError>>,
    ) {
        let content = match &self.gone {
            Some(why) => Err(why.clone()),
            None => self.answered(asked).await,
        };
        self.parts.push(Part { file, about, content });
    }

    async fn answered(
        &mut self,
        asked: impl Future<Output = Result<String, OperationError>>,
    ) -> Content {
        let until = self.until.min(Instant::now() + PART_WITHIN);
        match timeout_at(until, asked).await {
            Ok(Ok(text)) => return Ok(text.into_bytes()),
            // The server had its say; the next part may be had.
            Ok(Err(error)) if matches!(error.nature(), Nature::Temporary | Nature::Refused) => {
                return Err(told(&error));
            }
            // Where it is and why it can't be had isn't said here, as in the API.
            Ok(Err(_)) | Err(_) => {}
        }
        let why = Problem::DatabaseUnavailable.detail().into_owned();
        Err(self.gone.insert(why).clone())
    }
}

fn in_json(shown: &impl Serialize) -> Result<String, OperationError> {
    serde_json::to_string_pretty(shown).map_err(OperationError::Decode)
}
