//! Trap 1: whoever drops a future that waits for Postgres must not leave a transaction behind.
//!
//! sqlx 0.9.0 loses acknowledged writes after a cancelled `begin()`: the connection goes back inside an
//! open transaction, the next borrower's INSERT returns Ok, and nobody ever sees it (sqlx#4385, #4393).
//! So every operation that writes is dropped after its first poll, its second, and so on until it comes
//! to its end; each time its rows are all as before or all as after, no session of ours is left inside a
//! transaction, and what is written next on the same object is seen by everybody.

mod table;

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};

use self::table::{NOTHING, OPERATIONS, Rooms, Writes};
use super::cancelled_after;
use crate::support::{self, TestDb};

/// More polls than any operation takes.
const MOST: usize = 500;
/// Before the server ends by itself what idles in a transaction of ours, after 10 s.
const SOON: Duration = Duration::from_secs(8);

async fn arranged(pool: &PgPool, writes: &Writes) {
    let statements = format!("{NOTHING}; {}", writes.arrange);
    let arranged = sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await;
    arranged.unwrap_or_else(|error| panic!("{} can't be arranged: {error}", writes.name));
    assert_eq!(told(pool, writes).await, writes.before, "{}, as arranged", writes.name);
}

/// What another session sees.
async fn told(pool: &PgPool, writes: &Writes) -> String {
    sqlx::query_scalar(writes.told).fetch_one(pool).await.expect("Postgres answers")
}

/// Waits until whatever was dropped has ended on the server, too, and its session with it: one that
/// stayed would be found by the next borrower, inside whatever it was in.
pub(super) async fn gone(pool: &PgPool, when: &str) {
    const LEFT: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE 'legwork %' AND application_name <> 'legwork cli'";
    let none_left = async || {
        sqlx::query_scalar::<_, i64>(LEFT).fetch_one(pool).await.expect("Postgres answers") == 0
    };
    assert!(support::holds_within(SOON, none_left).await, "a session of ours is left, {when}");
}

/// Waits until each session of ours rests outside of any transaction.
async fn at_rest(pool: &PgPool, when: &str) {
    const RESTLESS: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'legwork %' AND state <> 'idle'";
    let all_rest = async || {
        sqlx::query_scalar::<_, i64>(RESTLESS).fetch_one(pool).await.expect("Postgres answers") == 0
    };
    assert!(support::holds_within(SOON, all_rest).await, "a session is in a transaction, {when}");
}

/// Drops the operation after so many polls; whether it had come to its end by then.
async fn round(pool: &PgPool, rooms: &mut Rooms, writes: &Writes, polls: usize) -> bool {
    let when = format!("{} after {polls} polls", writes.name);
    arranged(pool, writes).await;
    let ended = cancelled_after(polls, (writes.run)(rooms)).await.is_some();
    if !ended {
        rooms.catch_up().await;
        gone(pool, &when).await;
    }
    at_rest(pool, &when).await;
    let now = told(pool, writes).await;
    let allowed = [writes.after, writes.before];
    assert!(allowed[..=usize::from(!ended)].contains(&&*now), "{when}: {now}");

    // The next one on the same object: what it is told is true for everybody.
    arranged(pool, writes).await;
    assert_eq!((writes.run)(rooms).await, Ok(()), "the next one, {when}");
    assert_eq!(told(pool, writes).await, writes.after, "the next one, {when}");
    at_rest(pool, &when).await;
    ended
}

/// Drops the operation after its first poll, its second, and so on; how many it took to its end. A
/// cold one connects and prepares its statements each time anew.
async fn at_every_await(db: &TestDb, pool: &PgPool, writes: &Writes, cold: bool) -> usize {
    let mut rooms = Rooms::on(db).await;
    for polls in 0..MOST {
        if cold {
            rooms = Rooms::on(db).await;
        }
        if round(pool, &mut rooms, writes, polls).await {
            drop(rooms);
            gone(pool, "at the end").await;
            return polls;
        }
    }
    panic!("{} doesn't end within {MOST} polls", writes.name);
}

#[test]
fn trap_1_a_write_that_is_dropped_at_any_await_leaves_no_transaction_and_nothing_half_done() {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut waits = 0;
        for writes in OPERATIONS {
            waits += at_every_await(&db, &pool, writes, true).await;
            waits += at_every_await(&db, &pool, writes, false).await;
        }
        // On a busy machine an answer may be there before it is waited for, so that no single operation
        // has to wait; that few did would mean that nothing was cancelled here.
        assert!(waits > 4 * OPERATIONS.len(), "all of them waited {waits} times");
        pool.close().await;
    });
}
