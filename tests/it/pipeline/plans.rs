//! Golden plans: which index each statement of the hot path walks, on a full table and on one that
//! has just been emptied, where the planner believes in no rows at all.

use rstest::rstest;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{self, TestDb};

/// A statement of the daemon, with the session that it runs on.
struct Statement {
    text: &'static str,
    types: &'static str,
    arguments: &'static str,
    session: &'static str,
    /// How often it may read the whole table.
    scans: usize,
}

const CLAIM: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/claim.sql"),
    types: "bigint, text, smallint[], bigint[], text[], bigint, bool",
    arguments: "1, 'default', '{-2,-1,0,1,2}', '{0,0,0,0,0}', '{noop}', 500, true",
    session: include_str!("../../../src/postgres/sql/claim_session.sql"),
    scans: 0,
};
const LOOK: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/look.sql"),
    types: "int[], text[], smallint[], bigint[], text[]",
    arguments: "'{0,0}', '{default,default}', '{-1,0}', '{0,0}', '{\"noop,x\",\"noop,x\"}'",
    session: include_str!("../../../src/postgres/sql/claim_session.sql"),
    scans: 0,
};

/// What the completer's statements have in common.
const COMPLETER: Statement = Statement {
    text: "",
    types: "",
    arguments: "",
    session: include_str!("../../../src/postgres/sql/completer_session.sql"),
    scans: 0,
};

/// What the statements of both maintenance sessions have in common.
const INDEXED: Statement = Statement {
    session: include_str!("../../../src/postgres/sql/indexed_session.sql"),
    ..COMPLETER
};

const FINISH: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/finish.sql"),
    types: "bigint[], bigint[], bigint[], text[], text[], text[], smallint[], int[], tid[]",
    arguments: "'{1}', '{1}', '{1}', '{completed}', '{null}', '{null}', '{1}', '{1}', '{}'",
    ..COMPLETER
};
const FINISH_ALIKE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/finish_alike.sql"),
    types: "bigint[], bigint[], bigint[], tid[], text, text, smallint, int",
    arguments: "'{1}', '{1}', '{1}', '{}', 'completed', null, 1::smallint, 7",
    ..COMPLETER
};
const FINISH_WITHOUT_HISTORY: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/finish_without_history.sql"),
    types: "bigint[], bigint[], bigint[], tid[]",
    arguments: "'{1}', '{1}', '{1}', '{}'",
    ..COMPLETER
};
const PUT_BACK: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/put_back.sql"),
    types: "bigint[], bigint[], bigint[], float8[], smallint[], smallint[]",
    arguments: "'{1}', '{1}', '{1}', '{1}', '{1}', '{0}'",
    ..COMPLETER
};
const RELEASE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/release.sql"),
    types: "bigint[], bigint[], bigint[]",
    arguments: "'{1}', '{1}', '{1}'",
    ..COMPLETER
};
const LOCKED_JOBS: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/locked_jobs.sql"),
    types: "bigint[]",
    arguments: "'{1}'",
    ..COMPLETER
};
const PROMOTE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/promote.sql"),
    types: "float8",
    arguments: "1000000000",
    ..INDEXED
};
const NEXT_DUE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/next_due.sql"),
    types: "float8",
    arguments: "1000000000",
    ..INDEXED
};
const EXPIRED: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/expired.sql"),
    types: "bigint",
    arguments: "0",
    ..INDEXED
};
const EXPIRE_THESE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/expire_these.sql"),
    types: "bigint[]",
    arguments: "'{1,2,3}'",
    ..INDEXED
};
const CANCEL_REQUESTS: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/cancel_requests.sql"),
    types: "bigint",
    arguments: "1",
    ..INDEXED
};

/// Walks the table for want of an index on holder, once a death, and then goes by tid.
const RESCUE: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/rescue.sql"),
    types: "bigint",
    arguments: "1",
    scans: 1,
    ..INDEXED
};

const HELD_BY: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/held_by.sql"),
    types: "bigint, bigint",
    arguments: "1, 0",
    ..INDEXED
};
const HOLDERS_AMONG: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/holders_among.sql"),
    types: "bigint[]",
    arguments: "'{1, 2, 3}'",
    scans: 1,
    ..INDEXED
};
const UNKNOWN_HOLDERS: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/unknown_holders.sql"),
    scans: 1,
    ..INDEXED
};
const QUEUE_COUNTS: Statement = Statement {
    text: include_str!("../../../src/postgres/sql/queue_counts.sql"),
    types: "text[], text[]",
    arguments: "'{default}', '{noop}'",
    ..INDEXED
};
const WAITING_COUNTS: Statement =
    Statement { text: include_str!("../../../src/postgres/sql/waiting_counts.sql"), ..INDEXED };

/// How often a plan reads the whole table.
fn scans(plan: &str) -> usize {
    plan.matches("Seq Scan on job").count()
}

/// How many index scans of the table have no condition on the index: each walks all of it.
fn walks(plan: &str) -> usize {
    let lines: Vec<_> = plan.lines().collect();
    let scan = |pair: &&[&str]| pair[0].contains("Scan using job_") && !pair[1].contains("Cond:");
    lines.windows(2).filter(scan).count()
}

/// 100,000 rows, a tenth of them scheduled.
async fn populate(session: &mut PgConnection) {
    let rows = "
        INSERT INTO legwork.job (kind, run_at, priority)
        SELECT 'noop', now() + interval '1 hour' * (i % 10 / 9), i % 3 - 1
        FROM generate_series(1, 100000) i;
        VACUUM ANALYZE legwork.job";
    for statement in rows.split(';') {
        session.execute(AssertSqlSafe(statement)).await.expect("Postgres answers");
    }
}

/// The plan, as the session of the statement sees it.
async fn plan(db: &TestDb, statement: &Statement, mode: &str) -> String {
    let Statement { text, types, arguments, session: setup, .. } = statement;
    let mut session = db.connect().await;
    session.execute(sqlx::raw_sql(*setup)).await.expect("Postgres answers");
    let (types, arguments) = if types.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("({types})"), format!("({arguments})"))
    };
    let prepare = format!("SET plan_cache_mode = {mode}; PREPARE golden {types} AS {text}");
    session.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.expect("Postgres answers");
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE golden {arguments}");
    let lines = sqlx::query_scalar::<_, String>(AssertSqlSafe(explain)).persistent(false);
    let lines = lines.fetch_all(&mut session).await.expect("Postgres answers");
    session.close().await.expect("Postgres answers");
    lines.join("\n")
}

#[rstest]
#[case::claim(CLAIM, "Index Scan using job_ready on job")]
#[case::look(LOOK, "using job_ready on job")]
#[case::finish(FINISH, "Index Scan using job_pkey on job")]
#[case::finish_alike(FINISH_ALIKE, "Index Scan using job_pkey on job")]
#[case::finish_without_history(FINISH_WITHOUT_HISTORY, "Index Scan using job_pkey on job")]
#[case::put_back(PUT_BACK, "Index Scan using job_pkey on job")]
#[case::release(RELEASE, "Index Scan using job_pkey on job")]
#[case::locked_jobs(LOCKED_JOBS, "Index Scan using job_pkey on job")]
#[case::promote(PROMOTE, "Index Scan using job_waiting on job")]
#[case::next_due(NEXT_DUE, "Scan using job_waiting on job")]
#[case::expired(EXPIRED, "Index Scan using job_expiry on job")]
#[case::expire_these(EXPIRE_THESE, "Index Scan using job_pkey on job")]
#[case::rescue(RESCUE, "Tid Scan on job")]
#[case::held_by(HELD_BY, "Index Scan using job_pkey on job")]
#[case::holders_among(HOLDERS_AMONG, "Seq Scan on job")]
#[case::unknown_holders(UNKNOWN_HOLDERS, "Seq Scan on job")]
#[case::queue_counts(QUEUE_COUNTS, "Scan using job_ready on job")]
#[case::waiting_counts(WAITING_COUNTS, "Scan using job_waiting on job")]
#[case::cancel_requests(CANCEL_REQUESTS, "Index Scan using job_cancel on job")]
fn a_hot_statement_walks_its_index(#[case] statement: Statement, #[case] wanted: &str) {
    support::run(async move |db| {
        let mut session = db.connect().await;
        populate(&mut session).await;
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let plan = plan(&db, &statement, mode).await;
            assert!(plan.contains(wanted), "full, {mode}:\n{plan}");
            assert_eq!(scans(&plan), statement.scans, "full, {mode}:\n{plan}");
            assert_eq!(walks(&plan), 0, "full, {mode}:\n{plan}");
        }
        // The planner is told that there is nothing; the plans that it then keeps meet the next load.
        session.execute("DELETE FROM legwork.job").await.unwrap();
        session.execute("VACUUM ANALYZE legwork.job").await.unwrap();
        let plan = plan(&db, &statement, "force_generic_plan").await;
        assert!(plan.contains(wanted), "emptied:\n{plan}");
        assert_eq!(scans(&plan), statement.scans, "emptied:\n{plan}");
        assert_eq!(walks(&plan), 0, "emptied:\n{plan}");
        session.close().await.unwrap();
    });
}

/// The claim's plan must not hang on settings that a pooler may drop.
#[test]
fn the_claim_walks_its_index_with_default_settings_too() {
    support::run(async |db| {
        let mut session = db.connect().await;
        populate(&mut session).await;
        let bare = Statement { session: "", ..CLAIM };
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let plan = plan(&db, &bare, mode).await;
            assert!(plan.contains("Index Scan using job_ready on job"), "{mode}:\n{plan}");
        }
        session.close().await.unwrap();
    });
}
