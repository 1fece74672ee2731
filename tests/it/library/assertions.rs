//! The helpers for a program's own tests: that they see what is there, and that an assertion that must fail
//! fails with a message that helps.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use legwork::{
    CancellationToken, Context, Daemon, Ending, HandlerError, Job, KindName, Outcome, enqueue,
    enqueue_many,
    testing::{self, DrainError, assert_enqueued, assert_not_enqueued},
};
use serde_json::json;
use sqlx::Connection as _;

use crate::statements::{end, value};
use crate::support;

/// What a failed assertion says.
async fn failure(assertion: impl Future) -> String {
    let failed = AssertUnwindSafe(assertion).catch_unwind().await;
    let panic = failed.err().expect("the assertion fails");
    *panic.downcast::<String>().expect("it says why")
}

async fn echo(
    payload: serde_json::Value,
    context: Context,
) -> Result<serde_json::Value, HandlerError> {
    context.report_progress(format!("attempt {} of {}", context.attempt(), context.max_attempts()));
    match payload.as_str() {
        Some("retry") => Err(HandlerError::retry("not now")),
        Some("discard") => Err(HandlerError::discard("never")),
        Some("panic") => panic!("as asked"),
        Some("wait") => {
            std::future::pending::<()>().await;
            Ok(payload)
        }
        Some("who") => {
            let job = context.job();
            let request = context.origin().and_then(|origin| origin.request_id.clone());
            Ok(json!([job.kind.as_str(), job.queue.as_str(), context.lease_token(), request]))
        }
        _ => Ok(payload),
    }
}

#[tokio::test]
async fn an_attempt_in_place_ends_as_it_would_in_a_daemon() {
    let ran = testing::attempt(echo, &json!({"a": 1})).attempt(3).max_attempts(5).run().await;
    ran.assert_result(&json!({"a": 1}));
    ran.assert_completed();
    assert_eq!(ran.progress(), Some("attempt 3 of 5"));
    let of = |payload: &str| testing::attempt(echo, payload);
    assert_eq!(of("retry").run().await.assert_retried().as_str(), "not now");
    assert_eq!(of("discard").run().await.assert_discarded().as_str(), "never");
    let panicked = of("panic").run().await;
    assert!(
        matches!(panicked.ending(), Ending::Panicked(error) if error.as_str() == "panic: as asked")
    );
    let slow = of("wait").timeout(Duration::from_millis(1)).run().await;
    assert!(matches!(slow.ending(), Ending::TimedOut { .. }), "{slow:?}");
    let token = CancellationToken::new();
    token.cancel();
    assert_eq!(of("wait").cancelled_by(token.clone()).run().await.ending(), &Ending::Cancelled);
    assert_eq!(of("wait").interrupted_by(token).run().await.ending(), &Ending::Interrupted);

    let name = |name| KindName::new(name).expect("a name");
    let who = of("who").kind(name("k")).lease_token(9).metadata(&json!({"request_id": "r"}));
    who.run().await.assert_result(&json!(["k", "default", 9, "r"]));
}

#[tokio::test]
async fn an_attempt_that_nobody_stops_ends_by_its_handlers_word_alone() {
    let of = |payload: &str| testing::attempt(echo, payload);
    let never = CancellationToken::new();
    let ran = of("retry").cancelled_by(never.clone()).run().await;
    assert_eq!(ran.assert_retried().as_str(), "not now");
    of("retry").interrupted_by(never.clone()).run().await.assert_retried();
    let slow = of("wait").timeout(Duration::from_millis(1)).cancelled_by(never.clone()).run().await;
    assert!(matches!(slow.ending(), Ending::TimedOut { .. }), "{slow:?}");
    assert!(!never.is_cancelled(), "the program's own token is left alone");

    let midway = async |(): (), context: Context| {
        context.cancellation().cancelled().await;
        Err::<(), _>(HandlerError::retry("broken off"))
    };
    for (is_cancel, ending) in [(true, Ending::Cancelled), (false, Ending::Interrupted)] {
        let (attempt, token) = (testing::attempt(midway, &()), CancellationToken::new());
        let told = token.clone();
        let attempt =
            if is_cancel { attempt.cancelled_by(told) } else { attempt.interrupted_by(told) };
        let (ran, ()) = tokio::join!(attempt.run(), async { token.cancel() });
        assert_eq!(ran.ending(), &ending);
    }
}

#[tokio::test]
async fn an_assertion_about_an_attempt_that_must_fail_shows_how_it_ended() {
    let ran = testing::attempt(echo, "retry").run().await;
    let said = failure(async { ran.assert_result(&1) }).await;
    assert!(said.contains("should have completed") && said.contains("not now"), "{said}");
    assert!(failure(async { ran.assert_completed() }).await.contains("not now"));
    assert!(failure(async { drop(ran.assert_discarded().clone()) }).await.contains("given up"));
    let ran = testing::attempt(echo, &7).run().await;
    assert!(failure(async { drop(ran.assert_retried().clone()) }).await.contains("Complete"));
    let said = failure(async { ran.assert_result(&8) }).await;
    assert!(said.contains("left: 7") && said.contains("right: 8"), "{said}");
    let said = failure(async { ran.assert_result(&"text".to_owned()) }).await;
    assert!(said.contains("the result 7 isn't of the type expected"), "{said}");
}

#[test]
fn what_a_transaction_has_enqueued_is_seen_in_it_and_nowhere_else() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut other = db.connect().await;
        let mut transaction = session.begin().await.expect("it begins");
        for (order, queue) in [(41, "default"), (42, "mail")] {
            let job = Job::new("send_receipt").payload(&json!({"order": order})).queue(queue);
            enqueue(&mut transaction, &job.tag("t").unique_key(queue)).await.expect("enqueued");
        }
        let is_42 = |payload: &serde_json::Value| payload["order"] == 42;
        let job = assert_enqueued(&mut transaction, "send_receipt", is_42).await;
        assert_eq!((job.queue.as_str(), job.priority, job.tags.len()), ("mail", 0, 1));
        assert_eq!(job.unique_key.as_deref(), Some("mail"));
        assert_eq!(job.payload::<serde_json::Value>().expect("JSON"), json!({"order": 42}));
        assert_not_enqueued(&mut transaction, "send_receipt", |payload: &i64| *payload == 42).await;
        assert_not_enqueued(&mut other, "send_receipt", is_42).await;
        transaction.rollback().await.expect("it ends");
        assert!(testing::enqueued(&mut session, "send_receipt").await.expect("seen").is_empty());
        end(session).await;
        end(other).await;
    });
}

#[test]
fn an_assertion_about_jobs_that_must_fail_shows_what_is_there_and_who_asked() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let any = |_: &serde_json::Value| true;
        let said = failure(assert_enqueued(&mut session, "k", any)).await;
        assert!(said.contains("nothing is enqueued at all"), "{said}");
        assert!(said.contains("tests/it/library/assertions.rs:"), "the caller's line: {said}");

        enqueue(&mut session, &Job::new("send_recipt").payload(&1)).await.expect("enqueued");
        let said = failure(assert_enqueued(&mut session, "send_receipt", any)).await;
        assert!(said.contains("there are jobs of kind send_recipt"), "{said}");

        let long = "x".repeat(300);
        for n in 0..12 {
            let job = Job::new("k").payload(&json!({"n": n, "long": long}));
            enqueue(&mut session, &job).await.expect("enqueued");
        }
        let is_99 = |payload: &serde_json::Value| payload["n"] == 99;
        let said = failure(assert_enqueued(&mut session, "k", is_99)).await;
        assert!(said.contains("12 of that kind:") && said.contains("and 2 more"), "{said}");
        assert!(said.contains("in default: {\"n\": 0") || said.contains("xxx …"), "{said}");
        let said = failure(assert_not_enqueued(&mut session, "k", any)).await;
        assert!(said.contains("such a payload is enqueued; 12 of that kind"), "{said}");
        end(session).await;
    });
}

#[test]
fn every_job_of_the_kind_is_looked_at_however_many_there_are() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let jobs: Vec<Job> = (1..=2002).map(|n| Job::new("k").payload(&n)).collect();
        enqueue_many(&mut session, &jobs).await.expect("enqueued");
        let is_last = |n: &i64| *n == 2002;
        assert_enqueued(&mut session, "k", is_last).await;
        let said = failure(assert_not_enqueued(&mut session, "k", is_last)).await;
        assert!(said.contains("1 of that kind:") && said.contains(": 2002"), "{said}");
        let said = failure(assert_enqueued(&mut session, "k", |n: &i64| *n == 0)).await;
        assert!(said.contains("2002 of that kind:") && said.contains("and 1992 more"), "{said}");
        assert_eq!(testing::enqueued(&mut session, "k").await.expect("seen").len(), 1000);
        end(session).await;
    });
}

#[test]
fn a_drain_works_off_what_is_in_line_and_what_follows_from_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let url = db.url();
        let parent = move |count: u32, _context: Context| {
            let url = url.clone();
            async move {
                let mut connection = sqlx::PgConnection::connect(&url).await?;
                for n in 0..count {
                    let job = Job::new("echo").payload(if n == 0 { "panic" } else { "fine" });
                    enqueue(&mut connection, &job.max_attempts(1)).await?;
                }
                connection.close().await?;
                Ok::<_, HandlerError>(())
            }
        };
        let later = Job::new("echo").payload("later").delay(Duration::from_hours(1));
        enqueue(&mut session, &later).await.expect("enqueued");
        enqueue(&mut session, &Job::new("parent").payload(&3)).await.expect("enqueued");
        let daemon = support::pooled::builder(&db.url()).handler("parent", parent);
        let daemon = daemon.handler("echo", echo).build().expect("nothing is wrong");
        let drained = testing::drain(daemon).await.expect("it comes to an end");
        assert!(drained.ended.is_clean() && drained.more == 0, "{drained:?}");
        assert_eq!(drained.of_kind("parent").count(), 1);
        let mut echoes: Vec<_> = drained
            .of_kind("echo")
            .map(|ran| {
                (ran.payload.as_str(), matches!(ran.outcome, Some(Outcome::Complete { .. })))
            })
            .collect();
        echoes.sort_unstable();
        assert_eq!(echoes, [("\"fine\"", true), ("\"fine\"", true), ("\"panic\"", false)]);
        assert_eq!(value(&mut session, "SELECT payload FROM legwork.job").await, "\"later\"");
        end(session).await;
    });
}

/// What may pass beside a bound where others use the processors.
const A_BUSY_MACHINES_SHARE: Duration = Duration::from_secs(15);

#[test]
fn a_drain_ends_within_its_bound_also_where_a_handler_never_does() {
    support::run(async |db| {
        let mut session = db.connect().await;
        enqueue(&mut session, &Job::new("echo").payload("wait")).await.expect("enqueued");
        let daemon = Daemon::builder().database_url(db.url()).handler("echo", echo).build();
        let (limit, begun) = (Duration::from_secs(7), tokio::time::Instant::now());
        let drained = testing::drain_within(daemon.expect("nothing is wrong"), limit).await;
        assert!(begun.elapsed() <= limit + A_BUSY_MACHINES_SHARE, "{:?}", begun.elapsed());
        let error = drained.expect_err("its handler has no end");
        assert!(matches!(error, DrainError::Overdue { .. }), "{error:?}");
        end(session).await;
    });
}
