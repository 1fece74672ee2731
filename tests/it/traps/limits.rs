//! Traps 3 and 8: limits that don't hold, of a claim and of a rate.

use std::time::Duration;

use sqlx::{Connection, Executor};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::pipeline::{AT_ONCE, Runner, completed, daemon, deciding, insert, kind, name, settings};
use crate::support::{self, TestDb};

/// A claim as textbooks have it.
const TEXTBOOK: &str = "UPDATE legwork.job SET holder = $1, token = token + 1
    WHERE id IN (SELECT id FROM legwork.job WHERE queue = $2 AND holder IS NULL AND kind = ANY ($3)
        ORDER BY seq LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING id";

/// Twenty jobs where the planner, which looked when there was one, believes in one: what a drained
/// table looks like when the next load comes. It then runs the subquery again for each row.
const ARRANGE: [&str; 4] = [
    "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h')",
    "INSERT INTO legwork.job (kind) VALUES ('k')",
    "VACUUM ANALYZE legwork.job",
    "INSERT INTO legwork.job (kind) SELECT 'k' FROM generate_series(1, 19)",
];
const NESTED_LOOP: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off";

/// How many of twenty jobs a claim with the limit 1 takes.
async fn taken(db: &TestDb, claim: impl AsyncFnOnce(&mut sqlx::PgConnection) -> usize) -> usize {
    let mut session = db.connect().await;
    session.execute(sqlx::raw_sql(NESTED_LOOP)).await.expect("plans can be forbidden");
    let mut transaction = session.begin().await.expect("a transaction begins");
    let taken = claim(&mut transaction).await;
    transaction.rollback().await.expect("it rolls back");
    session.close().await.expect("the session ends");
    taken
}

#[test]
fn trap_3_a_claim_takes_one_row_where_the_textbooks_claim_takes_all_twenty() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for statement in ARRANGE {
            session.execute(statement).await.unwrap();
        }
        session.close().await.unwrap();

        let textbook = taken(&db, async |session| {
            let claim = sqlx::query(TEXTBOOK).bind(7_i64).bind("default").bind(["k"]).bind(1_i64);
            claim.fetch_all(session).await.unwrap().len()
        });
        assert_eq!(textbook.await, 20, "the trap is set: this plan breaks an IN's LIMIT");
        let ours = taken(&db, async |session| {
            let claim = sqlx::query(include_str!("../../../src/postgres/sql/claim.sql"));
            let claim = claim.bind(7_i64).bind("default").bind([0_i16]).bind([0_i64]);
            claim.bind(["k"]).bind(1_i64).bind(false).fetch_all(session).await.unwrap().len()
        });
        assert_eq!(ours.await, 1);
    });
}

#[test]
fn trap_8_sixty_a_minute_start_one_a_second_and_not_all_that_a_quiet_minute_saved_up() {
    const STARTS: usize = 3;
    support::run(async |db| {
        let pool = db.pool().await;
        let mut limited = kind("limited", AT_ONCE);
        limited.rate_limit = Some("60/m".parse().expect("a limit"));
        let mut settings = settings(&db);
        settings.kinds = vec![limited];
        let (starts, mut started) = mpsc::channel(60);
        let handler = deciding(move |_| {
            starts.try_send(Instant::now()).unwrap();
            completed()
        });
        let runner = Runner::start(daemon(settings).with_handler(name("limited"), handler));
        insert(&pool, "limited").await;
        let first = started.recv().await.expect("it starts");
        // What a bucket that takes its burst from the rate would save up meanwhile: three starts.
        support::eventually("it has been quiet for a while", async || {
            first.elapsed() > Duration::from_millis(3500)
        })
        .await;
        for _ in 0..STARTS {
            insert(&pool, "limited").await;
        }
        let mut at = Vec::new();
        while at.len() < STARTS {
            started.recv_many(&mut at, STARTS).await;
        }
        runner.stop().await;
        let took = at[STARTS - 1] - at[0];
        // A busy machine moves a start by a little after its permit.
        assert!(took > Duration::from_millis(1500), "{STARTS} starts within {took:?}");
        pool.close().await;
    });
}
