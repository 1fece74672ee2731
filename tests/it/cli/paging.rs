//! Pages are complete, and an operation is one statement whatever the number of rows.

use super::{arrange, legwork};
use crate::support;
use legwork::{
    job::{JobId, KindName, QueueName, State},
    postgres::{
        enqueue::NewJob,
        operations::{
            self, End, JobFilter, cancel_jobs, discard_jobs, enqueue_job, explain_job, pause_queue,
            resume_queue, retry_jobs, snooze_jobs,
        },
    },
};
use sqlx::postgres::PgConnection;
use std::{collections::BTreeSet, time::Duration};

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

#[test]
fn more_queues_than_a_page_has_are_told_of_and_gone_on_with() {
    support::run(async |db| {
        // The last of them isn't paused, but has jobs in line.
        let many =
            "INSERT INTO legwork.queue (name, paused) SELECT 'q' || g, true FROM generate_series(1000, 1499) g;
            INSERT INTO legwork.job (queue, kind) VALUES ('q1500', 'k')";
        arrange(&db, many).await;
        let first = legwork(&db, &["queue", "list"]).await.done();
        assert_eq!(first.stdout.lines().count(), 501, "a head and 500 queues");
        assert_eq!(first.stderr, "There may be more: add --after q1499\n");
        let page = legwork(&db, &["queue", "list", "--output", "json"]).await.done().json();
        assert_eq!(page["next"], "q1499");
        let rest = ["queue", "list", "--output", "json", "--after", "q1499"];
        let rest = legwork(&db, &rest).await.done().json();
        assert_eq!(rest["queues"].as_array().map(Vec::len), Some(1), "{rest}");
        assert_eq!((&rest["queues"][0]["name"], &rest["next"]), (&"q1500".into(), &().into()));
        let none = legwork(&db, &["queue", "list", "--after", "q1500"]).await.done();
        assert_eq!((&*none.stdout, &*none.stderr), ("no more queues\n", ""));
    });
}

#[test]
fn daemons_that_work_come_before_those_that_start_again_and_again_and_what_is_left_out_is_counted()
{
    support::run(async |db| {
        let fleet = "INSERT INTO legwork.daemon (id, name, load, started_at, expires_at, died_at)
            SELECT 10000 + g, 'loop', null::jsonb, now() + g * interval '1 s', now() + interval '1 h', now() FROM generate_series(1, 1200) g
            UNION ALL SELECT 1, 'old', null, now() - interval '9 days', now() + interval '1 h', null
            UNION ALL SELECT 2, 'new', null, now(), now() + interval '1 h', null
            UNION ALL SELECT 3, 'quiet', '{\"quiet\": true}', now() + interval '1 h', now() + interval '1 h', null
            UNION ALL SELECT 4, 'overdue', null, now() + interval '1 h', now() - interval '1 s', null";
        arrange(&db, fleet).await;
        let list = legwork(&db, &["daemon", "list", "--output", "json"]).await.done().json();
        let daemons = list["daemons"].as_array().expect("a list");
        let names: Vec<_> = daemons[..5].iter().map(|of| of["name"].as_str()).collect();
        assert_eq!(names, ["new", "old", "quiet", "overdue", "loop"].map(Some));
        assert_eq!((daemons.len(), &daemons[4]["id"]), (1000, &"11200".into()));
        assert_eq!(list["omitted"], 204);
        let text = legwork(&db, &["daemon", "list"]).await.done().stdout;
        assert!(text.ends_with("\nand 204 more, which aren't shown\n"), "{text}");
    });
}

/// Three jobs in each state, of the kind that is called so.
const STATES: &str = "
    INSERT INTO legwork.job (kind) SELECT kind
        FROM unnest(ARRAY['available', 'cancelled', 'discarded']) kind, generate_series(1, 3);
    INSERT INTO legwork.job (kind, run_at) SELECT 'scheduled', now() + interval '1 h' FROM generate_series(1, 3);
    INSERT INTO legwork.job (kind, run_at, attempt) SELECT 'retryable', now() + interval '1 h', 1 FROM generate_series(1, 3);
    INSERT INTO legwork.job (kind, holder, token) SELECT 'running', 7, 1 FROM generate_series(1, 3);
    SELECT legwork.cancel(id) FROM legwork.job WHERE kind = 'cancelled';
    SELECT legwork.discard(id) FROM legwork.job WHERE kind = 'discarded';
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt, queue, kind, payload)
        SELECT 100 + g, 1, now(), now(), (statement_timestamp() AT TIME ZONE 'UTC')::date, 'completed', 0, 1, 'default', 'completed', '{}'
        FROM generate_series(1, 3) g";

#[test]
fn a_list_by_state_has_all_jobs_in_it_and_no_others() {
    support::run(async |db| {
        arrange(&db, STATES).await;
        for state in State::ALL {
            let state = state.as_str();
            let arguments = ["job", "list", "--state", state, "--output", "json"];
            let page = legwork(&db, &arguments).await.done().json();
            let jobs = page["jobs"].as_array().expect("a list");
            let kinds: Vec<_> = jobs.iter().map(|job| &job["kind"]).collect();
            assert_eq!(kinds, [state; 3], "{page}");
        }
    });
}

/// How many transactions this session has had: each message that is no part of one is one.
async fn transactions(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT split_part(virtualtransaction, '/', 2)::bigint FROM pg_locks
         WHERE pid = pg_backend_pid() AND locktype = 'virtualxid'",
    )
    .fetch_one(connection)
    .await
    .expect("a session sees its own")
}

/// Statements that an operation takes. Each is prepared, without a name, and run.
async fn statements(
    connection: &mut PgConnection,
    operation: impl AsyncFn(&mut PgConnection) -> bool,
) -> i64 {
    assert!(operation(connection).await, "it succeeds");
    transactions(connection).await;
    let before = transactions(connection).await;
    assert!(operation(connection).await, "it succeeds again");
    // The look itself is one, too.
    let messages = transactions(connection).await - before - 1;
    assert_eq!(messages % 2, 0, "{messages}");
    messages / 2
}

#[test]
fn an_operation_is_one_statement_whatever_the_number_of_rows() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        arrange(
            &db,
            "INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause)
             SELECT 1, g, (statement_timestamp() AT TIME ZONE 'UTC')::date, g, 'failed' FROM generate_series(1, 500) g;
             INSERT INTO legwork.queue (name, paused) SELECT 'q' || g, true FROM generate_series(1, 100) g",
        )
        .await;
        let mut connection = db.connect().await;
        let c = &mut connection;
        let ids: Vec<JobId> = (1..=1000).map(JobId).collect();
        let minute = Duration::from_mins(1);
        let queue = QueueName::new("q").expect("a name");
        let job = NewJob::new(KindName::new("k").expect("a name"));
        let filter = JobFilter::default();

        let list = async |c: &mut _| {
            let page = operations::list_jobs(c, &filter, 1000).await;
            page.is_ok_and(|page| page.jobs.len() == 1000)
        };
        let show = async |c: &mut _| {
            let job = operations::show_job(c, JobId(1)).await.expect("it can be read");
            job.is_some_and(|job| job.failed_attempts.len() == 100)
        };
        let queues = async |c: &mut _| {
            operations::list_queues(c).await.is_ok_and(|list| list.queues.len() > 100)
        };
        let by = &operations::Asker::named("ann");
        let every = operations::NoteFilter::default();
        let noted = async |c: &mut _| operations::list_notes(c, &every, 1000).await.is_ok();
        let counts = [
            ("audit", statements(c, noted).await),
            ("list", statements(c, list).await),
            ("show", statements(c, show).await),
            ("queues", statements(c, queues).await),
            ("why", statements(c, async |c| explain_job(c, JobId(1)).await.is_ok()).await),
            (
                "snooze",
                statements(c, async |c| snooze_jobs(c, &ids, minute, by).await.is_ok()).await,
            ),
            ("cancel", statements(c, async |c| cancel_jobs(c, &ids, by).await.is_ok()).await),
            ("retry", statements(c, async |c| retry_jobs(c, &ids, by).await.is_ok()).await),
            ("discard", statements(c, async |c| discard_jobs(c, &ids, by).await.is_ok()).await),
            (
                "pause",
                statements(c, async |c| pause_queue(c, &queue, End::Never, by).await.is_ok()).await,
            ),
            ("resume", statements(c, async |c| resume_queue(c, &queue, by).await.is_ok()).await),
            ("enqueue", statements(c, async |c| enqueue_job(c, &job, None).await.is_ok()).await),
        ];
        for (operation, count) in counts {
            assert_eq!(count, 1, "statements of {operation}");
        }
        let many: Vec<JobId> = (1..=1001).map(JobId).collect();
        assert!(cancel_jobs(c, &many, by).await.is_err(), "1,001 ids are too many");
    });
}
