//! Whether an address that should lead to the server leads to a pooler that lends its sessions out.
//!
//! A pooler speaks as the server does, and hands every question on to it. What gives it away is that the
//! server's process behind a connection changes, or stands behind two connections at once: neither can be
//! where a connection is a session. One that lends sessions out by the connection (session mode) does
//! neither, and does no harm.
//!
//! And whether both addresses lead to one database: a lock that is held at the one is seen at the other, under whatever
//! name a pooler has it.

use super::{ConnectError, Connector, transaction};
use sqlx::{PgConnection, Row};
use tokio::time::timeout;

/// How often two connections are compared. A pooler gives the session that was used last to whoever asks
/// next, so a pool that rests is seen through at the first look; of a busy one each look draws anew.
const LOOKS: usize = 4;

impl Connector {
    /// Refuses a pooler in transaction mode in the server's place. Nothing is set or prepared on the way,
    /// so nothing is left behind in what others use.
    pub async fn refuse_pooler(&self) -> Result<(), ConnectError> {
        if !self.reaches_server() {
            return Ok(());
        }
        let (_, place) = self.to_server("look")?;
        let (mut one, mut other) = (self.bare("look").await?, self.bare("look").await?);
        let looking = async {
            let first = process(&mut one).await?;
            for _ in 0..LOOKS {
                if process(&mut other).await? == first || process(&mut one).await? != first {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let limit = self.statement_timeout();
        match timeout(limit, looking).await {
            Ok(Ok(false)) => self.refuse_another_database(one).await,
            Ok(Ok(true)) => Err(ConnectError::Pooler { place, key: self.server_key() }),
            Ok(Err(source)) => Err(ConnectError::Refused { place, source }),
            Err(_) => Err(ConnectError::Deadline { place, limit }),
        }
    }
}

impl Connector {
    /// Refuses a pooler that leads to another database than `direct_url`, which this is a connection by: what is claimed
    /// there would be run, and its end written nowhere.
    async fn refuse_another_database(&self, mut direct: PgConnection) -> Result<(), ConnectError> {
        let (Some(pooler), Ok((_, server))) = (self.pooler(), self.to_server("look")) else {
            return Ok(());
        };
        let mut through = self.bare_by(pooler, "look").await?;
        let looking = async {
            let hold = sqlx::raw_sql(include_str!("sql/elsewhere_hold.sql"));
            hold.execute(&mut direct).await?;
            // As everything goes through it: a pooler that knows no transaction says so.
            transaction::begin_with(&mut through, "").await?;
            let ask = sqlx::raw_sql(include_str!("sql/elsewhere_ask.sql"));
            let asked = ask.fetch_one(&mut through).await.and_then(|row| row.try_get::<bool, _>(0));
            // A pooler closes the session of whoever leaves in the middle of one.
            transaction::end(&mut through, asked).await
        };
        let (place, limit) = (pooler.place.clone(), self.statement_timeout());
        match timeout(limit, looking).await {
            Ok(Ok(false)) => Ok(()),
            Ok(Ok(true)) => Err(ConnectError::Elsewhere { place, server }),
            Ok(Err(source)) => Err(ConnectError::refused(place, source)),
            Err(_) => Err(ConnectError::Deadline { place, limit }),
        }
    }
}

/// The server's process that answers, asked in one message.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let asked = sqlx::raw_sql(include_str!("sql/process.sql"));
    asked.fetch_one(connection).await?.try_get(0)
}

impl ConnectError {
    /// Of a place that said no.
    pub(super) fn refused(place: String, source: sqlx::Error) -> Self {
        match refused_by_pooler(&source) {
            Some(said) => Self::Startup { place, said },
            None => Self::Refused { place, source },
        }
    }

    /// Whether an address leads where it shouldn't, a pooler in the server's place, say: nothing that waiting mends.
    pub fn leads_astray(&self) -> bool {
        matches!(self, Self::Pooler { .. } | Self::Startup { .. } | Self::Elsewhere { .. })
    }
}

/// What a pooler said that doesn't know a parameter of the session's start, or that lends sessions out by the statement
/// and knows no transaction. Postgres has no such words.
fn refused_by_pooler(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(error) = error else { return None };
    let said = error.message();
    let words = ["unsupported startup parameter", "statement pooling mode"];
    words.iter().any(|words| said.contains(words)).then(|| said.to_owned())
}
