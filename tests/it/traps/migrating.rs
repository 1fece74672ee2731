//! Trap 1, for migrations: whoever drops one in the middle finds whole versions and can go on.

use legwork::postgres::migrate::{self, SchemaCheck};
use sqlx::Connection;

use super::cancelled::gone;
use super::cancelled_after;
use crate::support::{self, TestDb};

/// More polls than a migration takes.
const MOST: usize = 5000;

/// What stands, as a text: the recorded version against what the catalogue really holds.
async fn stands(db: &TestDb) -> String {
    let mut session = db.connect().await;
    let check = migrate::check(&mut session).await.expect("the schema can be looked at");
    let tables = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'legwork' AND c.relname IN ('job', 'finished', 'doorbell')";
    let tables: i64 =
        sqlx::query_scalar(tables).fetch_one(&mut session).await.expect("Postgres answers");
    session.close().await.expect("the session ends");
    let version = match check {
        SchemaCheck::Current => migrate::EXPECTED_VERSION,
        SchemaCheck::Missing => 0,
        SchemaCheck::Older { found, .. } | SchemaCheck::Newer { found, .. } => found,
    };
    assert_eq!(tables, version.min(3), "the tables are those of version {version}");
    format!("version {version}")
}

#[test]
fn trap_1_a_migration_that_is_dropped_at_any_await_leaves_whole_versions_and_goes_on() {
    support::run(async |db| {
        let pool = db.pool().await;
        let url = db.url();
        let whole = stands(&db).await;
        let (mut polls, mut down_ended, mut up_ended) = (0, false, false);
        while !(down_ended && up_ended) {
            let when = format!("after {polls} polls");
            down_ended = cancelled_after(polls, migrate::down(&url, 0)).await.is_some();
            gone(&pool, &when).await;
            stands(&db).await;
            migrate::down(&url, 0).await.expect("going down goes on");
            assert_eq!(stands(&db).await, "version 0", "{when}");

            up_ended = cancelled_after(polls, migrate::up(&url)).await.is_some();
            gone(&pool, &when).await;
            stands(&db).await;
            migrate::up(&url).await.expect("going up goes on");
            assert_eq!(stands(&db).await, whole, "{when}");
            polls += 1;
            assert!(polls < MOST, "it doesn't end within {MOST} polls");
        }
        assert!(polls > 10, "it never waited");
        pool.close().await;
    });
}
