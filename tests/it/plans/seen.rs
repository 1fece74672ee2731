//! What the planner makes of a statement, and what a statement reads inside of the functions that it
//! calls, where no plan shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::shape::Plan;
use super::statement::{Session, Statement};
use crate::support::TestDb;

/// What the planner goes by, as a server has it that nobody has tuned.
const OUT_OF_THE_BOX: &str = "SELECT count(set_config(name, boot_val, false)) FROM pg_settings
    WHERE category LIKE 'Query Tuning%'
        OR name IN ('work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather')";

/// A session of a role, which plans for any arguments or for those that it is given.
pub(super) struct Planner {
    session: PgConnection,
    small: BTreeSet<String>,
}

/// What a function reads.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Rows of a table by sequential scans of it, entries of an index.
    pub(super) tables: BTreeMap<String, i64>,
    pub(super) indexes: BTreeMap<String, i64>,
}

impl Inside {
    /// Which tables and indexes, without how much.
    pub(super) fn names(&self) -> String {
        let names = |of: &BTreeMap<String, i64>| {
            let names: Vec<_> = of.keys().map(String::as_str).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        format!("by {}, all of {}", names(&self.indexes), names(&self.tables))
    }
}

impl Planner {
    pub(super) async fn new(
        db: &TestDb,
        role: Option<Session>,
        mode: &str,
        small: &BTreeSet<String>,
    ) -> Self {
        let mut session = db.connect().await;
        let setup = role.map(|role| {
            format!("{}{}", include_str!("../../../src/postgres/sql/session.sql"), role.setup())
        });
        let setup = setup.unwrap_or_default();
        let setup = format!("{OUT_OF_THE_BOX}; {setup} SET plan_cache_mode = {mode}");
        let done = sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut session).await;
        assert!(done.is_ok(), "{role:?}: {done:?}");
        Self { session, small: small.clone() }
    }

    /// The plan of a statement. It isn't run.
    pub(super) async fn plan(&mut self, statement: &Statement) -> Plan {
        self.prepare(statement).await;
        let explain = format!("EXPLAIN (COSTS OFF, FORMAT JSON) {}", execute(statement));
        let explain = sqlx::query_scalar::<_, Value>(AssertSqlSafe(explain)).persistent(false);
        let plan = explain.fetch_one(&mut self.session).await;
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error:?}", statement.name()));
        self.run("DEALLOCATE golden").await;
        Plan::new(&plan, self.small.clone())
    }

    /// Whether an index is of a table with nothing in it, and so nothing is wrong with passing it by.
    pub(super) fn is_drained_by(&self, index: &str) -> bool {
        index.starts_with("job_") && self.small.contains("job")
    }

    /// What a statement reads when it runs, functions included. Nothing of it is kept.
    pub(super) async fn run_and_see(&mut self, statement: &Statement) -> Inside {
        self.prepare(statement).await;
        self.run("BEGIN").await;
        let before = self.counts().await;
        self.run(&execute(statement)).await;
        let after = self.counts().await;
        self.run("ROLLBACK").await;
        self.run("DEALLOCATE golden").await;
        let mut inside = Inside::default();
        for ((name, is_index), count) in after {
            let read = count - before.get(&(name.clone(), is_index)).copied().unwrap_or(0);
            if read == 0 || self.small.contains(&name) {
                continue;
            }
            let (name, into) = match (name.split_once("_20"), is_index) {
                (Some(("finished", _)), true) => ("finished_id".to_owned(), &mut inside.indexes),
                (Some((parent, _)), false) => (format!("{parent}_DAY"), &mut inside.tables),
                (_, true) => (name, &mut inside.indexes),
                (_, false) => (name, &mut inside.tables),
            };
            *into.entry(name).or_default() += read;
        }
        inside
    }

    /// What this transaction has read so far: rows by sequential scans, entries of indexes.
    async fn counts(&mut self) -> BTreeMap<(String, bool), i64> {
        let counts = "SELECT c.relname::text, c.relkind = 'i', pg_stat_get_xact_tuples_returned(c.oid)
            FROM pg_class c WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind IN ('r', 'i')";
        let rows = sqlx::query(counts).persistent(false).fetch_all(&mut self.session).await;
        let rows = rows.expect("Postgres counts");
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()
    }

    async fn prepare(&mut self, statement: &Statement) {
        let types = match statement.types {
            "" => String::new(),
            types => format!("({types})"),
        };
        self.run(&format!("PREPARE golden {types} AS {}", statement.text())).await;
    }

    async fn run(&mut self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.session).await;
        assert!(done.is_ok(), "{sql}: {done:?}");
    }

    pub(super) async fn end(self) {
        self.session.close().await.expect("the session ends");
    }
}

fn execute(statement: &Statement) -> String {
    match statement.arguments {
        "" => "EXECUTE golden".to_owned(),
        arguments => format!("EXECUTE golden ({arguments})"),
    }
}
