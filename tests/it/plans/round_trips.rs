//! How often each operation asks the database and waits, counted on the wire: a claim of any number of jobs
//! once, the completion of a batch a fixed number of times, a list as often for ten rows as for ten thousand.
//!
//! Each runs once unmeasured: that connects, makes the session's settings and prepares the statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use legwork::CancellationToken;
use legwork::claimer::{ClaimRequest, ClaimSource, LEVELS, Look, Probe};
use legwork::completer::{Batch, OutcomeSink, Settled};
use legwork::config::{Database, DatabaseUrl, Retentions, ScheduleSettings, Settings};
use legwork::heartbeat::LeaseKeeper;
use legwork::job::{
    Cause, ClaimedJob, FailedAttempt, JobError, JobId, Lease, QueueName, Retention, ScheduleName,
    Verdict,
};
use legwork::postgres::enqueue::{EnqueueSink, NewJob};
use legwork::postgres::operations::{
    self, Action, Asker, Bulk, Extent, JobFilter, NOTES_MAX, NoteFilter, OPERATIONS_MAX, PAGE_MAX,
    Ran,
};
use legwork::postgres::{
    Connector, Held, Identity, Load, PostgresClaims, PostgresLease, PostgresOutcomes, RunTime,
    Upkeep,
};
use legwork::schedule::{CatchUp, Overlap, Rule};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::cli;
use crate::pipeline::name;
use crate::support::{self, Proxy, TestDb};

const HOLDER: i64 = 7;

/// Numbers of rows; lists have ten times as many to choose from.
const FEW: usize = 10;
const MANY: usize = 1000;

/// Everything that asks, behind a proxy that counts, and a session beside it that isn't counted.
struct Rooms {
    proxy: Proxy,
    claims: PostgresClaims,
    outcomes: PostgresOutcomes,
    lease: PostgresLease,
    upkeep: Upkeep,
    operator: operations::Connection,
    beside: PgConnection,
}

/// What an operation came to: round trips, and rows that it was about.
type Counted = (usize, usize);

impl Rooms {
    async fn before(db: &TestDb) -> Self {
        let proxy = Proxy::before(&db.url()).await;
        let url = DatabaseUrl::new(proxy.url());
        let database = Database { url: Some(url.clone()), ..Settings::default().database };
        let connector = Connector::new(&url, &database).expect("the address can be read");
        let held = Arc::new(Held::default());
        let who = Identity { name: "plans".into(), hostname: "here".into() };
        let load = tokio::sync::watch::Sender::new(Load::default()).subscribe();
        let operator = operations::open(&database, operations::Limit::Statement).await;
        Self {
            claims: PostgresClaims::new(connector.clone(), Arc::clone(&held)),
            outcomes: PostgresOutcomes::new(connector.clone(), held),
            lease: PostgresLease::new(connector.clone(), who, load, Duration::from_secs(30)),
            upkeep: Upkeep::new(connector),
            operator: operator.expect("the database can be reached"),
            beside: db.connect().await,
            proxy,
        }
    }

    /// Starts from these rows alone, `n` standing for their number.
    async fn arrange(&mut self, rows: &str, n: usize) {
        const NOTHING: &str = "DELETE FROM legwork.job; DELETE FROM legwork.finished;
            DELETE FROM legwork.failed_attempt; DELETE FROM legwork.queue; DELETE FROM legwork.daemon; ALTER SEQUENCE legwork.job_id_seq RESTART;
            INSERT INTO legwork.daemon (id, expires_at) VALUES (7, clock_timestamp() + interval '1 day')";
        let rows = format!("{NOTHING}; {}", rows.replace("$n", &n.to_string()));
        let done = sqlx::raw_sql(AssertSqlSafe(&*rows)).execute(&mut self.beside).await;
        assert!(done.is_ok(), "{rows}: {done:?}");
    }

    async fn claim(&self, most: usize) -> Vec<ClaimedJob> {
        let request = ClaimRequest {
            holder: HOLDER,
            queue: default_queue(),
            kinds: [name("noop")].into(),
            probe: probe(),
            most: u32::try_from(most).expect("a number of jobs"),
            in_turn: false,
            halt: CancellationToken::new(),
        };
        self.claims.claim(&request).await.expect("the database answers")
    }

    /// Verdicts of all jobs in line.
    async fn verdicts(&self, n: usize, verdict: Verdict, kept: Retentions) -> Batch {
        let failed = || FailedAttempt { cause: Cause::Failed, error: JobError::new("failed") };
        let settled = self.claim(n).await.into_iter().map(|job| Settled {
            lease: job.lease,
            place: job.place,
            queue: default_queue(),
            kind: None,
            origin: None,
            span: None,
            failure: matches!(verdict, Verdict::Retry { .. }).then(failed),
            verdict: verdict.clone(),
            attempt: 1,
            charged: true,
            took: Some(Duration::ZERO),
            metrics: None,
            keeps: None,
        });
        Batch::sort(settled, &HashMap::from([(default_queue(), kept)]))
    }

    async fn completion(&mut self, n: usize, kept: Retentions) -> Counted {
        let batch = self.verdicts(n, Verdict::Complete { result: None }, kept).await;
        let before = self.proxy.round_trips();
        let written = self.outcomes.finish(&batch.finals).await.expect("the database answers");
        (self.proxy.round_trips() - before, written.len())
    }

    async fn retry(&mut self, n: usize) -> Batch {
        let delay = Duration::from_mins(1);
        self.verdicts(n, Verdict::Retry { delay }, Retentions::default()).await
    }
}

fn default_queue() -> QueueName {
    QueueName::new("default").expect("a name")
}

fn probe() -> Probe {
    Probe { levels: LEVELS.to_vec(), marks: vec![0; LEVELS.len()], is_sweep: true }
}

fn leases(n: usize) -> Vec<Lease> {
    ids(n).into_iter().map(|job| Lease { job, token: 1, holder: HOLDER }).collect()
}

fn ids(n: usize) -> Vec<JobId> {
    (1..).take(n).map(JobId).collect()
}

/// What the database answered; a refusal fails the test.
trait Given<T> {
    fn given(self) -> T;
}

impl<T, E: std::fmt::Debug> Given<T> for Result<T, E> {
    fn given(self) -> T {
        self.expect("the database answers")
    }
}

/// Counts the round trips of what gives a number of rows.
macro_rules! counted {
    ($rooms:ident, $operation:expr) => {
        async move {
            let before = $rooms.proxy.round_trips();
            let rows: usize = $operation;
            ($rooms.proxy.round_trips() - before, rows)
        }
        .boxed()
    };
}

struct Operation {
    name: &'static str,
    /// Its rows, of which there are `$n`.
    arrange: &'static str,
    /// How often it asks.
    round_trips: usize,
    /// How many rows it is about, of so many.
    rows: fn(usize) -> usize,
    run: for<'r> fn(&'r mut Rooms, usize) -> BoxFuture<'r, Counted>,
}

const ALL: fn(usize) -> usize = |n| n;
const ONE: fn(usize) -> usize = |_| 1;
const NONE: fn(usize) -> usize = |_| 0;

const IN_LINE: &str = "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, $n)";
const LONG_LINE: &str =
    "INSERT INTO legwork.job (kind) SELECT 'noop' FROM generate_series(1, 10 * $n)";
const HELD: &str =
    "INSERT INTO legwork.job (kind, holder, token) SELECT 'noop', 7, 1 FROM generate_series(1, $n)";
const DUE: &str = "INSERT INTO legwork.job (kind, run_at, ready_at)
    SELECT 'noop', now() - interval '1 min', now() - interval '1 h' FROM generate_series(1, $n)";
const EXPIRED: &str = "INSERT INTO legwork.job (kind, expires_at)
    SELECT 'noop', now() - interval '1 min' FROM generate_series(1, $n)";
const CANCELLED: &str = "INSERT INTO legwork.job (kind, holder, token, cancel_requested)
    SELECT 'noop', 7, 1, true FROM generate_series(1, $n)";
const DEAD: &str = "INSERT INTO legwork.daemon (id, expires_at) SELECT 100 + i, now() - interval '1 h' FROM generate_series(1, $n) i";
const ENDED: &str = "INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority,
        attempt, queue, kind, payload)
    SELECT i, 1, now(), now(), (now() AT TIME ZONE 'UTC')::date + i % 20, 'completed', 0, 1, 'default', 'noop', '{}'
    FROM generate_series(1, 10 * $n) i";
const FAILED: &str = "INSERT INTO legwork.job (kind) VALUES ('noop');
    INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause)
    SELECT 1, i, (now() AT TIME ZONE 'UTC')::date, 1, 'failed' FROM generate_series(1, $n) i";
const NOTED: &str = "TRUNCATE legwork.audit;
    SELECT legwork.note('test', 'note/' || i) FROM generate_series(1, $n) i";
const BEGUN: &str = "TRUNCATE legwork.operation;
    SELECT legwork.begin_bulk('cancel', '{}', holder => 5, everything => true) FROM generate_series(1, $n)";
const QUEUES: &str =
    "INSERT INTO legwork.job (kind, queue) SELECT 'noop', 'q' || i FROM generate_series(1, $n) i";

/// All of them its own, and the newest the one before.
const BUSY_SCHEDULE: &str = "INSERT INTO legwork.job (kind, metadata)
    SELECT 'noop', '{\"schedule\": \"nightly\"}' FROM generate_series(1, $n);
    DELETE FROM legwork.schedule;
    INSERT INTO legwork.schedule (name, rule, done_until, last_job) VALUES ('nightly', '', now(), $n)";

fn nightly() -> ScheduleSettings {
    ScheduleSettings {
        name: ScheduleName::new("nightly").expect("a name"),
        rule: Rule::parse("0 3 * * *", "UTC").expect("a rule"),
        kind: name("noop"),
        queue: default_queue(),
        payload: "{}".into(),
        priority: 0,
        catch_up: CatchUp::Last,
        overlap: Overlap::Allow,
        jitter: Duration::ZERO,
    }
}

fn page(n: usize) -> usize {
    (10 * n).min(PAGE_MAX as usize)
}

/// What the daemon does.
#[rustfmt::skip]
const DAEMON: &[Operation] = &[
    Operation { name: "claim", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, n| counted!(r, r.claim(n).await.len()) },
    Operation { name: "look", arrange: LONG_LINE, round_trips: 1, rows: ONE,
        run: |r, _| counted!(r, {
            let look = Look { queue: default_queue(), kinds: [name("noop")].into(), probe: probe() };
            r.claims.look(&[look]).await.given().len()
        }) },
    Operation { name: "complete", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, n| r.completion(n, Retentions::default()).boxed() },
    Operation { name: "complete without history", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, n| {
            let none = Retention::None;
            r.completion(n, Retentions { completed: none, cancelled: none, discarded: none }).boxed()
        } },
    Operation { name: "put back", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, n| async move {
            let batch = r.retry(n).await;
            counted!(r, r.outcomes.put_back(&batch.backs).await.given().len()).await
        }.boxed() },
    // What day it is, and a COPY: its beginning and its end.
    Operation { name: "record failed attempts", arrange: IN_LINE, round_trips: 3, rows: ALL,
        run: |r, n| async move {
            let batch = r.retry(n).await;
            counted!(r, r.outcomes.record(&batch.failures).await.map(|()| batch.failures.len()).given()).await
        }.boxed() },
    Operation { name: "release", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, n| async move {
            let batch = r.verdicts(n, Verdict::Release, Retentions::default()).await;
            counted!(r, r.outcomes.release(&batch.releases).await.given().len()).await
        }.boxed() },
    Operation { name: "which are locked", arrange: HELD, round_trips: 1, rows: NONE,
        run: |r, n| counted!(r, r.outcomes.locked(&ids(n)).await.given().len()) },
    Operation { name: "whose jobs were taken", arrange: HELD, round_trips: 1, rows: NONE,
        run: |r, n| counted!(r, r.outcomes.taken(&leases(n)).await.given().len()) },
    Operation { name: "heartbeat", arrange: HELD, round_trips: 1, rows: ONE,
        run: |r, _| counted!(r, usize::from(r.lease.renew(HOLDER).await.given())) },
    Operation { name: "promote", arrange: DUE, round_trips: 1, rows: ALL,
        run: |r, _| counted!(r, usize::try_from(r.upkeep.promote(RunTime(0.0)).await.given().rows).given()) },
    Operation { name: "next due", arrange: DUE, round_trips: 1, rows: ONE,
        run: |r, _| counted!(r, usize::from(r.upkeep.next_due(RunTime(0.0)).await.given().wait.is_some())) },
    // A page of a thousand: which, their end, and whether there are more.
    Operation { name: "expire", arrange: EXPIRED, round_trips: 3, rows: ALL,
        run: |r, _| counted!(r, usize::try_from(r.upkeep.expire().await.given()).given()) },
    Operation { name: "cancel requests", arrange: CANCELLED, round_trips: 1, rows: ALL,
        run: |r, _| counted!(r, r.upkeep.cancel_requests(HOLDER).await.given().len()) },
    Operation { name: "declare dead", arrange: DEAD, round_trips: 1, rows: ALL,
        run: |r, _| counted!(r, r.upkeep.declare_dead(Duration::ZERO).await.given().len()) },
    Operation { name: "who of the dead holds jobs", arrange: HELD, round_trips: 1, rows: ONE,
        run: |r, n| counted!(r, r.upkeep.holders_among(&(7..).take(n).collect::<Vec<_>>()).await.given().len()) },
    Operation { name: "rescue", arrange: HELD, round_trips: 1, rows: ALL,
        run: |r, _| counted!(r, r.upkeep.rescue(HOLDER).await.given().len()) },
    Operation { name: "count queues", arrange: QUEUES, round_trips: 1, rows: ALL,
        run: |r, n| counted!(r, {
            let queues = (1..=n).map(|i| format!("q{i}")).collect();
            r.upkeep.count(queues, vec!["noop".into()]).await.given().len()
        }) },
    Operation { name: "count what waits", arrange: DUE, round_trips: 1, rows: ONE,
        run: |r, _| counted!(r, r.upkeep.waiting().await.given().len()) },
    Operation { name: "count what nobody serves", arrange: IN_LINE, round_trips: 1, rows: ALL,
        run: |r, _| counted!(r, usize::try_from(r.upkeep.outside(&[]).await.given()).given()) },
    Operation { name: "look at schedules", arrange: IN_LINE, round_trips: 1, rows: NONE,
        run: |r, n| counted!(r, {
            let names = (1..=n).map(|i| format!("schedule_{i}")).collect();
            r.upkeep.look_at_schedules(names).await.given().rows.len()
        }) },
];

/// What people and producers do. Each statement is prepared, without a name, and run.
#[rustfmt::skip]
const PEOPLE: &[Operation] = &[
    Operation { name: "list unfinished jobs", arrange: LONG_LINE, round_trips: 2, rows: page,
        run: |r, _| counted!(r, operations::list_jobs(&mut r.operator, &JobFilter::default(), PAGE_MAX).await.given().jobs.len()) },
    Operation { name: "list finished jobs", arrange: ENDED, round_trips: 2, rows: page,
        run: |r, _| counted!(r, operations::list_jobs(&mut r.operator, &JobFilter::default(), PAGE_MAX).await.given().jobs.len()) },
    Operation { name: "list queues", arrange: QUEUES, round_trips: 2, rows: |n| n.min(500),
        run: |r, _| counted!(r, operations::list_queues(&mut r.operator).await.given().queues.len()) },
    Operation { name: "list jobs with their payloads", arrange: LONG_LINE, round_trips: 2, rows: page,
        run: |r, _| counted!(r, {
            let extent = Extent { jobs: PAGE_MAX, looks: 20_000, payloads: true };
            let filter = JobFilter { payload: Vec::new(), ..JobFilter::default() };
            operations::list_jobs(&mut r.operator, &filter, extent).await.given().jobs.len()
        }) },
    Operation { name: "show a queue", arrange: LONG_LINE, round_trips: 2, rows: ONE,
        run: |r, _| counted!(r, usize::from(operations::show_queue(&mut r.operator, &default_queue(), None).await.given().is_some())) },
    Operation { name: "list daemons", arrange: DEAD, round_trips: 2, rows: |n| (n + 1).min(1000),
        run: |r, _| counted!(r, operations::list_daemons(&mut r.operator).await.given().daemons.len()) },
    Operation { name: "show", arrange: FAILED, round_trips: 2, rows: |n| n.min(100),
        run: |r, _| counted!(r, operations::show_job(&mut r.operator, JobId(1)).await.given().expect("it is there").failed_attempts.len()) },
    Operation { name: "why", arrange: LONG_LINE, round_trips: 2, rows: ONE,
        run: |r, n| counted!(r, {
            let gates = operations::explain_job(&mut r.operator, ids(n)[n - 1]).await.given();
            gates.iter().filter(|gate| gate.gate == "line").count()
        }) },
    Operation { name: "cancel", arrange: IN_LINE, round_trips: 2, rows: ALL,
        run: |r, n| counted!(r, operations::cancel_jobs(&mut r.operator, &ids(n), &Asker::default()).await.given().len()) },
    Operation { name: "retry", arrange: ENDED, round_trips: 2, rows: ALL,
        run: |r, n| counted!(r, operations::retry_jobs(&mut r.operator, &ids(n), &Asker::default()).await.given().len()) },
    Operation { name: "discard", arrange: IN_LINE, round_trips: 2, rows: ALL,
        run: |r, n| counted!(r, operations::discard_jobs(&mut r.operator, &ids(n), &Asker::default()).await.given().len()) },
    Operation { name: "snooze", arrange: IN_LINE, round_trips: 2, rows: ALL,
        run: |r, n| counted!(r, operations::snooze_jobs(&mut r.operator, &ids(n), Duration::from_mins(1), &Asker::default()).await.given().len()) },
    // That it is known, how far it is, and the job.
    Operation { name: "run a schedule", arrange: BUSY_SCHEDULE, round_trips: 6, rows: ONE,
        run: |r, _| counted!(r, {
            let (schedule, by) = (nightly(), Asker::default());
            let metadata = operations::metadata_of(&schedule);
            let ran = operations::run_schedule(&mut r.operator, &schedule, &metadata, &by).await.given();
            usize::from(matches!(ran, Ran::Enqueued(_)))
        }) },
    Operation { name: "list notes", arrange: NOTED, round_trips: 2, rows: ALL,
        run: |r, _| counted!(r, {
            let filter = NoteFilter::default();
            operations::list_notes(&mut r.operator, &filter, NOTES_MAX).await.given().notes.len()
        }) },
    Operation { name: "list operations", arrange: BEGUN, round_trips: 2, rows: ALL,
        run: |r, _| counted!(r, {
            operations::list_operations(&mut r.operator, None, None, OPERATIONS_MAX).await.given().operations.len()
        }) },
    Operation { name: "a batch of an operation", arrange: IN_LINE, round_trips: 4, rows: |n| n.min(500),
        run: |r, _| counted!(r, {
            let (action, filter, delay) = (Action::Discard, JobFilter::default(), None);
            let bulk = Bulk { action, filter, delay, everything: true };
            let by = Asker::default();
            let begun = operations::begin_bulk(&mut r.operator, &bulk, Some(1), &by).await.given();
            let stands = operations::step_bulk(&mut r.operator, begun.id, 1).await.given();
            usize::try_from(stands.changed).given()
        }) },
    // A COPY's beginning and its end.
    Operation { name: "enqueue in bulk", arrange: "SELECT $n", round_trips: 2, rows: ALL,
        run: |r, n| counted!(r, {
            let mut sink = EnqueueSink::begin(&mut r.operator).await.given();
            for _ in 0..n {
                sink.push(&NewJob::new(name("noop"))).await.given();
            }
            usize::try_from(sink.finish().await.given()).given()
        }) },
];

#[test]
fn an_operation_asks_as_often_for_a_thousand_rows_as_for_ten() {
    support::run(async |db| {
        let mut rooms = Rooms::before(&db).await;
        let mut wrong = Vec::new();
        for operation in DAEMON.iter().chain(PEOPLE) {
            let Operation { name, arrange, round_trips, rows, run } = operation;
            rooms.arrange(arrange, FEW).await;
            run(&mut rooms, FEW).await;
            for n in [1, FEW, 100, MANY] {
                rooms.arrange(arrange, n).await;
                let found = run(&mut rooms, n).await;
                let expected = (*round_trips, rows(n));
                if found != expected {
                    wrong.push(format!(
                        "{name} of {n}: (round trips, rows) are {found:?}, not {expected:?}"
                    ));
                }
            }
        }
        rooms.beside.close().await.unwrap();
        rooms.operator.close().await.unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_command_that_lists_asks_as_often_beside_ten_thousand_rows_as_beside_ten() {
    support::run(async |db| {
        let mut rooms = Rooms::before(&db).await;
        for arguments in [
            &["job", "list", "--limit", "1000", "--output", "json"][..],
            &["job", "list", "--state", "completed", "--limit", "1000", "--output", "json"],
            &["queue", "list", "--output", "json"],
        ] {
            let mut counts = Vec::new();
            for n in [1, MANY] {
                rooms.arrange(&format!("{ENDED}; {QUEUES}"), n).await;
                let before = rooms.proxy.round_trips();
                cli::finished(cli::command(rooms.proxy.url(), arguments), None).await.done();
                counts.push(rooms.proxy.round_trips() - before);
            }
            assert_eq!(counts[0], counts[1], "{arguments:?}");
            assert!(counts[0] > 0, "they are counted");
        }
        rooms.beside.close().await.unwrap();
        rooms.operator.close().await.unwrap();
    });
}
