//! Everything on the metrics page is there and says something: a name in the catalogue that nothing
//! sets is a lie to whoever builds an alert on it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use legwork::postgres::migrate::EXPECTED_VERSION;
use legwork::telemetry::metrics::{CATALOGUE, Definition, Shape};
use nix::sys::signal::Signal;
use sqlx::postgres::PgPool;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{Configuration, Notebook, SLACK, becomes, count, enqueue, enqueue_many};
use crate::support::{self, Daemon, Proxy, http, judge::judge};

/// Those that rightly say nothing in [`every_metric_is_there_and_says_something`], and why.
const SILENT: [(&str, &str); 18] = [
    ("legwork_spans_total", "nobody is there to take spans: traces"),
    ("legwork_http_handler_requests_total", "no request is made here: receivers::journey"),
    ("legwork_http_handler_duration_seconds", "no request is made here: receivers::journey"),
    ("legwork_circuit_state", "no receiver fails here: receivers::circuit"),
    ("legwork_job_panics_total", "no built-in handler panics: pipeline::counts"),
    ("legwork_rescues_total", "no daemon dies here: process::death"),
    ("legwork_late_results_total", "no lease is lost here: process::death"),
    ("legwork_worker_restarts_total", "no task fails here: supervise::tests"),
    ("legwork_unsupervised_tasks", "0 is what should be: supervise::tests"),
    ("legwork_admin_refused_total", "nobody is refused here: tokens, admin::tests::asked"),
    ("legwork_admin_connections_cut_total", "nobody is cut here: admin::tests::cut, traps::port"),
    ("legwork_allocator_retained_bytes", "may be 0: heap"),
    ("legwork_log_lines_dropped_total", "the output is read here: telemetry::logs::writer::tests"),
    ("legwork_channel_depth", "a moment's, before a worker comes: worker::handoff::tests"),
    ("legwork_flush_pending_rows", "a moment's: pipeline::counts"),
    ("legwork_jobs_enqueued_total", "no schedule fires here: schedules::rules"),
    ("legwork_schedule_skips_total", "no schedule fires here: schedules::rules"),
    ("tokio_global_queue_depth", "a moment's, and the runtime's own figure"),
];

/// A page of metrics, by series.
struct Page(BTreeMap<String, f64>);

impl Page {
    async fn of(daemon: &Daemon) -> Self {
        let (status, text) = daemon.get("/metrics").await;
        assert_eq!(status, 200);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        let number = |value: &str| value.parse().expect("a value is a number");
        Self(series.map(|(name, value)| (name.to_owned(), number(value))).collect())
    }

    /// The values of a metric's series; of a histogram, how much was counted.
    fn of_metric(&self, metric: &Definition) -> Vec<f64> {
        let histogram = matches!(metric.shape, Shape::Histogram(_));
        let wanted = format!("{}{}", metric.name, if histogram { "_count" } else { "" });
        let is_it = |series: &str| series.split('{').next() == Some(wanted.as_str());
        self.0.iter().filter(|(series, _)| is_it(series)).map(|(_, value)| *value).collect()
    }

    /// What is wrong with these series, as text.
    fn differs(&self, expected: &[(&str, f64)]) -> Vec<String> {
        let differs = |(series, value): &&(&str, f64)| {
            self.0.get(*series).is_none_or(|found| (found - value).abs() > f64::EPSILON)
        };
        let shown = |(series, value): &(&str, f64)| {
            format!("{series} is {:?} instead of {value}", self.0.get(*series))
        };
        expected.iter().filter(differs).map(shown).collect()
    }
}

/// Kinds whose programs end in every way, and two limited or slow ones.
fn kinds(notebook: &Notebook) -> Vec<String> {
    let never_again = "backoff = { base = '1h', max = '1h' }";
    vec![
        "[[queue]]\nname = 'default'\n[[queue]]\nname = 'quiet'\n".to_owned(),
        "[canary]\nenabled = true\n".to_owned(),
        "[tracing]\notlp_endpoint = 'http://127.0.0.1:9'\n".to_owned(),
        "[[kind]]\nname = 'quick'\nhandler = 'noop'\n".to_owned(),
        "[[kind]]\nname = 'limited'\nhandler = 'noop'\nrate_limit = '4/s'\n".to_owned(),
        // A port that nobody listens on.
        "[[kind]]\nname = 'hook'\nhandler = 'http'\nurl = 'http://127.0.0.1:9/'\n\
         allow_hosts = ['127.0.0.1']\nmax_attempts = 1\n"
            .to_owned(),
        "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'quick'\n".to_owned(),
        notebook.kind("fails", "exit 1", never_again),
        notebook.kind("bad", "exit 65", ""),
        notebook.kind("hangs", "exec sleep 60", &format!("timeout = '200ms'\n{never_again}")),
        notebook.kind(
            "patient",
            "echo started >> notes\nwhile [ ! -e go ]; do sleep 0.02; done",
            "",
        ),
    ]
}

/// What is in the database before the daemon starts, so that its first look at it finds it.
async fn prepare(pool: &PgPool) {
    let statements = [
        "SELECT legwork.pause('quiet')",
        "INSERT INTO legwork.job (queue, kind) VALUES ('quiet', 'quick')",
        "INSERT INTO legwork.job (kind) SELECT 'stranger' FROM generate_series(1, 2)",
        "INSERT INTO legwork.job (queue, kind) VALUES ('elsewhere', 'quick')",
        "INSERT INTO legwork.job (kind, run_at) SELECT 'quick', now() + interval '1 hour'
         FROM generate_series(1, 3)",
        "INSERT INTO legwork.job (queue, kind, run_at) VALUES ('quiet', 'later', now() + interval '1 day')",
        "UPDATE legwork.job SET attempt = 1 WHERE kind = 'later'",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.expect("a job can be prepared");
    }
}

/// What the page says once everything has happened, from first to last.
#[rustfmt::skip]
fn expected() -> Vec<(&'static str, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "a schema has few versions")]
    let version = EXPECTED_VERSION as f64;
    vec![
        (r#"legwork_jobs_finished_total{queue="default",kind="quick",outcome="completed"}"#, 5.0),
        (r#"legwork_jobs_finished_total{queue="default",kind="fails",outcome="retried"}"#, 15.0),
        (r#"legwork_jobs_finished_total{queue="default",kind="bad",outcome="discarded"}"#, 1.0),
        (r#"legwork_jobs_finished_total{queue="default",kind="hangs",outcome="timed_out"}"#, 1.0),
        (r#"legwork_job_attempts_sum{queue="default",kind="quick"}"#, 5.0),
        (r#"legwork_jobs_in_flight{queue="default",kind="patient"}"#, 1.0),
        (r#"legwork_jobs_in_flight{queue="default",kind="quick"}"#, 0.0),
        (r#"legwork_workers{queue="default",state="busy"}"#, 1.0),
        (r#"legwork_workers{queue="default",state="stopping"}"#, 0.0),
        (r#"legwork_command_exits_total{kind="fails",code="other"}"#, 15.0),
        (r#"legwork_command_exits_total{kind="bad",code="65"}"#, 1.0),
        (r#"legwork_command_exits_total{kind="hangs",code="timeout"}"#, 1.0),
        (r#"legwork_rate_limit_wait_seconds_count{limiter="kind:limited"}"#, 2.0),
        (r#"legwork_canary_roundtrip_seconds_count{queue="default"}"#, 1.0),
        ("legwork_unserved_jobs", 3.0),
        (r#"legwork_queue_jobs{queue="default",state="available"}"#, 2.0),
        (r#"legwork_queue_jobs{queue="default",state="scheduled"}"#, 3.0),
        (r#"legwork_queue_jobs{queue="quiet",state="retryable"}"#, 1.0),
        (r#"legwork_queue_jobs{queue="quiet",state="available"}"#, 1.0),
        (r#"legwork_queue_paused{queue="quiet"}"#, 1.0),
        (r#"legwork_queue_paused{queue="default"}"#, 0.0),
        ("legwork_listener_connected", 1.0),
        (r#"legwork_db_connections{role="claim",state="connected"}"#, 1.0),
        (r#"legwork_db_connections{role="completer",state="connected"}"#, 1.0),
        (r#"legwork_db_connections{role="heartbeat",state="connected"}"#, 1.0),
        (r#"legwork_db_connections{role="listener",state="connected"}"#, 1.0),
        (r#"legwork_db_connections{role="maintenance",state="connected"}"#, 1.0),
        (r#"legwork_db_connections{role="survey",state="connected"}"#, 1.0),
        (r#"legwork_supervised_tasks{component="completer"}"#, 1.0),
        (r#"legwork_supervised_tasks{component="claimer"}"#, 4.0),
        ("legwork_unsupervised_tasks", 0.0),
        ("legwork_flush_pending_rows", 0.0),
        ("legwork_schema_version", version),
        ("legwork_schema_version_expected", version),
        ("legwork_draining", 0.0),
        (r#"legwork_http_requests_in_flight{method="GET",path="/metrics"}"#, 1.0),
    ]
}

/// What Prometheus' own tool says of a page. Where it isn't at hand the catalogue's test of the same rules is
/// what there is: `telemetry::metrics::tests`.
async fn complaints(page: &str) -> String {
    let Some(mut command) = judge("promtool") else { return String::new() };
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool runs");
    let mut input = promtool.stdin.take().expect("stdin is a pipe");
    input.write_all(page.as_bytes()).await.expect("it reads");
    drop(input);
    let said = promtool.wait_with_output().await.expect("it ends");
    let words = [said.stdout, said.stderr].concat();
    String::from_utf8_lossy(&words).into_owned()
}

/// Ends the claim's session, so that its next statement fails.
async fn break_the_claim(pool: &PgPool) {
    let statement = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'legwork claim'";
    let ended = sqlx::query_scalar(statement).fetch_one(pool).await;
    let ended: i64 = ended.expect("sessions can be ended");
    assert_eq!(ended, 1);
}

#[test]
fn every_metric_is_there_and_says_something() {
    support::run(async |db| {
        let pool = db.pool().await;
        prepare(&pool).await;
        let notebook = Notebook::new();
        let (url, kinds) = (db.url(), kinds(&notebook));
        let mut daemon = Daemon::start(&Configuration::of(&url, &kinds).text()).await;
        enqueue_many(&pool, "quick", 5).await;
        enqueue_many(&pool, "limited", 2).await;
        enqueue_many(&pool, "fails", 15).await;
        let [bad, hook, hangs, patient] = [
            enqueue(&pool, "bad").await,
            enqueue(&pool, "hook").await,
            enqueue(&pool, "hangs").await,
            enqueue(&pool, "patient").await,
        ];
        becomes(&pool, bad, "discarded").await;
        becomes(&pool, hook, "discarded").await;
        becomes(&pool, hangs, "retryable").await;
        notebook.says("started").await;
        support::eventually("the limited jobs are completed", async || {
            count(&pool, "limited", "completed").await == 2
        })
        .await;

        let mut differs = vec!["nothing was looked at".to_owned()];
        let settled = support::holds_within(support::PATIENCE, async || {
            differs = Page::of(&daemon).await.differs(&expected());
            differs.is_empty()
        });
        let settled = settled.await;
        assert!(settled, "{differs:#?}");
        break_the_claim(&pool).await;
        support::eventually("the failure of its next statement is counted", async || {
            daemon.metric("legwork_db_errors_total", &[]).await >= 1.0
        })
        .await;
        let working = Page::of(&daemon).await;
        let (_, page) = daemon.get("/metrics").await;
        assert_eq!(complaints(&page).await, "");

        daemon.signal(Signal::SIGTERM);
        support::eventually("the daemon drains", async || {
            daemon.metric("legwork_draining", &[]).await >= 1.0
        })
        .await;
        let draining = Page::of(&daemon).await;
        let said = |metric: &&Definition| {
            let of = |page: &Page| page.of_metric(metric).iter().any(|value| *value != 0.0);
            of(&working) || of(&draining)
        };
        let is_there = |metric: &&Definition| !working.of_metric(metric).is_empty();
        let names = |metrics: Vec<&Definition>| metrics.iter().map(|m| m.name).collect::<Vec<_>>();
        let missing = names(CATALOGUE.iter().filter(|metric| !is_there(metric)).collect());
        assert!(missing.is_empty(), "nothing emits {missing:?}");
        let silent = |metric: &Definition| SILENT.iter().any(|(name, _why)| *name == metric.name);
        let mute = names(CATALOGUE.iter().filter(|m| !said(m) && !silent(m)).collect());
        assert!(mute.is_empty(), "nothing sets {mute:?}");

        notebook.allow("go");
        becomes(&pool, patient, "completed").await;
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn an_attempt_of_a_sampled_trace_is_the_exemplar_of_its_duration() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const OPEN: &str = "application/openmetrics-text;version=1.0.0";
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let insert = "INSERT INTO legwork.job (kind, metadata) VALUES ('noop',
            jsonb_build_object('traceparent', '00-' || $1 || '-00f067aa0ba902b7-01')) RETURNING id";
        let id: i64 = sqlx::query_scalar(insert).bind(TRACE).fetch_one(&pool).await.unwrap();
        becomes(&pool, id, "completed").await;
        let (head, page) = http::get_as(daemon.admin().await, "/metrics", OPEN).await;
        assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
        let linked: Vec<_> = page.lines().filter(|line| line.contains(TRACE)).collect();
        assert_eq!(linked.len(), 1, "{page}");
        let bucket = "legwork_job_duration_seconds_bucket{queue=\"default\",kind=\"noop\",le=";
        assert!(linked[0].starts_with(bucket), "{linked:?}");
        pool.close().await;
    });
}

/// Some scrapes, each of which has to be a whole page.
struct Scraped {
    /// What nine of ten took at most.
    took: Duration,
    /// How often the daemon asked the database something during them.
    asked: usize,
    /// The same of as long a stretch after each, without a scrape.
    asked_unasked: usize,
}

impl Scraped {
    async fn of(daemon: &Daemon, proxy: &Proxy, scrapes: usize) -> Self {
        let mut took = Vec::with_capacity(scrapes);
        let (mut asked, mut asked_unasked) = (0, 0);
        for _ in 0..scrapes {
            let (begun, before) = (Instant::now(), proxy.round_trips());
            let (status, page) = daemon.get("/metrics").await;
            let (elapsed, during) = (begun.elapsed(), proxy.round_trips());
            // As long as the scrape took, in which nobody scrapes.
            tokio::time::sleep(elapsed).await;
            asked += during - before;
            asked_unasked += proxy.round_trips() - during;
            took.push(elapsed);
            assert_eq!(status, 200);
            assert!(page.contains("legwork_queue_oldest_available_age_seconds{"), "{page}");
        }
        took.sort();
        Self { took: took[scrapes * 9 / 10], asked, asked_unasked }
    }
}

/// By which the port asks the database, and nothing else of the daemon: opened by the first request that does, and kept for a
/// minute.
async fn sessions_of_the_port(pool: &PgPool) -> i64 {
    let sessions = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'legwork admin'";
    sqlx::query_scalar(sessions).fetch_one(pool).await.expect("it is counted")
}

/// Within which a scrape is to be answered.
const PROMISED: Duration = Duration::from_millis(100);

#[test]
fn a_scrape_asks_the_database_nothing_and_is_answered_within_100_ms_while_that_says_nothing() {
    const SCRAPES: usize = 100;
    support::run(async |db| {
        let pool = db.pool().await;
        let proxy = Proxy::before(&db.url()).await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let configuration = Configuration::of(proxy.url(), &kinds).text();
        // What the daemon asks by itself is to be little beside the scrapes.
        let quiet = configuration.replace("[log]", "[claim]\npoll_interval = '1m'\n[log]");
        let daemon = Daemon::start(&quiet).await;
        support::eventually("the queues are counted", async || {
            daemon.metric("legwork_schema_version", &[]).await > 0.0
        })
        .await;
        let well = Scraped::of(&daemon, &proxy, SCRAPES).await;
        // However slow the machine is, what the daemon asks by itself falls on both alike.
        let Scraped { asked, asked_unasked, .. } = well;
        let most = asked_unasked + SCRAPES / 4;
        assert!(asked <= most, "{asked} questions during scrapes, {asked_unasked} between them");
        assert_eq!(sessions_of_the_port(&pool).await, 0, "a scrape had one");

        proxy.blackhole();
        let is_ready = async || daemon.get("/health/ready").await.0 == 200;
        support::eventually("the daemon knows of the outage", async || !is_ready().await).await;
        let cut_off = Scraped::of(&daemon, &proxy, SCRAPES).await.took;
        // A machine that is busy otherwise takes longer, before the outage as well; who waits for a deadline of the
        // database waits 2 s.
        let most = PROMISED.max(10 * well.took);
        assert!(cut_off <= most, "{cut_off:?} in the outage, {:?} before", well.took);
        proxy.heal();
        support::eventually("the outage is over", is_ready).await;
        assert_eq!(sessions_of_the_port(&pool).await, 0, "a scrape waited for one");

        // Whoever does ask has one.
        support::eventually("the port asks", async || daemon.get("/api/v1/queues").await.0 == 200)
            .await;
        assert_eq!(sessions_of_the_port(&pool).await, 1);
        let before = proxy.round_trips();
        for _ in 0..SCRAPES {
            assert_eq!(daemon.get("/api/v1/jobs").await.0, 200);
        }
        let asked = proxy.round_trips() - before;
        assert!(asked >= SCRAPES, "what {SCRAPES} requests ask is counted: {asked}");
        pool.close().await;
    });
}

#[test]
fn a_daemon_that_drains_answers_every_scrape_as_fast_as_before() {
    const SCRAPES: usize = 20;
    support::run(async |db| {
        let (pool, notebook) = (db.pool().await, Notebook::new());
        let proxy = Proxy::before(&db.url()).await;
        let script = "echo started >> notes\nwhile [ ! -e go ]; do sleep 0.02; done";
        let kinds = [notebook.kind("patient", script, "")];
        // Only the job's end ends the drain.
        let configuration = Configuration::of(proxy.url(), &kinds);
        let configuration = Configuration { grace: ("10m", "2s"), ..configuration }.text();
        let mut daemon = Daemon::start(&configuration).await;
        let patient = enqueue(&pool, "patient").await;
        notebook.says("started").await;
        support::eventually("the queues are counted", async || {
            daemon.metric("legwork_schema_version", &[]).await > 0.0
        })
        .await;
        let well = Scraped::of(&daemon, &proxy, SCRAPES).await;
        daemon.signal(Signal::SIGTERM);
        let drains = async || daemon.metric("legwork_draining", &[]).await >= 1.0;
        support::eventually("the daemon drains", drains).await;
        let draining = Scraped::of(&daemon, &proxy, SCRAPES).await;
        assert!(drains().await, "its job runs");
        let most = PROMISED.max(10 * well.took);
        assert!(draining.took <= most, "{:?} draining, {:?} before", draining.took, well.took);
        notebook.allow("go");
        becomes(&pool, patient, "completed").await;
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
