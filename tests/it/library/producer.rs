//! Jobs enqueued on the caller's own connection: they are there with its transaction or not at all, and a
//! refusal names column and rule.

use std::time::Duration;

use legwork::{EnqueueError, Enqueued, Job, OnConflict, enqueue, enqueue_many};
use serde_json::json;
use sqlx::Connection as _;
use time::macros::datetime;

use crate::statements::{end, execute as run, rows, session_as, value};
use crate::support;

const COUNT: &str = "SELECT count(*) FROM legwork.job";

fn full() -> Job {
    Job::new("send_receipt")
        .payload(&json!({"order": 42, "lines": ["a\tb", "c\\d"]}))
        .queue("mail")
        .priority(-2)
        .run_at(datetime!(2031-02-03 04:05:06.5 UTC))
        .max_attempts(7)
        .unique_key("receipt-42")
        .on_conflict(OnConflict::Fail)
        .timeout(Duration::from_secs(90))
        .expires_at(datetime!(2032-01-01 00:00 UTC))
        .tag("orders")
        .tag("a \"quoted\", one")
        .metadata(&json!({"user_id": 7}))
}

#[test]
fn a_commit_makes_a_job_and_a_rollback_leaves_none() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_enqueue").await;
        let mut looker = db.connect().await;

        let mut transaction = session.begin().await.expect("it begins");
        let enqueued = enqueue(&mut transaction, &Job::new("k")).await.expect("enqueued");
        assert!(enqueued.id().is_some());
        let many = [Job::new("k"), Job::new("k").delay(Duration::from_mins(1))];
        assert_eq!(enqueue_many(&mut transaction, &many).await.expect("enqueued"), 2);
        transaction.rollback().await.expect("it ends");
        assert_eq!(value(&mut looker, COUNT).await, "0");

        let mut transaction = session.begin().await.expect("it begins");
        let id = enqueue(&mut transaction, &Job::new("k")).await.expect("enqueued").id();
        assert_eq!(value(&mut looker, COUNT).await, "0", "it isn't committed yet");
        transaction.commit().await.expect("it ends");
        let id = id.expect("it is new").0.to_string();
        assert_eq!(value(&mut looker, "SELECT id FROM legwork.job").await, id);
        end(session).await;
        end(looker).await;
    });
}

#[test]
fn every_column_arrives_alike_by_insert_and_by_copy() {
    support::run(async |db| {
        let mut session = db.connect().await;
        enqueue(&mut session, &full()).await.expect("enqueued");
        enqueue_many(&mut session, &[full().unique_key("other")]).await.expect("enqueued");
        let columns = "SELECT kind, payload, queue, priority, run_at AT TIME ZONE 'UTC', max_attempts, timeout,
            expires_at AT TIME ZONE 'UTC', tags, metadata FROM legwork.job ORDER BY id";
        let expected = "send_receipt|{\"lines\": [\"a\\tb\", \"c\\\\d\"], \"order\": 42}|mail|-2|\
            2031-02-03 04:05:06.5|7|00:01:30|2032-01-01 00:00:00|\
            {orders,\"a \\\"quoted\\\", one\"}|{\"user_id\": 7}";
        assert_eq!(rows(&mut session, columns).await, [expected, expected]);

        run(&mut session, "DELETE FROM legwork.job").await;
        let plain = [Job::new("k"), Job::new("k").delay(Duration::from_hours(1))];
        let mut transaction = session.begin().await.expect("it begins");
        for job in &plain {
            enqueue(&mut transaction, job).await.expect("enqueued");
        }
        enqueue_many(&mut transaction, &plain).await.expect("enqueued");
        let columns =
            "SELECT payload, queue, priority, run_at - now(), max_attempts, unique_key, timeout,
            expires_at, tags, metadata FROM legwork.job ORDER BY id";
        let (now, later) = ("{}|default|0|00:00:00||||||", "{}|default|0|01:00:00||||||");
        assert_eq!(rows(&mut transaction, columns).await, [now, later, now, later]);
        transaction.rollback().await.expect("it ends");
        end(session).await;
    });
}

#[test]
fn a_job_without_metadata_takes_that_of_the_session_however_it_is_enqueued() {
    support::run(async |db| {
        let mut session = db.connect().await;
        run(&mut session, "SET legwork.request_id = 'req-7f3a'").await;
        run(&mut session, "SET legwork.traceparent = '00-aa-bb-01'").await;
        run(&mut session, "SET legwork.tracestate = 'v=1'").await;
        run(&mut session, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        enqueue(&mut session, &Job::new("k")).await.expect("enqueued");
        let own = Job::new("k").metadata(&json!({"user_id": 7}));
        enqueue_many(&mut session, &[Job::new("k"), own]).await.expect("enqueued");
        let metadata = rows(&mut session, "SELECT metadata FROM legwork.job ORDER BY id").await;
        let session_s =
            r#"{"request_id": "req-7f3a", "tracestate": "v=1", "traceparent": "00-aa-bb-01"}"#;
        assert_eq!(metadata, [session_s, session_s, session_s, r#"{"user_id": 7}"#]);
        end(session).await;
    });
}

#[test]
fn ten_thousand_jobs_go_by_one_copy_in_the_callers_transaction() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_enqueue").await;
        let mut looker = db.connect().await;
        let jobs: Vec<Job> = (0..10_000).map(|n| Job::new("invite").payload(&n)).collect();
        let mut transaction = session.begin().await.expect("it begins");
        assert_eq!(enqueue_many(&mut transaction, &jobs).await.expect("enqueued"), 10_000);
        let seen = "SELECT count(*), count(DISTINCT payload), min(payload::int), max(payload::int)
            FROM legwork.job";
        assert_eq!(rows(&mut looker, seen).await, ["0|0||"]);
        transaction.commit().await.expect("it ends");
        assert_eq!(rows(&mut looker, seen).await, ["10000|10000|0|9999"]);
        assert_eq!(enqueue_many(&mut session, &[]).await.expect("nothing to do"), 0);
        end(session).await;
        end(looker).await;
    });
}

#[test]
fn a_taken_key_is_skipped_or_said_and_costs_no_transaction() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_enqueue").await;
        let digest = Job::new("digest").unique_key("user-7");
        assert!(enqueue(&mut session, &digest).await.expect("enqueued").id().is_some());

        let mut transaction = session.begin().await.expect("it begins");
        let again = enqueue(&mut transaction, &digest).await.expect("that is fine");
        assert_eq!(again, Enqueued::Duplicate);
        let strict = digest.clone().on_conflict(OnConflict::Fail);
        let error = enqueue(&mut transaction, &strict).await.expect_err("it is taken");
        assert!(matches!(&error, EnqueueError::Taken { queue, unique_key }
            if queue == "default" && unique_key == "user-7"));
        let elsewhere = strict.clone().queue("mail");
        assert!(enqueue(&mut transaction, &elsewhere).await.expect("another queue").id().is_some());
        transaction.commit().await.expect("nothing has failed in it");

        // COPY can't skip: it is told before anything is sent, and a conflict is the database's refusal.
        let error = enqueue_many(&mut session, std::slice::from_ref(&digest)).await;
        let error = error.expect_err("COPY skips nothing");
        assert!(error.to_string().contains("on_conflict(OnConflict::Fail)"), "{error}");
        let error = enqueue_many(&mut session, &[Job::new("k"), strict]).await;
        let error = error.expect_err("it is taken");
        assert!(
            matches!(&error, EnqueueError::Refused { job: 2, broken, .. }
            if (broken.column, broken.rule.as_str()) == ("unique_key", "job_unique")),
            "{error:?}"
        );
        end(session).await;
        let mut looker = db.connect().await;
        assert_eq!(value(&mut looker, COUNT).await, "2");
        end(looker).await;
    });
}

/// Column and rule of each thing that is wrong.
fn names(error: &EnqueueError) -> Vec<(&'static str, &str)> {
    error.broken().iter().map(|broken| (broken.column, broken.rule.as_str())).collect()
}

#[test]
fn what_is_wrong_is_named_by_column_and_rule_before_anything_is_sent() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut transaction = session.begin().await.expect("it begins");
        let wrong = Job::new("send receipt")
            .payload("a\0b")
            .queue("q!")
            .priority(3)
            .max_attempts(0)
            .unique_key("")
            .timeout(Duration::ZERO)
            .run_at(datetime!(1999-12-31 23:59 UTC))
            .expires_at(datetime!(2200-01-01 00:00 UTC))
            .tag("\0")
            .metadata(&[1]);
        let expected = [
            ("kind", "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
            ("queue", "queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
            ("priority", "priority_is_minus_2_to_2"),
            ("max_attempts", "max_attempts_is_1_to_1000"),
            ("timeout", "timeout_is_above_0_and_at_most_30_days"),
            ("run_at", "run_at_is_between_2000_and_2200"),
            ("expires_at", "expires_at_is_between_2000_and_2200"),
            ("unique_key", "unique_key_is_1_to_512_bytes"),
            ("tags", "no_nul_and_no_lone_surrogate"),
            ("payload", "no_nul_and_no_lone_surrogate"),
            ("metadata", "metadata_is_an_object_of_at_most_16_kib_rendered"),
        ];
        let error = enqueue(&mut transaction, &wrong).await.expect_err("it is wrong");
        assert_eq!(names(&error), expected);
        assert!(error.to_string().contains("priority: 3 isn't from -2 to 2"), "{error}");
        let error = enqueue_many(&mut transaction, &[Job::new("k"), wrong]).await;
        let error = error.expect_err("it is wrong");
        assert!(matches!(error, EnqueueError::Invalid { job: 2, .. }), "{error:?}");
        assert_eq!(names(&error), expected);
        assert_eq!(value(&mut transaction, COUNT).await, "0", "the transaction goes on");
        transaction.commit().await.expect("it ends");
        end(session).await;
    });
}

#[test]
fn what_only_the_database_can_judge_is_named_by_column_and_rule_as_well() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let long = "x".repeat(1 << 20);
        let cases = [
            (Job::new("k").payload(&long), ("payload", "payload_is_at_most_1_mib_rendered")),
            (Job::new("k").tag(&long[..4096]), ("tags", "tags_are_at_most_4_kib_rendered")),
            (
                Job::new("k").metadata(&json!({"k": &long[..16_384]})),
                ("metadata", "metadata_is_an_object_of_at_most_16_kib_rendered"),
            ),
        ];
        for (job, expected) in cases {
            let error = enqueue(&mut session, &job).await.expect_err("it is too long");
            assert_eq!(names(&error), [expected]);
            assert!(!error.is_temporary());
            let many = [Job::new("k"), Job::new("k"), job];
            let error = enqueue_many(&mut session, &many).await.expect_err("it is too long");
            assert!(matches!(error, EnqueueError::Refused { job: 3, .. }), "{error:?}");
            assert_eq!(names(&error), [expected]);
        }
        // No column is named where Postgres names none: its sentence is there instead.
        run(&mut session, "SET ROLE legwork_read").await;
        let error = enqueue(&mut session, &Job::new("k")).await.expect_err("it has no right to");
        assert!(error.to_string().contains("permission denied for table job"), "{error}");
        run(&mut session, "RESET ROLE").await;
        assert_eq!(value(&mut session, COUNT).await, "0");
        end(session).await;
    });
}

#[test]
fn the_rules_that_the_library_names_are_the_databases() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let rules = "SELECT conname FROM pg_constraint WHERE contypid <> 0 AND contype = 'c'
            AND connamespace = 'legwork'::regnamespace AND EXISTS (SELECT FROM pg_attribute a
                WHERE a.attrelid = 'legwork.job'::regclass AND a.atttypid = contypid)
            UNION ALL SELECT 'job_unique' ORDER BY 1";
        let mut named: Vec<&str> = legwork::postgres::producer::rule_names().collect();
        named.sort_unstable();
        assert_eq!(rows(&mut session, rules).await, named);
        end(session).await;
    });
}
