//! Every operation that writes: what its round starts from, how it is run, and what it changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use legwork::CancellationToken;
use legwork::claimer::{ClaimRequest, ClaimSource, LEVELS, Probe};
use legwork::completer::{Batch, OutcomeSink, Settled};
use legwork::config::{Database, Retentions};
use legwork::heartbeat::LeaseKeeper;
use legwork::job::{Cause, FailedAttempt, JobError, JobId, Lease, QueueName, Retention, Verdict};
use legwork::postgres::enqueue::{EnqueueSink, NewJob};
use legwork::postgres::{
    BenchSession, Held, Identity, Load, Observer, PostgresClaims, PostgresLease, PostgresOutcomes,
    RunTime, Upkeep,
    operations::{self, Asker},
};

use crate::pipeline::name;
use crate::support::{TestDb, pooled};

fn because(reason: &str) -> Asker {
    Asker { reason: Some(reason.into()), ..Asker::default() }
}

/// Who holds the jobs.
const HOLDER: i64 = 7;
/// The three jobs.
const IDS: [JobId; 3] = [JobId(1), JobId(2), JobId(3)];

/// Every object that writes.
pub(super) struct Rooms {
    claims: PostgresClaims,
    outcomes: PostgresOutcomes,
    lease: PostgresLease,
    upkeep: Upkeep,
    operations: operations::Connection,
    database: Database,
    observer: Observer,
    bench: BenchSession,
}

impl Rooms {
    pub(super) async fn on(db: &TestDb) -> Self {
        let database = pooled::database(&db.url());
        let connector = pooled::connector_of(&database);
        let held = Arc::new(Held::default());
        let who = Identity { name: "traps".into(), hostname: "here".into() };
        let load = tokio::sync::watch::Sender::new(Load::default()).subscribe();
        let session = operations::open(&database, operations::Limit::Statement).await;
        Self {
            claims: PostgresClaims::new(connector.clone(), Arc::clone(&held)),
            outcomes: PostgresOutcomes::new(connector.clone(), held),
            lease: PostgresLease::new(connector.clone(), who, load, Duration::from_secs(30)),
            upkeep: Upkeep::new(connector.clone()),
            operations: session.expect("the database can be reached"),
            database,
            observer: Observer::new(connector.clone()),
            bench: BenchSession::new(connector),
        }
    }

    /// An operator's connection stays, and what was dropped on it may still run there: waits for it.
    /// One on which a COPY was dropped says so to whoever uses it next, and is closed.
    pub(super) async fn catch_up(&mut self) {
        if operations::list_queues(&mut self.operations).await.is_err() {
            self.operations = self.session().await;
        }
    }

    async fn session(&self) -> operations::Connection {
        let opened = operations::open(&self.database, operations::Limit::Statement).await;
        opened.expect("the database can be reached")
    }
}

/// What an operation came to.
type Done = Result<(), String>;

/// One operation that writes.
pub(super) struct Writes {
    pub(super) name: &'static str,
    /// Makes its rows, out of nothing but a daemon.
    pub(super) arrange: &'static str,
    /// Asks for the text by which it is told whether it has taken effect.
    pub(super) told: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) run: for<'r> fn(&'r mut Rooms) -> BoxFuture<'r, Done>,
}

fn done<T, E: std::fmt::Debug>(result: Result<T, E>) -> Done {
    result.map(drop).map_err(|error| format!("{error:?}"))
}

fn default_queue() -> QueueName {
    QueueName::new("default").expect("a name")
}

fn noop() -> NewJob {
    NewJob::new(name("noop"))
}

/// The verdict on three jobs, sorted as the completer sorts it.
fn batch(verdict: &Verdict, kept: Retentions) -> Batch {
    let failed = || FailedAttempt { cause: Cause::Failed, error: JobError::new("failed") };
    let settled = IDS.map(|job| Settled {
        lease: Lease { job, token: 1, holder: HOLDER },
        place: None,
        queue: default_queue(),
        kind: None,
        origin: None,
        span: None,
        verdict: verdict.clone(),
        failure: matches!(verdict, Verdict::Retry { .. }).then(failed),
        attempt: 1,
        charged: true,
        took: Some(Duration::ZERO),
        metrics: None,
        keeps: None,
    });
    Batch::sort(settled, &HashMap::from([(default_queue(), kept)]))
}

fn completing(kept: Retentions) -> Batch {
    batch(&Verdict::Complete { result: None }, kept)
}

fn retrying() -> Batch {
    batch(&Verdict::Retry { delay: Duration::from_mins(1) }, Retentions::default())
}

fn releasing() -> Batch {
    batch(&Verdict::Release, Retentions::default())
}

fn forgetful() -> Retentions {
    let none = Retention::None;
    Retentions { completed: none, cancelled: none, discarded: none }
}

async fn claim(rooms: &mut Rooms) -> Done {
    let request = ClaimRequest {
        holder: HOLDER,
        queue: default_queue(),
        kinds: [name("noop")].into(),
        probe: Probe { levels: LEVELS.to_vec(), marks: vec![0; LEVELS.len()], is_sweep: true },
        most: 10,
        in_turn: false,
        halt: CancellationToken::new(),
    };
    done(rooms.claims.claim(&request).await)
}

async fn copy(rooms: &mut Rooms) -> Done {
    let mut sink = EnqueueSink::begin(&mut rooms.operations).await.map_err(|e| e.to_string())?;
    for _ in 0..3 {
        sink.push(&noop()).await.map_err(|e| e.to_string())?;
    }
    done(sink.finish().await)
}

/// What every round starts from.
pub(super) const NOTHING: &str = "DELETE FROM legwork.job; DELETE FROM legwork.finished;
    DELETE FROM legwork.failed_attempt; DELETE FROM legwork.queue; DELETE FROM legwork.daemon;
    INSERT INTO legwork.daemon (id, expires_at) VALUES (7, clock_timestamp() + interval '1 s')";
/// Three jobs that wait.
const WAITING: &str = "INSERT INTO legwork.job (id, kind) OVERRIDING SYSTEM VALUE
    SELECT i, 'noop' FROM generate_series(1, 3) i";
/// Three jobs that run.
const HELD: &str = "INSERT INTO legwork.job (id, kind, holder, token) OVERRIDING SYSTEM VALUE
    SELECT i, 'noop', 7, 1 FROM generate_series(1, 3) i";
/// Three jobs that have ended.
const ENDED: &str = "INSERT INTO legwork.job (id, kind) OVERRIDING SYSTEM VALUE
    SELECT i, 'noop' FROM generate_series(1, 3) i; SELECT legwork.cancel(id) FROM legwork.job";
const PAUSED: &str = "SELECT legwork.pause('default')";
const DUE_BY_NOW: &str = "INSERT INTO legwork.job (kind, run_at, ready_at)
    SELECT 'noop', now() - interval '1 min', now() - interval '1 h' FROM generate_series(1, 3)";
const EXPIRED: &str = "UPDATE legwork.daemon SET expires_at = now() - interval '1 h'";
const DEAD_FOR_LONG: &str = "UPDATE legwork.daemon SET died_at = now() - interval '1 day'";
const SILENT: &str = "SELECT setval('legwork.doorbell', 0)";
const RINGING: &str = "SELECT setval('legwork.doorbell', 7258118400)";
const AN_OLD_DAY: &str = "SELECT legwork.make_partitions('2020-05-01', '2020-05-01')";
/// Beyond the 36 that migrating makes.
const NO_DAYS_AHEAD: &str = "DO $do$ DECLARE part text; BEGIN
    FOR part IN SELECT c.oid::regclass FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'
        AND right(c.relname, 8) > to_char(now() AT TIME ZONE 'UTC' + interval '36 days', 'YYYYMMDD')
    LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END $do$";

/// Where the jobs are, who holds them, what was counted.
const JOBS: &str =
    "SELECT format('%s live, %s held, %s claims, %s charged, %s finished, %s failed',
    count(*), count(holder), coalesce(sum(token), 0), coalesce(sum(attempt), 0),
    (SELECT count(*) FROM legwork.finished), (SELECT count(*) FROM legwork.failed_attempt))
    FROM legwork.job";
const DUE: &str = "SELECT count(*)::text FROM legwork.job WHERE run_at <= ready_at";
const DAEMON: &str = "SELECT format('%s daemons, renewed %s, died %s', count(*),
    max(expires_at) > clock_timestamp() + interval '10 s', count(died_at)) FROM legwork.daemon";
const QUEUE: &str = "SELECT coalesce(max(paused::text || coalesce(reason, '')), 'none')
    FROM legwork.queue";
const DAYS: &str = "SELECT (max(right(relname, 8))
        > to_char(now() AT TIME ZONE 'UTC' + interval '37 days', 'YYYYMMDD'))::text
    FROM pg_class WHERE relispartition AND relkind = 'r'";
const OLD_DAY: &str = "SELECT coalesce(max(relname), 'gone') FROM pg_class
    WHERE relname = 'finished_20200501'";
const BELL: &str =
    "SELECT (to_timestamp(last_value) > clock_timestamp())::text FROM legwork.doorbell";

const THREE_WAIT: &str = "3 live, 0 held, 0 claims, 0 charged, 0 finished, 0 failed";
const THREE_HELD: &str = "3 live, 3 held, 3 claims, 0 charged, 0 finished, 0 failed";
const THREE_FINISHED: &str = "0 live, 0 held, 0 claims, 0 charged, 3 finished, 0 failed";
const ONE_WAITS: &str = "1 live, 0 held, 0 claims, 0 charged, 0 finished, 0 failed";
const NONE: &str = "0 live, 0 held, 0 claims, 0 charged, 0 finished, 0 failed";

/// All of them.
#[rustfmt::skip]
pub(super) const OPERATIONS: &[Writes] = &[
    Writes { name: "a claim", arrange: WAITING, told: JOBS, before: THREE_WAIT, after: THREE_HELD,
        run: |r| claim(r).boxed() },
    Writes { name: "a completion", arrange: HELD, told: JOBS, before: THREE_HELD, after: THREE_FINISHED,
        run: |r| async { done(r.outcomes.finish(&completing(Retentions::default()).finals).await) }.boxed() },
    Writes { name: "a completion without history", arrange: HELD, told: JOBS, before: THREE_HELD, after: NONE,
        run: |r| async { done(r.outcomes.finish(&completing(forgetful()).finals).await) }.boxed() },
    Writes { name: "a retry", arrange: HELD, told: JOBS, before: THREE_HELD, after: "3 live, 0 held, 3 claims, 3 charged, 0 finished, 0 failed",
        run: |r| async { done(r.outcomes.put_back(&retrying().backs).await) }.boxed() },
    Writes { name: "records of failed attempts", arrange: HELD, told: JOBS, before: THREE_HELD, after: "3 live, 3 held, 3 claims, 0 charged, 0 finished, 3 failed",
        run: |r| async { done(r.outcomes.record(&retrying().failures).await) }.boxed() },
    Writes { name: "a release", arrange: HELD, told: JOBS, before: THREE_HELD, after: "3 live, 0 held, 3 claims, 0 charged, 0 finished, 0 failed",
        run: |r| async { done(r.outcomes.release(&releasing().releases).await) }.boxed() },
    Writes { name: "a registration", arrange: "", told: DAEMON, before: "1 daemons, renewed f, died 0", after: "2 daemons, renewed t, died 0",
        run: |r| async { done(r.lease.register(9).await) }.boxed() },
    Writes { name: "a renewal", arrange: "", told: DAEMON, before: "1 daemons, renewed f, died 0", after: "1 daemons, renewed t, died 0",
        run: |r| async { done(r.lease.renew(HOLDER).await) }.boxed() },
    Writes { name: "a retirement", arrange: "", told: DAEMON, before: "1 daemons, renewed f, died 0", after: "1 daemons, renewed f, died 1",
        run: |r| async { done(r.lease.retire(HOLDER).await) }.boxed() },
    Writes { name: "a promotion", arrange: DUE_BY_NOW, told: DUE, before: "0", after: "3",
        run: |r| async { done(r.upkeep.promote(RunTime(0.0)).await) }.boxed() },
    Writes { name: "a promotion taken apart", arrange: DUE_BY_NOW, told: DUE, before: "0", after: "3",
        run: |r| async { done(r.upkeep.promote_apart(RunTime(0.0)).await) }.boxed() },
    Writes { name: "a declaration of death", arrange: EXPIRED, told: DAEMON, before: "1 daemons, renewed f, died 0", after: "1 daemons, renewed f, died 1",
        run: |r| async { done(r.upkeep.declare_dead(Duration::ZERO).await) }.boxed() },
    Writes { name: "a rescue", arrange: HELD, told: JOBS, before: THREE_HELD, after: "3 live, 0 held, 3 claims, 3 charged, 0 finished, 3 failed",
        run: |r| async { done(r.upkeep.rescue(HOLDER).await) }.boxed() },
    Writes { name: "a rescue taken apart", arrange: HELD, told: JOBS, before: THREE_HELD, after: "3 live, 0 held, 3 claims, 3 charged, 0 finished, 3 failed",
        run: |r| async { done(r.upkeep.rescue_apart(HOLDER).await) }.boxed() },
    Writes { name: "forgetting a daemon", arrange: DEAD_FOR_LONG, told: DAEMON, before: "1 daemons, renewed f, died 1", after: "0 daemons, renewed , died 0",
        run: |r| async { done(r.upkeep.forget().await) }.boxed() },
    Writes { name: "a doorbell on", arrange: SILENT, told: BELL, before: "false", after: "true",
        run: |r| async { done(r.upkeep.extend_doorbell(Duration::from_mins(1)).await) }.boxed() },
    Writes { name: "a doorbell off", arrange: RINGING, told: BELL, before: "true", after: "false",
        run: |r| async { done(r.upkeep.silence_doorbell().await) }.boxed() },
    Writes { name: "publishing a queue", arrange: "", told: QUEUE, before: "none", after: "false",
        run: |r| async { done(r.upkeep.publish(&default_queue(), Retentions::default()).await) }.boxed() },
    Writes { name: "making days", arrange: NO_DAYS_AHEAD, told: DAYS, before: "false", after: "true",
        run: |r| async { done(r.upkeep.make_partitions(40).await) }.boxed() },
    Writes { name: "dropping a day", arrange: AN_OLD_DAY, told: OLD_DAY, before: "finished_20200501", after: "gone",
        run: |r| async { done(r.upkeep.drop_partition("finished_20200501".into()).await) }.boxed() },
    Writes { name: "an operator's job", arrange: "", told: JOBS, before: NONE, after: ONE_WAITS,
        run: |r| async { done(operations::enqueue_job(&mut r.operations, &noop(), None).await) }.boxed() },
    Writes { name: "an operator's cancel", arrange: WAITING, told: JOBS, before: THREE_WAIT, after: THREE_FINISHED,
        run: |r| async { done(operations::cancel_jobs(&mut r.operations, &IDS, &Asker::default()).await) }.boxed() },
    Writes { name: "an operator's retry", arrange: ENDED, told: JOBS, before: THREE_FINISHED, after: THREE_WAIT,
        run: |r| async { done(operations::retry_jobs(&mut r.operations, &IDS, &Asker::default()).await) }.boxed() },
    Writes { name: "an operator's discard", arrange: WAITING, told: JOBS, before: THREE_WAIT, after: THREE_FINISHED,
        run: |r| async { done(operations::discard_jobs(&mut r.operations, &IDS, &Asker::default()).await) }.boxed() },
    Writes { name: "an operator's snooze", arrange: WAITING, told: DUE, before: "3", after: "0",
        run: |r| async { done(operations::snooze_jobs(&mut r.operations, &IDS, Duration::from_hours(1), &Asker::default()).await) }.boxed() },
    Writes { name: "an operator's pause", arrange: "", told: QUEUE, before: "none", after: "truewhy",
        run: |r| async { done(operations::pause_queue(&mut r.operations, &default_queue(), operations::End::Never, &because("why")).await) }.boxed() },
    Writes { name: "an operator's resume", arrange: PAUSED, told: QUEUE, before: "true", after: "false",
        run: |r| async { done(operations::resume_queue(&mut r.operations, &default_queue(), &Asker::default()).await) }.boxed() },
    Writes { name: "a COPY of jobs", arrange: "", told: JOBS, before: NONE, after: THREE_WAIT,
        run: |r| copy(r).boxed() },
    Writes { name: "the demo's jobs", arrange: "", told: JOBS, before: NONE, after: THREE_WAIT,
        run: |r| async { done(r.observer.enqueue(vec![noop(); 3]).await) }.boxed() },
    Writes { name: "the demo's cancel", arrange: WAITING, told: JOBS, before: THREE_WAIT, after: "2 live, 0 held, 0 claims, 0 charged, 1 finished, 0 failed",
        run: |r| async { done(r.observer.cancel(1).await) }.boxed() },
    Writes { name: "the benchmark's jobs", arrange: "", told: JOBS, before: NONE, after: THREE_WAIT,
        run: |r| async { done(r.bench.preload(&noop(), 0..3, |_| {}).await) }.boxed() },
    Writes { name: "the benchmark's insert", arrange: "", told: JOBS, before: NONE, after: ONE_WAITS,
        run: |r| async { done(r.bench.insert(1).await) }.boxed() },
    Writes { name: "the benchmark's pause", arrange: "", told: QUEUE, before: "none", after: "truea benchmark",
        run: |r| async { done(r.bench.pause(&default_queue()).await) }.boxed() },
];
