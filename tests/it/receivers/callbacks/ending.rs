//! How an attempt ends that nobody calls back for, or that somebody calls for too late.

use super::*;

#[test]
fn a_cancelled_job_ends_and_its_receiver_is_told() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        sqlx::query("SELECT legwork.cancel($1)").bind(job).execute(&pool).await.expect("asked");
        becomes(&pool, job, "cancelled").await;
        for action in ["heartbeat", "complete"] {
            let late = call(&daemon, &path, json!({ "action": action })).await;
            assert_eq!(late, is(410, "job-cancelled"));
        }
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("cancelled"));
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn at_shutdown_the_job_goes_back_uncharged_and_the_next_daemon_takes_no_call_of_before() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let mut first = started(&db, &receiver, "").await;
        let job = insert(&pool).await;
        let before = path(&receiver, 0).await;
        let told = Instant::now();
        first.signal(Signal::SIGTERM);
        // grace is 0, cancel_grace 3 s and 3 s are for the rest.
        assert!(first.exit(Duration::from_secs(10)).await.success());
        assert!(told.elapsed() < Duration::from_secs(6), "{:?}", told.elapsed());
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("available"));
        assert_eq!(of(&pool, job, "attempt").await.as_deref(), Some("0"));

        let second = started(&db, &receiver, "").await;
        let after = path(&receiver, 1).await;
        let done = json!({ "action": "complete" });
        assert_eq!(call(&second, &before, done.clone()).await, is(421, "other-daemon"));
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("running"));
        assert_eq!(call(&second, &after, done).await, is(200, "taken"));
        becomes(&pool, job, "completed").await;
        second.stop().await;
        pool.close().await;
    });
}

#[test]
fn what_comes_after_the_deadline_is_too_late() {
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "timeout = \"500ms\"\n").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        becomes(&pool, job, "retryable").await;
        let cause = "SELECT cause FROM legwork.failed_attempt WHERE job_id = $1";
        let cause: String =
            sqlx::query_scalar(cause).bind(job).fetch_one(&pool).await.expect("one");
        assert_eq!(cause, "timed_out");
        let late = call(&daemon, &path, json!({ "action": "complete" })).await;
        assert_eq!(late, is(410, "lease-gone"));
        assert_eq!(of(&pool, job, "state").await.as_deref(), Some("retryable"));
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn heartbeats_keep_a_silent_attempt_from_failing() {
    const SILENCE: Duration = Duration::from_secs(2);
    support::run(async |db: TestDb| {
        let (receiver, pool) = (receiver().await, db.pool().await);
        let daemon = started(&db, &receiver, "callback_timeout = \"2s\"\n").await;
        let job = insert(&pool).await;
        let path = path(&receiver, 0).await;
        let began = Instant::now();
        while began.elapsed() < SILENCE * 2 {
            let beat = call(&daemon, &path, json!({ "action": "heartbeat" })).await;
            assert_eq!(beat, is(200, "waiting"), "after {:?}", began.elapsed());
            // As a receiver beats while it works: how long it does is what is tried.
            sleep(Duration::from_millis(50)).await;
        }
        let silent = Instant::now();
        becomes(&pool, job, "retryable").await;
        assert!(silent.elapsed() > SILENCE / 2, "{:?}", silent.elapsed());
        assert_eq!(error(&pool, job).await, "the receiver didn't call for 2s");
        let late = call(&daemon, &path, json!({ "action": "complete" })).await;
        assert_eq!(late, is(410, "lease-gone"));
        daemon.stop().await;
        pool.close().await;
    });
}
