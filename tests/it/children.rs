//! The example of a handler that enqueues jobs in its own transaction, held to what it promises: its
//! effects and the jobs that follow from them are there together, or neither is.

use std::time::Duration;

use legwork::executor::{AttemptLimits, Context, Registry, StopOrder, execute};
use legwork::job::{ClaimedJob, Ending, JobId, KindName, Lease, Outcome, QueueName};
use tokio_util::sync::CancellationToken;

use crate::statements::{end, execute as run, rows, value};
use crate::support::{self, TestDb};

#[path = "../../examples/children.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "a program of its own, whose `main` isn't called here"
)]
mod example;

const GOOD: &str = r#"{"order": 1, "addresses": ["1 High Street", "2 Low Street"]}"#;
const BAD: &str = r#"{"order": 2, "addresses": ["3 Long Street", ""]}"#;

/// Orders marked as split, and parcels that have a job, finished or not.
const EFFECTS: &str = "SELECT 'order ' || id FROM split_order
    UNION ALL SELECT 'parcel ' || (payload #>> '{}') FROM legwork.jobs WHERE kind = 'send_parcel'
    ORDER BY 1";

#[test]
fn children_are_there_with_the_effect_of_their_parent_and_a_rollback_leaves_none() {
    support::run(async |db| {
        let mut session = db.connect().await;
        run(&mut session, example::SCHEMA).await;
        let page = example::work_off(&db.url(), &[GOOD, BAD]).await.expect("the daemon works");
        let ends: Vec<String> =
            page.jobs.iter().rev().map(|job| format!("{} {}", job.kind, job.state)).collect();
        let expected = [
            "split_order completed",
            "split_order discarded",
            "send_parcel completed",
            "send_parcel completed",
        ];
        assert_eq!(ends, expected);
        let effects = ["order 1", "parcel 1 High Street", "parcel 2 Low Street"];
        assert_eq!(rows(&mut session, EFFECTS).await, effects);
        // The two of the order that was rolled back took numbers and were never jobs.
        let rolled_back =
            "SELECT last_value - (SELECT count(*) FROM legwork.jobs) FROM legwork.job_id_seq";
        assert_eq!(value(&mut session, rolled_back).await, "1");
        end(session).await;
    });
}

/// A job that a daemon holds, as its handler gets it.
async fn held(db: &TestDb, token: i64) -> Context {
    let mut session = db.connect().await;
    let daemon =
        "INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 hour')";
    run(&mut session, daemon).await;
    let insert =
        "INSERT INTO legwork.job (kind, holder, token) VALUES ('split_order', 7, 3) RETURNING id";
    let id = value(&mut session, insert).await.parse().expect("a number");
    end(session).await;
    let job = ClaimedJob::new(
        Lease { job: JobId(id), token, holder: 7 },
        QueueName::new("default").expect("a name"),
        KindName::new("split_order").expect("a name"),
        GOOD,
    );
    let limits = AttemptLimits {
        timeout: Duration::from_mins(1),
        max_attempts: 3,
        grace_without_lease: Duration::ZERO,
    };
    Context::new(job, limits, CancellationToken::new())
}

/// One attempt at it.
async fn attempt(db: &TestDb, context: &Context) -> Ending {
    let handler = example::SplitOrder { database: db.url().parse().expect("an address") };
    let kind = KindName::new("split_order").expect("a name");
    let registry = Registry::default().with_typed(kind, handler);
    let handler = registry.get("split_order").expect("it was registered");
    execute(handler.as_ref(), context, &StopOrder::default()).await
}

#[test]
fn an_attempt_that_has_lost_its_lease_commits_nothing_and_the_next_one_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        run(&mut session, example::SCHEMA).await;
        let stale = held(&db, 2).await;
        let Ending::Decided(Outcome::Retry { error, .. }) = attempt(&db, &stale).await else {
            panic!("its transaction fails");
        };
        assert!(error.as_str().contains("no longer owns job"), "{error:?}");
        assert_eq!(rows(&mut session, EFFECTS).await, Vec::<String>::new());

        run(&mut session, "UPDATE legwork.job SET token = 2").await;
        for _again in 0..2 {
            let ending = attempt(&db, &stale).await;
            assert!(matches!(ending, Ending::Decided(Outcome::Complete { .. })), "{ending:?}");
            let effects = ["order 1", "parcel 1 High Street", "parcel 2 Low Street"];
            assert_eq!(rows(&mut session, EFFECTS).await, effects, "once, however often it runs");
        }
        end(session).await;
    });
}

#[test]
fn a_handler_that_is_dropped_in_the_middle_of_its_transaction_leaves_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        run(&mut session, example::SCHEMA).await;
        let context = held(&db, 3).await;
        let mut holder = db.connect().await;
        run(&mut holder, "BEGIN; SELECT FROM legwork.job FOR UPDATE").await;
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut looker = db.connect().await;
        tokio::select! {
            ending = attempt(&db, &context) => panic!("the lease can't be asserted: {ending:?}"),
            () = support::eventually("it has enqueued everything and asserts its lease", async || {
                value(&mut looker, waiting).await == "1"
            }) => {}
        }
        run(&mut holder, "ROLLBACK").await;
        support::eventually("its session is gone", async || {
            let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND backend_type = 'client backend'";
            value(&mut looker, others).await == "3"
        })
        .await;
        assert_eq!(rows(&mut session, EFFECTS).await, Vec::<String>::new());
        for one in [session, holder, looker] {
            end(one).await;
        }
    });
}
