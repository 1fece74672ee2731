//! Test 5: what a pinned horizon may cost. The plans of claim, complete, retry and promote hold
//! after churn under a held snapshot, and none of them reads more than three times the blocks a job
//! that it reads where vacuum may do its work.
//!
//! Under a held snapshot no dead row goes away, so whatever starts at the left edge of an index gets
//! slower with every job that ever ran. The churn goes by the daemon's own statements and its own
//! low-water marks. `LEGWORK_PLANS_ROWS` says how many rows; `make plans` takes a million.

use std::fmt::Write as _;
use std::time::Duration;

use legwork::claimer::{Marks, Probe};
use legwork::job::Place;
use legwork::maintenance::DueMark;
use legwork::postgres::{Promoted, RunTime};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::time::Instant;

use crate::support::{self, TestDb};

/// Rows of churn where nobody says how many: enough for a walk over dead entries to show.
const ROWS: i64 = 100_000;
/// Jobs that one statement takes, as the daemon's do at most.
const BATCH: i64 = 1000;
/// By how much a pinned horizon may raise the blocks that a statement reads for a job.
const RATIO_MAX: f64 = 3.0;

const HOLDER: i64 = 7;
const CLAIM: &str = include_str!("../../../src/postgres/sql/claim.sql");
const FINISH: &str = include_str!("../../../src/postgres/sql/finish.sql");
const PUT_BACK: &str = include_str!("../../../src/postgres/sql/put_back.sql");
const PROMOTE: &str = include_str!("../../../src/postgres/sql/promote.sql");
const NEXT_DUE: &str = include_str!("../../../src/postgres/sql/next_due.sql");

#[expect(clippy::disallowed_methods, reason = "tests have no configuration but the environment")]
fn rows() -> i64 {
    let given = std::env::var("LEGWORK_PLANS_ROWS").ok();
    given.map_or(ROWS, |rows| rows.parse().expect("LEGWORK_PLANS_ROWS is a number of rows"))
}

/// The daemon's statements, on its sessions and with what it remembers.
struct Line {
    claims: PgConnection,
    verdicts: PgConnection,
    others: PgConnection,
    marks: Marks,
    due: DueMark,
}

impl Line {
    async fn new(db: &TestDb) -> Self {
        let (mut claims, mut verdicts) = (db.connect().await, db.connect().await);
        let mut others = db.connect().await;
        let register =
            "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 day')";
        others.execute(register).await.expect("Postgres answers");
        let setup = include_str!("../../../src/postgres/sql/claim_session.sql");
        claims.execute(sqlx::raw_sql(setup)).await.expect("Postgres answers");
        let setup = include_str!("../../../src/postgres/sql/completer_session.sql");
        verdicts.execute(sqlx::raw_sql(setup)).await.expect("Postgres answers");
        let setup = include_str!("../../../src/postgres/sql/indexed_session.sql");
        others.execute(sqlx::raw_sql(setup)).await.expect("Postgres answers");
        let now = Instant::now();
        Self { claims, verdicts, others, marks: Marks::new(now), due: DueMark::new(now) }
    }

    /// Inserts a batch of jobs that are due and not in line yet.
    async fn insert(&mut self) {
        let insert = "INSERT INTO legwork.job (kind, run_at, ready_at)
            SELECT 'noop', clock_timestamp(), now() - interval '1 s' FROM generate_series(1, $1)";
        sqlx::query(insert).bind(BATCH).execute(&mut self.others).await.expect("Postgres answers");
    }

    /// Promotes until the whole batch is in line.
    async fn promote(&mut self) {
        let mut jobs = 0;
        while jobs < BATCH.unsigned_abs() {
            jobs += self.promote_once().await.rows;
        }
    }

    async fn promote_once(&mut self) -> Promoted {
        let started = Instant::now();
        let start = self.due.start(started);
        let promote = sqlx::query_as::<_, (i64, Option<f64>, f64)>(PROMOTE).bind(start.0);
        let (rows, last, at) = promote.fetch_one(&mut self.others).await.expect("Postgres answers");
        let (rows, last) = (rows.unsigned_abs(), last.map(RunTime));
        let promoted = Promoted { rows, last, asked_at: RunTime(at) };
        self.due.learn(start, &promoted, (Instant::now(), started.elapsed()));
        promoted
    }

    /// Looks until the promoter's mark, which trails its looks by a margin, has left the churn behind.
    async fn leave_the_churn_behind(&mut self) {
        let churned = self.promote_once().await.asked_at;
        support::eventually("the mark has left the churn behind", async || {
            self.promote_once().await;
            RunTime(self.past_the_sweep().await) > churned
        })
        .await;
    }

    /// Claims until the whole batch is held; gives ids and tokens.
    async fn claim(&mut self) -> (Vec<i64>, Vec<i64>) {
        let (mut ids, mut tokens) = (Vec::new(), Vec::new());
        while ids.len() < usize::try_from(BATCH).expect("a batch has a length") {
            let horizon = self.horizon().await;
            let probe = self.marks.probe(Instant::now());
            let started = Instant::now();
            let claim = sqlx::query(CLAIM).bind(HOLDER).bind("default").bind(probe.levels.clone());
            let claim = claim.bind(probe.marks.clone()).bind(vec!["noop"]).bind(BATCH).bind(false);
            let rows = claim.fetch_all(&mut self.claims).await.expect("Postgres answers");
            let full = rows.len() >= usize::try_from(BATCH).expect("a batch has a length");
            let seen = rows.iter().map(|row| (0, row.get(2)));
            self.marks.learn(&probe, seen, full, horizon);
            if probe.is_sweep {
                self.marks.swept(Instant::now(), started.elapsed());
            }
            ids.extend(rows.iter().map(|row| row.get::<i64, _>(1)));
            tokens.extend(rows.iter().map(|row| row.get::<i64, _>(3)));
        }
        (ids, tokens)
    }

    async fn horizon(&mut self) -> i64 {
        let horizon = include_str!("../../../src/postgres/sql/horizon.sql");
        sqlx::query_scalar(horizon).fetch_one(&mut self.others).await.expect("Postgres answers")
    }

    /// The probe of a claim that is no sweep.
    async fn probe(&mut self) -> Probe {
        let horizon = self.horizon().await;
        let sweep = self.marks.probe(Instant::now());
        if sweep.is_sweep {
            self.marks.learn(&sweep, std::iter::empty(), false, horizon);
            self.marks.swept(Instant::now(), Duration::ZERO);
        }
        self.marks.probe(Instant::now())
    }

    async fn put_back(&mut self, (ids, tokens): (Vec<i64>, Vec<i64>)) {
        let n = ids.len();
        let put_back = sqlx::query(PUT_BACK).bind(ids).bind(tokens).bind(vec![HOLDER; n]);
        let put_back = put_back.bind(vec![0.001; n]).bind(vec![1i16; n]).bind(vec![0i16; n]);
        put_back.execute(&mut self.verdicts).await.expect("Postgres answers");
    }

    async fn finish(&mut self, (ids, tokens): (Vec<i64>, Vec<i64>)) {
        let n = ids.len();
        let finish = sqlx::query(FINISH).bind(ids).bind(tokens).bind(vec![HOLDER; n]);
        let finish = finish.bind(vec!["completed"; n]).bind(vec![None::<&str>; n]);
        let finish = finish.bind(vec![None::<&str>; n]).bind(vec![1i16; n]).bind(vec![1; n]);
        // By id, the dearer way.
        let finish = finish.bind(Vec::<Place>::new()).bind(vec![None::<i32>; n]);
        finish.execute(&mut self.verdicts).await.expect("Postgres answers");
    }

    /// Jobs that are promoted, claimed, retried, promoted, claimed and completed.
    async fn churn(&mut self, rows: i64) {
        for _ in 0..rows / BATCH {
            self.insert().await;
            self.promote().await;
            let claimed = self.claim().await;
            self.put_back(claimed).await;
            self.promote().await;
            let claimed = self.claim().await;
            self.finish(claimed).await;
        }
    }

    /// One batch more, each statement explained while it runs.
    async fn measure(&mut self) -> Vec<Measured> {
        self.leave_the_churn_behind().await;
        let start = self.past_the_sweep().await;
        self.insert().await;
        let promote = explain(&mut self.others, PROMOTE, "float8", &format!("{start}")).await;
        let next_due = explain(&mut self.others, NEXT_DUE, "float8", &format!("{start}")).await;
        let marks = self.probe().await.marks;
        let types = "bigint, text, smallint[], bigint[], text[], bigint, bool";
        let marks = array(&marks);
        let values =
            format!("{HOLDER}, 'default', '{{-2,-1,0,1,2}}', {marks}, '{{noop}}', {BATCH}, false");
        let claim = explain(&mut self.claims, CLAIM, types, &values).await;
        let held = self.held().await;
        let types = "bigint[], bigint[], bigint[], float8[], smallint[], smallint[]";
        let values = format!("{}, {}", held, repeated(&["0.001", "1", "0"]));
        let put_back = explain(&mut self.verdicts, PUT_BACK, types, &values).await;
        self.promote().await;
        self.claim().await;
        let held = self.held().await;
        let types =
            "bigint[], bigint[], bigint[], text[], text[], text[], smallint[], int[], tid[], int[]";
        let ends = repeated(&["completed", "null", "null", "1", "1"]);
        let values = format!("{held}, {ends}, '{{}}', '{{}}'");
        let finish = explain(&mut self.verdicts, FINISH, types, &values).await;
        [
            ("promote", "job_waiting", promote),
            ("next due", "job_waiting", next_due),
            ("claim", "job_ready", claim),
            ("retry", "job_pkey", put_back),
            ("complete", "job_pkey", finish),
        ]
        .map(|(name, index, plan)| Measured { name, index, plan })
        .into()
    }

    /// Where a promotion that is no sweep starts, once everything due is in line.
    async fn past_the_sweep(&mut self) -> f64 {
        let now = "SELECT date_part('epoch', clock_timestamp())";
        let at =
            sqlx::query_scalar(now).fetch_one(&mut self.others).await.expect("Postgres answers");
        let nothing = Promoted { rows: 0, last: None, asked_at: RunTime(at) };
        let now = Instant::now();
        self.due.learn(self.due.start(now), &nothing, (now, Duration::ZERO));
        self.due.start(now).0
    }

    /// Ids, tokens and holders of what is held, as arguments.
    async fn held(&mut self) -> String {
        let held = "SELECT array_agg(id), array_agg(token) FROM legwork.job WHERE holder = 7";
        let row = sqlx::query(held).fetch_one(&mut self.others).await.expect("Postgres answers");
        let (ids, tokens): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
        assert_eq!(
            ids.len(),
            usize::try_from(BATCH).expect("a batch has a length"),
            "a whole batch is held"
        );
        format!("{}, {}, {}", array(&ids), array(&tokens), array(&vec![HOLDER; ids.len()]))
    }

    async fn end(self) {
        self.claims.close().await.expect("the session ends");
        self.verdicts.close().await.expect("the session ends");
        self.others.close().await.expect("the session ends");
    }
}

/// A statement as it ran.
struct Measured {
    name: &'static str,
    index: &'static str,
    plan: Value,
}

impl Measured {
    /// Blocks of heap and indexes for each job, however they came.
    fn blocks_per_job(&self) -> f64 {
        let blocks = |which: &str| self.plan[which].as_f64().expect("the plan counts blocks");
        (blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")) / f64::from(1000)
    }

    /// Fails unless the statement walked its index and never the table.
    fn assert_golden(&self, when: &str) {
        let plan = serde_json::to_string_pretty(&self.plan).expect("a plan is JSON");
        let index = format!("\"Index Name\": \"{}\"", self.index);
        assert!(plan.contains(&index), "{when}, {}:\n{plan}", self.name);
        assert!(!plan.contains("Seq Scan"), "{when}, {}:\n{plan}", self.name);
        assert!(!walks_an_index(&self.plan), "{when}, {}:\n{plan}", self.name);
        // Its mark is a condition on the index as well.
        assert!(self.name != "promote" || plan.contains("timestamp with time zone >="), "{plan}");
    }
}

/// Whether a scan of an index has no condition on it: that one reads all of it.
fn walks_an_index(node: &Value) -> bool {
    let walks = node.get("Index Name").is_some() && node.get("Index Cond").is_none();
    let below = node["Plans"].as_array();
    walks || below.is_some_and(|nodes| nodes.iter().any(walks_an_index))
}

fn array(numbers: &[i64]) -> String {
    let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
    format!("'{{{}}}'", numbers.join(","))
}

/// Arrays of one value each, a batch long.
fn repeated(values: &[&str]) -> String {
    values.iter().enumerate().fold(String::new(), |mut text, (i, value)| {
        let comma = if i == 0 { "" } else { ", " };
        let all = vec![*value; usize::try_from(BATCH).expect("a batch has a length")].join(",");
        write!(text, "{comma}'{{{all}}}'").expect("a String grows");
        text
    })
}

/// Runs a statement as it is prepared on this session, and gives its plan with what it read.
async fn explain(session: &mut PgConnection, text: &str, types: &str, values: &str) -> Value {
    let prepare = format!("PREPARE golden ({types}) AS {text}");
    session.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await.expect("Postgres answers");
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE golden ({values})");
    let explained = sqlx::query_scalar::<_, Value>(AssertSqlSafe(explain)).persistent(false);
    let plan = explained.fetch_one(&mut *session).await.expect("Postgres answers");
    session.execute("DEALLOCATE golden").await.expect("Postgres answers");
    plan[0]["Plan"].clone()
}

#[test]
fn plans_hold_after_churn_under_a_held_snapshot_at_three_times_the_blocks_at_most() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut line = Line::new(&db).await;
        line.churn(rows()).await;
        session.execute("VACUUM ANALYZE legwork.job").await.unwrap();
        let unpinned = line.measure().await;

        let mut pin = db.connect().await;
        pin.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        pin.execute("SELECT FROM legwork.job").await.unwrap();
        line.churn(rows()).await;
        session.execute("VACUUM ANALYZE legwork.job").await.unwrap();
        let pinned = line.measure().await;
        pin.execute("COMMIT").await.unwrap();

        let mut too_much = Vec::new();
        for (before, after) in unpinned.iter().zip(&pinned) {
            before.assert_golden("unpinned");
            after.assert_golden("pinned");
            let (name, before, after) =
                (before.name, before.blocks_per_job(), after.blocks_per_job());
            // The figures are what `make plans` is for.
            println!("{name}: {before:.3} blocks a job, {after:.3} under a held snapshot");
            // One look a round, whatever the number of jobs: it walks what was promoted within the
            // mark's margin, and has no share for each job.
            if name != "next due" && after > RATIO_MAX * before {
                too_much.push(format!("{name}: {before:.3} blocks a job became {after:.3}"));
            }
        }
        assert!(too_much.is_empty(), "{}", too_much.join("\n"));
        line.end().await;
        session.close().await.unwrap();
        pin.close().await.unwrap();
    });
}
