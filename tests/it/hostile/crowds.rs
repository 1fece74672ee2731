//! Backlogs: how much a claim reads doesn't hang on how much waits.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support;

/// Blocks that a claim of a hundred jobs touches, by Postgres's own count.
async fn blocks(session: &mut PgConnection) -> i64 {
    let mut transaction = session.begin().await.expect("a transaction begins");
    let explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claim
        (7, 'default', '{-2,-1,0,1,2}', '{0,0,0,0,0}', '{noop}', 100, false)";
    let plan: Value = sqlx::query_scalar(explain)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await
        .expect("the claim can be explained");
    transaction.rollback().await.expect("it rolls back");
    let plan = &plan[0]["Plan"];
    assert_eq!(plan["Actual Rows"].as_f64(), Some(100.0), "{plan}");
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|of| plan[of].as_i64()).sum()
}

#[test]
fn a_claim_reads_no_more_for_a_backlog_of_one_instant_and_a_crowd_in_the_future() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let setup = include_str!("../../../src/postgres/sql/claim_session.sql");
        session.execute(sqlx::raw_sql(setup)).await.unwrap();
        let few = "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h');
            INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, 1000)";
        session.execute(sqlx::raw_sql(few)).await.unwrap();
        let claim = include_str!("../../../src/postgres/sql/claim.sql");
        let prepare = format!(
            "PREPARE claim (bigint, text, smallint[], bigint[], text[], bigint, bool) AS {claim}"
        );
        session.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.unwrap();
        let before = blocks(&mut session).await;

        let crowd = "INSERT INTO legwork.job (kind, run_at)
                SELECT 'noop', '2020-01-01' FROM generate_series(1, 200000);
            INSERT INTO legwork.job (kind, run_at)
                SELECT 'noop', now() + interval '1 h' FROM generate_series(1, 200000);
            INSERT INTO legwork.job (kind, queue)
                SELECT 'noop', 'elsewhere' FROM generate_series(1, 50000)";
        session.execute(sqlx::raw_sql(crowd)).await.unwrap();
        let after = blocks(&mut session).await;
        assert!(after < 2 * before, "{before} blocks with 1,000 jobs, {after} with 451,000");
        session.close().await.unwrap();
    });
}
