//! How spans reach a collector: the headers that it asks for, and TLS.

use super::*;
use crate::support::{TestDb, authority::Authority};

/// One kind that does nothing, and every span.
fn text(url: &str, endpoint: &str) -> String {
    let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
    let tracing = format!("[tracing]\nsample_ratio = 1.0\n{endpoint}\n");
    tracing + &Configuration::of(url, &kinds).text()
}

async fn run_one(pool: &PgPool) {
    let insert = sqlx::query("INSERT INTO legwork.job (kind) VALUES ('noop')");
    insert.execute(pool).await.expect("inserted");
}

#[test]
fn headers_of_the_standard_variables_go_with_each_request_to_the_collector() {
    support::run(async |db| {
        let (collector, pool) = (Collector::new().await, db.pool().await);
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20YTpi,x-tenant=all"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=traces,content-type=text/plain"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let daemon = Daemon::start_under(&text(&db.url(), ""), &["run"], &variables).await;
        daemon.logged("daemon.started").await;
        let warned = daemon.logged("config.warned").await;
        assert_eq!(
            (&warned["level"], &warned["target"]),
            (&"WARN".into(), &"legwork::config".into())
        );
        for batch in 1..=2 {
            run_one(&pool).await;
            support::eventually("a batch has come", async || collector.heads().len() >= batch)
                .await;
        }
        for head in collector.heads() {
            for line in [
                "authorization: basic ytpi",
                "x-tenant: traces",
                // What the body is, no variable says.
                "content-type: application/x-protobuf",
            ] {
                let name = line.split(':').next().expect("a name");
                let sent: Vec<_> =
                    head.lines().filter(|sent| sent.starts_with(&format!("{name}:"))).collect();
                assert_eq!(sent, [line], "{head}");
            }
        }
        assert!(!daemon.printed().contains("YTpi"), "{}", daemon.printed());
        daemon.stop().await;
        assert_eq!(attempts(collector.spans()).len(), 2);
        pool.close().await;
    });
}

#[test]
fn a_collector_that_the_standard_variables_authority_vouches_for_is_trusted() {
    support::run(async |db| {
        let (authority, pool) = (Authority::new(), db.pool().await);
        let collector = Collector::secured(authority.acceptor("localhost", false, &[])).await;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), authority.pem()).expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let endpoint = format!("otlp_endpoint = '{}'", collector.secured_endpoint());
        let (url, variable) = (db.url(), "OTEL_EXPORTER_OTLP_CERTIFICATE");
        let daemon =
            Daemon::start_under(&text(&url, &endpoint), &["run"], &[(variable, path)]).await;
        daemon.logged("daemon.started").await;
        run_one(&pool).await;
        support::eventually("its span has come", async || !collector.spans().is_empty()).await;
        assert_eq!(daemon.count("spans.lost"), 0, "{}", daemon.printed());
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_collector_that_nobody_vouches_for_gets_no_span_and_jobs_run_all_the_same() {
    support::run(async |db| {
        let (authority, other, pool) = (Authority::new(), Authority::new(), db.pool().await);
        let collector = Collector::secured(authority.acceptor("localhost", false, &[])).await;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), other.pem()).expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let endpoint = format!("otlp_endpoint = '{}'", collector.secured_endpoint());
        let (url, variable) = (db.url(), "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE");
        let daemon =
            Daemon::start_under(&text(&url, &endpoint), &["run"], &[(variable, path)]).await;
        daemon.logged("daemon.started").await;
        run_one(&pool).await;
        let lost = daemon.logged("spans.lost").await;
        let why = lost["error.message"].as_str().expect("a reason");
        // Of the same name: only its key tells it apart.
        assert!(why.contains("certificate") && why.contains("BadSignature"), "{lost}");
        assert_eq!(lost["collector"], collector.secured_endpoint());
        run_one(&pool).await;
        completed(&pool, 2).await;
        // Of each its claim's, its attempt's and its verdict's.
        support::eventually("all are counted", async || {
            daemon.metric("legwork_spans_total", &["failed"]).await > 5.5
        })
        .await;
        let (status, ready) = daemon.get("/health/ready").await;
        assert_eq!(status, 200, "{ready}");
        assert_eq!(daemon.count("spans.lost"), 1, "{}", daemon.printed());
        daemon.stop().await;
        assert_eq!(collector.spans(), []);
        pool.close().await;
    });
}

/// A daemon that traces every job, amid one that waits until it may `go`.
async fn at_work(
    collector: &Collector,
    notebook: &Notebook,
    (db, pool): (&TestDb, &PgPool),
) -> Daemon {
    let script = "echo begun >> notes; until [ -e go ]; do sleep 0.05; done";
    let kinds = [notebook.kind("waits", script, "")];
    let tracing = to(collector, "sample_ratio = 1.0\n");
    let text = tracing + &Configuration::of(&db.url(), &kinds).text();
    let daemon = Daemon::start(&text).await;
    daemon.logged("daemon.started").await;
    enqueue_one(pool, "waits").await;
    notebook.says("begun").await;
    daemon
}

#[test]
fn the_last_spans_of_a_daemon_are_those_of_the_verdict_that_it_flushes_at_its_end() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::new().await, Notebook::new());
        let pool = db.pool().await;
        let mut daemon = at_work(&collector, &notebook, (&db, &pool)).await;
        daemon.signal(Signal::SIGUSR1);
        // Lines about a running job that others speak know where it comes from.
        let listed = daemon.logged("job.listed").await;
        assert_eq!((&listed["trace_id"], &listed["job.attempt"]), (&TRACE.into(), &1.into()));
        assert_eq!((&listed["job.kind"], &listed["job.id"]), (&"waits".into(), &1.into()));
        daemon.signal(Signal::SIGTERM);
        daemon.phase("release unstarted").await;
        notebook.allow("go");
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        let spans = collector.spans();
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["receive default", "exec sh", "process default", "settle default"]);
        assert_eq!(attribute(&spans[3], "legwork.flush.op"), "finish");
        assert_eq!(daemon.logged("daemon.stopped").await["spans_lost"], 0);
        pool.close().await;
    });
}

#[test]
fn spans_that_a_collector_rejects_of_a_batch_that_it_took_are_lost_and_not_exported() {
    support::run(async |db| {
        let (collector, pool) =
            (Collector::rejecting(2, "too many attributes").await, db.pool().await);
        let endpoint = format!("otlp_endpoint = '{}'", collector.endpoint());
        let daemon = Daemon::start(&text(&db.url(), &endpoint)).await;
        daemon.logged("daemon.started").await;
        run_one(&pool).await;
        let lost = daemon.logged("spans.lost").await;
        let why = "the collector rejected 2 spans of a batch: too many attributes";
        assert_eq!((&lost["error.message"], &lost["level"]), (&why.into(), &"WARN".into()));
        run_one(&pool).await;
        completed(&pool, 2).await;
        // Of each job its claim's, its attempt's and its verdict's, however many requests they came in.
        support::eventually("all have come", async || collector.spans().len() == 6).await;
        let rejected: usize = collector.batches().into_iter().map(|spans| spans.min(2)).sum();
        let of = async |result: &str| daemon.metric("legwork_spans_total", &[result]).await;
        support::eventually("all are counted", async || {
            (of("failed").await + of("exported").await - 6.0).abs() < 0.5
        })
        .await;
        let failed = of("failed").await;
        assert_eq!(format!("{failed}"), rejected.to_string(), "{:?}", collector.batches());
        assert_eq!(daemon.count("spans.lost"), 1, "{}", daemon.printed());
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn spans_that_nobody_takes_before_the_end_are_counted_in_the_last_line() {
    support::run(async |db| {
        let (collector, notebook) = (Collector::hanging().await, Notebook::new());
        let pool = db.pool().await;
        let mut daemon = at_work(&collector, &notebook, (&db, &pool)).await;
        daemon.signal(Signal::SIGTERM);
        daemon.phase("release unstarted").await;
        notebook.allow("go");
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        let stopped = daemon.logged("daemon.stopped").await;
        // Those of the program, its attempt and its verdict; that of the claim may have been lost before.
        assert!([3, 4].map(Into::into).contains(&stopped["spans_lost"]), "{stopped}");
        let last = daemon.events().into_iter().next_back().expect("a line");
        assert_eq!(last["event"], "daemon.stopped", "{}", daemon.printed());
        pool.close().await;
    });
}
