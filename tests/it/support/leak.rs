//! Whether a test gave back what it took.
//!
//! Tests run side by side in one process, so only what belongs to *this* test can be checked: the
//! tasks of its runtime and the sessions on its database. The wait is for a fact and bounded: a
//! dropped connection is gone for Postgres a moment later.

use std::time::Duration;

use tokio::time::Instant;

use super::{LOOK_EVERY, PATIENCE, TestDb, pooled};

/// Fails if a task or a session of the test is left.
pub(crate) async fn check(db: &TestDb) {
    pooled::let_go(db.name()).await;
    let left = left_within(PATIENCE, db).await;
    assert!(left.is_empty(), "the test leaves behind: {}", left.join("; "));
}

/// What is still there after this time; returns at once when there is nothing.
pub(crate) async fn left_within(limit: Duration, db: &TestDb) -> Vec<String> {
    let began = Instant::now();
    loop {
        let left = what_is_left(db).await;
        if left.is_empty() || began.elapsed() > limit {
            return left;
        }
        // Between two looks: Postgres says nothing when a session has ended.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Everything that the test should have ended.
async fn what_is_left(db: &TestDb) -> Vec<String> {
    let mut left = db.sessions().await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    if tasks > 0 {
        left.push(format!("{tasks} tasks of its runtime"));
    }
    left
}
