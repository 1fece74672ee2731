//! Ends of jobs whose statement gets no answer: whoever follows the daemon hears that a job is done exactly if it is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use std::time::Duration;

use legwork::completer::{
    Back, Completer, Failure, Final, Links, OutcomeSink, Settled, SinkError, Verdicts,
    verdict_channel,
};
use legwork::config::{Database, DatabaseUrl, Settings};
use legwork::job::{JobId, Lease, Verdict};
use legwork::postgres::{Connector, Held, PostgresClaims, PostgresOutcomes};
use legwork::supervise::{ExitPolicy, Supervisor};
use legwork::telemetry::health::Health;
use legwork::telemetry::metrics::Metrics;
use rstest::rstest;
use sqlx::{Executor, PgConnection};
use tokio::time::Instant;

use super::fences::{HOLDER, claim, connector, register, settled};
use super::{history, insert};
use crate::support::{self, PATIENCE, Proxy};

/// A completer on a network that can be cut, and whose verdicts it found to be too late.
struct Behind {
    proxy: Proxy,
    supervisor: Supervisor,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    late: Arc<Mutex<Vec<Lease>>>,
    verdicts: Verdicts,
}

impl Behind {
    async fn start(url: &str, held: Arc<Held>) -> Self {
        let proxy = Proxy::before(url).await;
        let (metrics, health) = (Arc::new(Metrics::default()), Health::new(PATIENCE));
        let supervisor = Supervisor::shown_in(&metrics);
        let late = Arc::<Mutex<Vec<Lease>>>::default();
        let told = Arc::clone(&late);
        let links = Links {
            metrics: Arc::clone(&metrics),
            check: health.check("flush"),
            came_back: Arc::new(|| {}),
            is_ours: Arc::new(|_| true),
            late: Arc::new(move |lease| {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
            }),
        };
        let (verdicts, inbox) = verdict_channel();
        let settings =
            (Settings::default().complete, tokio::sync::watch::Sender::default().subscribe());
        let sink = PostgresOutcomes::new(impatient(proxy.url()), held);
        let completer = Arc::new(Completer::new(sink, inbox, settings, links));
        supervisor.spawn("completer", ExitPolicy::Restart, move || Arc::clone(&completer).run());
        Self { proxy, supervisor, health, metrics, late, verdicts }
    }

    async fn fails(&self) {
        support::eventually("a verdict can't be written", async || {
            self.health.checks().iter().any(|check| check.failing.is_some())
        })
        .await;
    }

    /// Ends it, once all that it got is written; gives what was too late.
    async fn end(self) -> Vec<JobId> {
        drop(self.verdicts);
        let until = Instant::now() + PATIENCE;
        assert!(self.supervisor.ended("completer", until).await, "it is done");
        let text = self.metrics.render();
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counted = format!(
            "legwork_late_results_total{{op=\"finish\",reason=\"lease_lost\"}} {}",
            late.len()
        );
        assert!(text.contains(&counted), "{text}");
        late.iter().map(|lease| lease.job).collect()
    }
}

/// Gives a statement up soon.
fn impatient(url: &str) -> Connector {
    let database = Database {
        url: Some(DatabaseUrl::new(url)),
        statement_timeout: Duration::from_secs(1),
        ..Settings::default().database
    };
    let url = database.url.clone().expect("it was just given");
    Connector::new(&url, &database).expect("the address can be read")
}

/// Another daemon takes the job, as after this one's lease was lost.
async fn taken(session: &mut PgConnection, job: JobId) {
    let take = "UPDATE legwork.job SET holder = 1, token = token + 1 WHERE id = $1";
    sqlx::query(take).bind(job.0).execute(session).await.expect("Postgres answers");
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// There is no session yet.
    Connect,
    /// The statement doesn't arrive.
    Statement,
    /// The statement is done, and its answer is lost.
    Answer,
}

#[rstest]
#[case::for_want_of_a_session(Cut::Connect)]
#[case::on_its_way(Cut::Statement)]
#[case::on_its_way_back(Cut::Answer)]
fn an_end_without_an_answer_is_told_as_late_exactly_if_somebody_else_has_the_job(#[case] cut: Cut) {
    support::run(async move |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let held = Arc::new(Held::default());
        let claims = PostgresClaims::new(connector(&db), Arc::clone(&held));
        let behind = Behind::start(&db.url(), held).await;
        let complete = async |id| {
            let job = claim(&claims).await;
            assert_eq!(job.lease.job.0, id);
            behind.verdicts.settle(settled(&job, Verdict::Complete { result: None }), ()).await;
            job.lease.job
        };
        if cut == Cut::Answer {
            let before = insert(&pool, "fenced").await;
            complete(before).await;
            assert_eq!(history(&pool, before).await.outcome, "completed");
        }
        match cut {
            Cut::Connect => behind.proxy.blackhole(),
            Cut::Statement => behind.proxy.swallow("INSERT INTO legwork.finished"),
            Cut::Answer => behind.proxy.mute(),
        }
        let id = insert(&pool, "fenced").await;
        let job = complete(id).await;
        if cut == Cut::Answer {
            assert_eq!(history(&pool, id).await.outcome, "completed");
            assert_eq!(behind.end().await, [], "it counts, though nobody was told so");
        } else {
            // Taken before the verdict can be tried again, and seen to be taken once it can't be written.
            let mut taking = pool.begin().await.expect("Postgres answers");
            taken(&mut taking, job).await;
            behind.fails().await;
            taking.commit().await.expect("Postgres answers");
            behind.proxy.heal();
            assert_eq!(behind.end().await, [job], "another daemon has it");
        }
        drop(claims);
        pool.close().await;
    });
}

/// Where a job can stand by then, whose lease was (id, 2, 4711): how, a row, and whether somebody else must have had it.
const STANDS: [(&str, &str, bool); 13] = [
    (
        "ours still",
        "INSERT INTO legwork.job (id, kind, token, holder) OVERRIDING SYSTEM VALUE VALUES (1, 'k', 2, 4711)",
        false,
    ),
    (
        "another's",
        "INSERT INTO legwork.job (id, kind, token, holder) OVERRIDING SYSTEM VALUE VALUES (2, 'k', 3, 1)",
        true,
    ),
    (
        "rescued",
        "INSERT INTO legwork.job (id, kind, token, rescues) OVERRIDING SYSTEM VALUE VALUES (3, 'k', 2, 1)",
        true,
    ),
    (
        "retried from history",
        "INSERT INTO legwork.job (id, kind, token) OVERRIDING SYSTEM VALUE VALUES (4, 'k', 2)",
        false,
    ),
    (
        "rescued and failed",
        "INSERT INTO legwork.job (id, kind, token, attempt) OVERRIDING SYSTEM VALUE VALUES (5, 'k', 3, 1)",
        true,
    ),
    (
        "ended by us",
        "INSERT INTO legwork.finished SELECT (f).* FROM public.ended(6, 2, 4711) f",
        false,
    ),
    (
        "ended by another",
        "INSERT INTO legwork.finished SELECT (f).* FROM public.ended(7, 3, 1) f",
        true,
    ),
    ("nowhere, since nothing is kept", "SELECT 8", false),
    (
        "given back with an attempt behind it",
        "INSERT INTO legwork.job (id, kind, token, attempt) OVERRIDING SYSTEM VALUE VALUES (9, 'k', 2, 1)",
        true,
    ),
    (
        "ours again, after another had it",
        "INSERT INTO legwork.job (id, kind, token, holder) OVERRIDING SYSTEM VALUE VALUES (10, 'k', 4, 4711)",
        true,
    ),
    (
        "ended by us, after another had it",
        "INSERT INTO legwork.finished SELECT (f).* FROM public.ended(11, 4, 4711) f",
        true,
    ),
    (
        "ended by another, and retried from history",
        "INSERT INTO legwork.job (id, kind, token) OVERRIDING SYSTEM VALUE VALUES (12, 'k', 3)",
        true,
    ),
    (
        "another's under our token",
        "INSERT INTO legwork.job (id, kind, token, holder) OVERRIDING SYSTEM VALUE VALUES (13, 'k', 2, 1)",
        true,
    ),
];

/// A row of history.
const ENDED: &str = "SELECT legwork.make_partitions(current_date, current_date);
    CREATE FUNCTION public.ended(id bigint, token bigint, holder bigint) RETURNS legwork.finished LANGUAGE sql
    AS $$ SELECT jsonb_populate_record(NULL::legwork.finished, jsonb_build_object('id', id, 'token', token,
        'holder', holder, 'run_at', now(), 'created_at', now(), 'finished_at', now(), 'drop_after', current_date,
        'outcome', 'completed', 'priority', 0, 'attempt', 1, 'rescues', 0, 'snoozes', 0, 'queue', 'default',
        'kind', 'k', 'payload', '{}'::jsonb)) $$";

#[test]
fn whose_job_somebody_else_had_is_told_by_where_it_stands() {
    support::run(async |db| {
        let pool = db.pool().await;
        register(&pool).await;
        let other =
            "INSERT INTO legwork.daemon (id, expires_at) VALUES (1, now() + interval '1 h')";
        pool.execute(other).await.expect("Postgres answers");
        pool.execute(sqlx::raw_sql(ENDED)).await.expect("Postgres answers");
        for (stands, row, _) in STANDS {
            pool.execute(row).await.unwrap_or_else(|error| panic!("{stands}: {error}"));
        }
        let lease = |job| Lease { job: JobId(job), token: 2, holder: HOLDER };
        let leases: Vec<_> = (1..).zip(STANDS).map(|(job, _)| lease(job)).collect();
        let sink = PostgresOutcomes::new(connector(&db), Arc::default());
        let mut taken = sink.taken(&leases).await.expect("it is answered");
        taken.sort();
        let told: Vec<_> = (1..).zip(STANDS).filter(|(_, (_, _, taken))| *taken).collect();
        let expected: Vec<_> = told.iter().map(|(job, _)| JobId(*job)).collect();
        assert_eq!(taken, expected, "{told:?}");
        pool.close().await;
    });
}

/// Breaks off amid the first end, and won't say whose jobs they were: by this, or not before it is given up.
struct Mum {
    broke: AtomicBool,
    asked: Arc<AtomicBool>,
    why: fn() -> SinkError,
}

impl OutcomeSink for Mum {
    async fn finish(&self, _: &[Final]) -> Result<Vec<JobId>, SinkError> {
        let lost = || SinkError::Unavailable { sent: true, source: "it broke off".into() };
        if self.broke.swap(true, Relaxed) { Ok(Vec::new()) } else { Err(lost()) }
    }
    async fn taken(&self, _: &[Lease]) -> Result<Vec<JobId>, SinkError> {
        self.asked.store(true, Relaxed);
        Err((self.why)())
    }
    async fn record(&self, _: &[Failure]) -> Result<(), SinkError> {
        Ok(())
    }
    async fn put_back(&self, _: &[Back]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }
    async fn release(&self, _: &[Settled]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }
    async fn locked(&self, _: &[JobId]) -> Result<Vec<JobId>, SinkError> {
        Ok(Vec::new())
    }
}

#[rstest]
#[case::it_is_refused(|| SinkError::Refused("no right".into()))]
#[case::it_is_stuck(|| SinkError::Stuck("too slow".into()))]
#[case::it_is_away_until_it_is_given_up(|| SinkError::Unavailable { sent: false, source: "away".into() })]
#[tokio::test(start_paused = true)]
async fn where_nobody_says_whose_job_it_was_its_end_counts(#[case] why: fn() -> SinkError) {
    let (late, (verdicts, inbox)) = (Arc::new(AtomicBool::new(false)), verdict_channel());
    let told = Arc::clone(&late);
    let links = Links {
        metrics: Arc::default(),
        check: Health::new(PATIENCE).check("flush"),
        came_back: Arc::new(|| {}),
        is_ours: Arc::new(|_| true),
        late: Arc::new(move |_| told.store(true, Relaxed)),
    };
    let metrics = Arc::clone(&links.metrics);
    let settings =
        (Settings::default().complete, tokio::sync::watch::Sender::default().subscribe());
    let asked = Arc::new(AtomicBool::new(false));
    let sink = Mum { broke: AtomicBool::new(false), asked: Arc::clone(&asked), why };
    let completer = Completer::new(sink, inbox, settings, links);
    let give_up = completer.give_up();
    let lease = Lease { job: JobId(1), token: 2, holder: HOLDER };
    let job = legwork::job::ClaimedJob::new(
        lease,
        legwork::job::QueueName::new("q").expect("a name"),
        legwork::job::KindName::new("k").expect("a name"),
        "{}",
    );
    verdicts.settle(settled(&job, Verdict::Complete { result: None }), ()).await;
    drop(verdicts);
    let ends = async {
        // In time that is paused: it passes once nobody has anything left to do.
        tokio::time::sleep(PATIENCE).await;
        give_up.cancel();
    };
    tokio::join!(Arc::new(completer).run(), ends);
    let page = metrics.render();
    assert!(asked.load(Relaxed) && !late.load(Relaxed), "{page}");
    let mut late = page.lines().filter(|line| line.starts_with("legwork_late_results_total{"));
    assert!(late.all(|line| line.ends_with(" 0")), "{page}");
}
