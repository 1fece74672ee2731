//! From the INSERT to the receiver and back, through the real daemon.

use crate::support::{
    self, Daemon, TestDb,
    receiver::{Receiver, answer},
};
use nix::sys::signal::Signal;
use sqlx::{Executor, Row};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A daemon that sends jobs of the kind `hook` to this URL.
pub(super) fn configuration(database: &str, url: &str) -> String {
    format!(
        "[database]\nurl = \"{database}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"json\"\nfilter = \"debug\"\n\
         [[kind]]\nname = \"hook\"\nhandler = \"http\"\nurl = \"{url}\"\n\
         allow_hosts = [\"127.0.0.1\"]\nbackoff.base = \"10ms\"\n"
    )
}

#[test]
fn a_row_reaches_its_receiver_and_its_answer_the_row() {
    support::run(async |db: TestDb| {
        let receiver = Receiver::answering(|request| match request.header("legwork-attempt") {
            "1" => answer("500 Internal Server Error", &[], "not yet"),
            _ => answer("200 OK", &[], "{\"sent\": true}"),
        })
        .await;
        let target = receiver.url("");
        let mut daemon = Daemon::start(&configuration(&db.url(), &receiver.url("/hook"))).await;
        daemon.logged("daemon.started").await;
        let pool = db.pool().await;
        let metadata = serde_json::json!({
            "traceparent": format!("00-{TRACE}-00f067aa0ba902b7-01"),
            "request_id": "r-17",
        });
        let insert = "INSERT INTO legwork.job (kind, payload, metadata)
                      VALUES ('hook', '{\"to\": \"ann\"}', $1)";
        sqlx::query(insert).bind(metadata).execute(&pool).await.expect("inserted");
        support::eventually("the job is done", async || {
            let state = pool.fetch_one("SELECT state FROM legwork.jobs").await.expect("a row");
            state.get::<String, _>(0) == "completed"
        })
        .await;

        let row = pool.fetch_one("SELECT result::text, attempt FROM legwork.jobs").await;
        let row = row.expect("a row");
        assert_eq!(row.get::<String, _>(0), r#"{"sent": true}"#);
        let requests = receiver.requests();
        assert_eq!(requests.len(), 2);
        for request in &requests {
            assert_eq!(request.body, r#"{"to": "ann"}"#);
            assert_eq!(request.header("webhook-id"), "job_1");
            assert_eq!(request.header("x-request-id"), "r-17");
            assert!(request.header("traceparent").contains(TRACE));
        }
        let error = pool.fetch_one("SELECT error FROM legwork.failed_attempt").await;
        let error = error.expect("a failed attempt").get::<String, _>(0);
        assert_eq!(error, "HTTP 500 Internal Server Error\nnot yet");

        let line = daemon.logged("job.failed").await;
        assert_eq!((&line["request_id"], &line["trace_id"]), (&"r-17".into(), &TRACE.into()));
        let finished = daemon.logged("job.finished").await;
        assert_eq!(finished["request_id"], "r-17");
        let count = "legwork_http_handler_requests_total";
        for (class, expected) in [("2xx", 1.0), ("5xx", 1.0), ("4xx", 0.0)] {
            assert!(
                (daemon.metric(count, &[&target, class]).await - expected).abs() < 0.1,
                "{class}"
            );
        }
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(support::PATIENCE).await.success());
        pool.close().await;
        drop(receiver);
    });
}
