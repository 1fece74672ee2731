//! Locks that others hold, and rights that are missing for a while: what waits for them waits alone,
//! and nothing stays behind.

mod moved;
mod rows;
mod tables;

use sqlx::postgres::PgConnection;

use crate::statements::{end, execute};
use crate::support::TestDb;

/// Runs until it is allowed to end.
const PATIENT: &str = "echo started >> notes
while [ ! -e go ]; do sleep 0.02; done";

/// A session that holds what it was told to lock, until it is told to let go.
struct Locker(PgConnection);

impl Locker {
    async fn holds(db: &TestDb, statement: &str) -> Self {
        let mut session = db.connect().await;
        execute(&mut session, "BEGIN").await;
        execute(&mut session, statement).await;
        Self(session)
    }

    async fn lets_go(mut self) {
        execute(&mut self.0, "COMMIT").await;
        end(self.0).await;
    }
}
