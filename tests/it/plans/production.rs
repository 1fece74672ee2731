//! A database as an installation has it after a while: a long line of few kinds and queues and a few of
//! many, days of history, and the statistics that the planner knows of it.
//!
//! Autovacuum is off on everything that grows, so that a state lasts until the next one is made.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::TestDb;
use crate::support::server::environment;

/// Unfinished jobs and finished ones where nobody says how many: enough for an index to pay.
const LIVE: i64 = 100_000;
const FINISHED: i64 = 100_000;

/// How many rows there are of what grows.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) live: i64,
    pub(super) finished: i64,
}

impl Size {
    /// As the environment says: `LEGWORK_PLANS_ROWS` and `LEGWORK_PLANS_FINISHED`.
    pub(super) fn given() -> Self {
        let number = |name: &str, default| {
            let given = environment(name).map(|rows| rows.parse::<i64>());
            given.map_or(default, |rows| rows.expect("it is a number of rows"))
        };
        Self {
            live: number("LEGWORK_PLANS_ROWS", LIVE),
            finished: number("LEGWORK_PLANS_FINISHED", FINISHED),
        }
    }
}

impl Size {
    /// Whether nobody asked for another.
    pub(super) fn is_the_usual(self) -> bool {
        (self.live, self.finished) == (LIVE, FINISHED)
    }

    /// What golden files of this size are called, where there are any.
    pub(super) fn name(self) -> Option<&'static str> {
        match (self.live, self.finished) {
            (LIVE, FINISHED) => Some("plans"),
            (1_000_000, 10_000_000) => Some("production"),
            _ => None,
        }
    }
}

/// How a line is spread over queues and kinds, as SQL over the row's number `i`.
struct Skew {
    queue: &'static str,
    kind: &'static str,
}

/// What the statistics are about: three queues have 99 of 100 jobs, two kinds nine of ten.
const USUAL: Skew = Skew {
    queue: "CASE WHEN i % 100 < 80 THEN 'default' WHEN i % 100 < 95 THEN 'mail'
        WHEN i % 100 < 99 THEN 'reports' ELSE 'queue_' || i / 100 % 20 END",
    kind: "CASE WHEN i / 7 % 10 < 6 THEN 'send_email' WHEN i / 7 % 10 < 9 THEN 'resize'
        ELSE 'kind_' || i / 70 % 30 END",
};

/// What they know nothing of: nearly all of it in a queue and of a kind that they never saw.
const UNHEARD_OF: Skew = Skew {
    queue: "CASE WHEN i % 20 = 0 THEN 'default' ELSE 'campaign' END",
    kind: "CASE WHEN i % 20 = 0 THEN 'send_email' ELSE 'announce' END",
};

/// The database, from one state to the next.
pub(super) struct Production {
    session: PgConnection,
    size: Size,
}

impl Production {
    /// Full, never vacuumed and never analysed, and half of the line's rows are dead.
    pub(super) async fn neglected(db: &TestDb, size: Size) -> Self {
        let mut production = Self { session: db.connect().await, size };
        let autovacuum = "DO $do$ DECLARE part regclass; BEGIN
            FOR part IN SELECT c.oid FROM pg_class c
                WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'r'
            LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', part); END LOOP;
        END $do$";
        production.run(autovacuum).await;
        production.small_tables().await;
        production.history(0, "i * 8 / last").await;
        production.failed_attempts().await;
        production.line(&USUAL).await;
        production.run("UPDATE legwork.job SET token = token + 1 WHERE id % 2 = 0").await;
        production.arguments().await;
        production
    }

    /// As autovacuum leaves it, which looks at days and never at the whole of history.
    pub(super) async fn analyse(&mut self) {
        let tables = "SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'r'";
        let tables: String = sqlx::query_scalar(tables)
            .fetch_one(&mut self.session)
            .await
            .expect("tables are listed");
        // Of 100,000 rows all are looked at, so that each run knows the same.
        self.run("SET default_statistics_target = 400").await;
        self.run(&format!("VACUUM ANALYZE {tables}")).await;
    }

    /// The line is drained, vacuumed and analysed: the planner is told that there is nothing.
    pub(super) async fn drain(&mut self) {
        self.run("DELETE FROM legwork.job").await;
        self.run("VACUUM ANALYZE legwork.job").await;
    }

    /// The line is as long as before, and a day of history has begun; the statistics are those of the
    /// drained line, and of the empty day.
    pub(super) async fn refill(&mut self) {
        self.line(&UNHEARD_OF).await;
        self.history(self.size.finished + 3 * self.size.live, "35").await;
    }

    /// Of the tables of jobs, finished ones too, those that are too small for it to matter how they are read.
    pub(super) async fn small(&mut self) -> BTreeSet<String> {
        let small = "SELECT c.relname::text FROM pg_class c
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'r'
                AND (c.relispartition OR c.relname = 'job') AND pg_relation_size(c.oid) < 16 * 8192";
        let small = sqlx::query_scalar(small).fetch_all(&mut self.session).await;
        small.expect("tables are listed").into_iter().collect()
    }

    pub(super) async fn end(self) {
        self.session.close().await.expect("the session ends");
    }

    async fn run(&mut self, statement: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.session).await;
        assert!(done.is_ok(), "{statement}: {done:?}");
    }

    /// Daemons that live and that died, queues, one of them paused, and schedules.
    async fn small_tables(&mut self) {
        self.run(
            "INSERT INTO legwork.daemon (id, name, expires_at, died_at, queues, kinds, limits, load)
             SELECT i, 'daemon ' || i, now() + interval '1 day', CASE WHEN i > 7 THEN now() END,
                '{default,mail}', '{send_email,resize}', '{}', '{}' FROM generate_series(1, 40) i;
             INSERT INTO legwork.queue (name, paused, retention_discarded)
             SELECT 'queue_' || i, false, interval '30 days' FROM generate_series(0, 19) i
             UNION ALL VALUES ('default', false, interval '30 days'), ('mail', false, NULL),
                ('reports', true, interval '20 days');
             INSERT INTO legwork.schedule (name, rule, daemon, done_until, last_job)
             SELECT 'schedule_' || i, '0 * * * * UTC', 1 + i % 8, now() - interval '1 min', i
             FROM generate_series(1, 256) i",
        )
        .await;
    }

    /// Finished jobs behind the id `after`, nine of ten kept until the day `until` (days from today, over
    /// the row's number `i` and the `last` one), the others longer.
    async fn history(&mut self, after: i64, until: &str) {
        let Skew { queue, kind } = USUAL;
        let rows = if after == 0 { self.size.finished } else { self.size.finished / 10 };
        self.run(&format!(
            "INSERT INTO legwork.finished (id, token, holder, run_at, created_at, drop_after, outcome,
                priority, attempt, queue, kind, payload, tags, reason)
             SELECT {after} + i, 3, 1 + i % 8, now(), now(), (now() AT TIME ZONE 'UTC')::date + CASE
                    WHEN i % 10 < 9 THEN {until} ELSE 8 + i % 23 END::int,
                CASE WHEN i % 10 < 9 THEN 'completed' WHEN i % 20 < 10 THEN 'cancelled'
                    ELSE 'discarded' END::legwork.outcome,
                0, 1, {queue}, {kind}, '{{\"n\": 1}}',
                CASE WHEN i % 10 = 4 THEN ARRAY['tenant_' || i % 500, 'nightly'] END,
                CASE WHEN i % 10 = 9 THEN 'attempts_exhausted' END
             FROM generate_series(1, {rows}) i, (VALUES ({rows} + 1)) v (last)"
        ))
        .await;
    }

    /// One for each fifth finished job, kept as long as discarded jobs are.
    async fn failed_attempts(&mut self) {
        let rows = self.size.finished;
        self.run(&format!(
            "INSERT INTO legwork.failed_attempt (job_id, token, holder, duration_ms, drop_after,
                attempt, cause, error)
             SELECT i, 2, 1 + i % 8, 1000, (now() AT TIME ZONE 'UTC')::date + (23 + i * 8 / {rows})::int,
                1, 'failed', 'the server said no'
             FROM generate_series(1, {rows}, 5) i"
        ))
        .await;
    }

    /// Unfinished jobs: most in line, a tenth scheduled, some due and not in line yet, some held, some with
    /// an expiry, a unique key, tags.
    async fn line(&mut self, Skew { queue, kind }: &Skew) {
        let Size { live, finished } = self.size;
        self.run(&format!(
            "SELECT setval('legwork.job_id_seq', {finished});
             INSERT INTO legwork.job (kind, queue, priority, run_at, ready_at, holder, token, expires_at,
                cancel_requested, unique_key, tags, attempt, payload)
             SELECT {kind}, {queue}, CASE i % 20 WHEN 0 THEN -1 WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 0 END,
                CASE WHEN i % 10 = 9 THEN now() + interval '1 min' * (1 + i % 1000)
                    WHEN i % 500 = 8 THEN now() - interval '1 min' ELSE now() - interval '1 h' END,
                CASE WHEN i % 500 = 8 THEN now() - interval '1 h' ELSE now() END,
                CASE WHEN i % 50 = 3 THEN 1 + i % 8 END, CASE WHEN i % 50 = 3 THEN 1 ELSE 0 END,
                CASE WHEN i % 20 = 5 THEN now() + interval '1 min' * (i % 1000 - 50) END, i % 5000 = 3,
                CASE WHEN i % 20 = 7 THEN 'key_' || i END,
                CASE WHEN i % 10 = 4 THEN ARRAY['tenant_' || i % 500, 'nightly'] END, (i % 50 = 9)::int,
                '{{\"n\": 1}}'
             FROM generate_series(1, {live}) i"
        ))
        .await;
    }

    /// What statements are given: ids all over the line and over history, and values that go with them.
    async fn arguments(&mut self) {
        let Size { live, finished } = self.size;
        self.run(&format!(
            "CREATE FUNCTION public.spread(n bigint, low bigint, high bigint) RETURNS bigint[]
             LANGUAGE sql IMMUTABLE AS $$
                SELECT array_agg(low + (high - low) * i / n ORDER BY i) FROM generate_series(0, n - 1) i $$;
             CREATE FUNCTION public.in_line(n bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE
             AS 'SELECT public.spread(n, {finished} + 10, {finished} + {live})';
             CREATE FUNCTION public.in_history(n bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE
             AS 'SELECT public.spread(n, 10, {finished})';
             CREATE FUNCTION public.all_of(value anyelement, n int) RETURNS anyarray LANGUAGE sql IMMUTABLE
             AS 'SELECT array_fill(value, ARRAY[n])'"
        ))
        .await;
    }
}
