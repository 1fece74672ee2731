//! Pages are complete, and an operation is one statement whatever the number of rows.

use super::{arrange, legwork};
use crate::support;
use legwork::{
    job::{JobId, KindName, QueueName},
    postgres::{enqueue::NewJob, operations},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tracing_subscriber::{layer::Context, prelude::*};

/// 5,000 jobs: 3,000 unfinished, of which every third has a tag, and 2,000 in history.
const JOBS: &str = "
    INSERT INTO legwork.job (kind, tags)
        SELECT 'k', CASE WHEN g % 3 = 0 THEN ARRAY['third'] END FROM generate_series(1, 3000) g;
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt, queue, kind, payload)
        SELECT 3000 + g, 1, now(), now(), (statement_timestamp() AT TIME ZONE 'UTC')::date + g % 7, 'completed', 0, 1, 'q', 'k', '{}'
        FROM generate_series(1, 2000) g;
";

#[test]
fn pages_show_every_job_once() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        for (filter, expected) in [
            (&[][..], 5000),
            (&["--tag", "third"][..], 1000),
            (&["--state", "completed", "--queue", "q"][..], 2000),
        ] {
            let (mut seen, mut after, mut shown) = (BTreeSet::new(), String::new(), 0);
            loop {
                let mut arguments = vec!["job", "list", "--limit", "700", "--output", "json"];
                arguments.extend(filter);
                if !after.is_empty() {
                    arguments.extend(["--after", &after]);
                }
                let page = legwork(&db, &arguments).await.done().json();
                let jobs = page["jobs"].as_array().expect("a list");
                let ids: Vec<i64> =
                    jobs.iter().map(|job| job["id"].as_i64().expect("a number")).collect();
                assert!(ids.is_sorted_by(|a, b| a > b), "newest first");
                shown += ids.len();
                seen.extend(ids);
                match page["next"].as_i64() {
                    Some(next) => after = next.to_string(),
                    None => break,
                }
            }
            assert_eq!((shown, seen.len()), (expected, expected), "{filter:?}");
        }
    });
}

/// Counts the statements that sqlx sends on this thread.
struct Statements(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn an_operation_is_one_statement_whatever_the_number_of_rows() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        arrange(
            &db,
            "INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause)
             SELECT 1, g, (statement_timestamp() AT TIME ZONE 'UTC')::date, g, 'failed' FROM generate_series(1, 500) g;
             INSERT INTO legwork.queue (name) SELECT 'q' || g FROM generate_series(1, 100) g",
        )
        .await;
        let count = Arc::new(AtomicUsize::new(0));
        let counting = tracing_subscriber::registry().with(Statements(Arc::clone(&count)));
        let _guard = tracing::subscriber::set_default(counting);
        let mut connection = db.connect().await;
        let c = &mut connection;
        let mut expect_one = |what: &str, done: bool| {
            assert!(done, "{what}");
            assert_eq!(count.swap(0, Ordering::Relaxed), 1, "statements of {what}");
        };
        count.store(0, Ordering::Relaxed);

        let ids: Vec<JobId> = (1..=1000).map(JobId).collect();
        let minute = std::time::Duration::from_mins(1);
        let queue = QueueName::new("q").expect("a name");
        let job = NewJob::new(KindName::new("k").expect("a name"));
        let filter = operations::JobFilter::default();
        let listed = operations::list_jobs(c, &filter, 1000).await;
        expect_one("list", listed.is_ok_and(|page| page.jobs.len() == 1000));
        let shown = operations::show_job(c, JobId(1)).await.expect("it is there");
        expect_one("show", shown.is_some_and(|job| job.failed_attempts.len() == 100));
        expect_one("why", operations::explain_job(c, JobId(1)).await.is_ok());
        expect_one("snooze", operations::snooze_jobs(c, &ids, minute).await.is_ok());
        expect_one("cancel", operations::cancel_jobs(c, &ids).await.is_ok());
        expect_one("retry", operations::retry_jobs(c, &ids).await.is_ok());
        expect_one("discard", operations::discard_jobs(c, &ids).await.is_ok());
        let queues = operations::list_queues(c).await;
        expect_one("queues", queues.is_ok_and(|list| list.queues.len() > 100));
        expect_one("pause", operations::pause_queue(c, &queue, None).await.is_ok());
        expect_one("resume", operations::resume_queue(c, &queue).await.is_ok());
        expect_one("enqueue", operations::enqueue_job(c, &job, None).await.is_ok());
        let many: Vec<JobId> = (1..=1001).map(JobId).collect();
        assert!(operations::cancel_jobs(c, &many).await.is_err(), "1,001 ids are too many");
    });
}
