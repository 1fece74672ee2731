//! The heartbeat against a keeper that answers as told, in paused time.

use super::*;
use std::sync::{Mutex, atomic::AtomicUsize};

#[derive(Clone, Copy)]
enum Answer {
    Renewed,
    Dead,
    Fails,
    Hangs,
}

struct Scripted {
    answers: Vec<Answer>,
    registered: Arc<Mutex<Vec<i64>>>,
}

impl LeaseKeeper for Scripted {
    async fn register(&mut self, boot: i64) -> Result<(), KeeperError> {
        self.registered.lock().unwrap().push(boot);
        Ok(())
    }

    async fn renew(&mut self, _boot: i64) -> Result<bool, KeeperError> {
        let next = if self.answers.is_empty() { Answer::Renewed } else { self.answers.remove(0) };
        match next {
            Answer::Renewed => Ok(true),
            Answer::Dead => Ok(false),
            Answer::Fails => Err(KeeperError("away".into())),
            Answer::Hangs => std::future::pending().await,
        }
    }

    async fn retire(&mut self, _boot: i64) -> Result<(), KeeperError> {
        Ok(())
    }
}

const TIMES: LeaseTimes =
    LeaseTimes { interval: Duration::from_secs(1), ttl: Duration::from_secs(6) };

/// Runs the script for a minute; gives when leases were lost and how often it registered.
async fn minute(answers: Vec<Answer>) -> (Vec<Duration>, usize) {
    let registered = Arc::new(Mutex::new(Vec::new()));
    let lost = Arc::new(Mutex::new(Vec::new()));
    let (start, losses) = (Instant::now(), Arc::clone(&lost));
    let back = Arc::new(AtomicUsize::new(0));
    let returns = Arc::clone(&back);
    let stop = CancellationToken::new();
    let reports = Reports {
        lost: Arc::new(move |_| losses.lock().unwrap().push(start.elapsed())),
        back: Arc::new(move || {
            returns.fetch_add(1, Ordering::SeqCst);
        }),
        renewed: Arc::new(|| {}),
        pulse: Arc::default(),
        runtime: None,
        stop: stop.clone(),
        retire: Arc::new(AtomicBool::new(true)),
    };
    let (publisher, leases) = leases();
    let keeper = Scripted { answers, registered: Arc::clone(&registered) };
    let beat = Heartbeat { keeper, times: TIMES, reports, publisher }.beat();
    tokio::select! {
        () = beat => unreachable!("nobody stopped it"),
        () = sleep(Duration::from_mins(1)) => {}
    }
    drop(leases);
    let lost = lost.lock().unwrap().clone();
    let registered = registered.lock().unwrap().len();
    assert_eq!(
        back.load(Ordering::SeqCst),
        registered - 1,
        "told after each loss, and not at the start"
    );
    (lost, registered)
}

#[tokio::test(start_paused = true)]
async fn renewals_that_succeed_lose_nothing() {
    assert_eq!(minute(vec![]).await, (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_tried_again_within_the_lease() {
    assert_eq!(minute(vec![Answer::Fails; 3]).await, (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_loses_the_leases_counted_from_the_last_one_sent() {
    let (lost, registered) = minute(vec![Answer::Renewed, Answer::Hangs]).await;
    // Sent at 1 s, ttl 6 s, margin 1 s: at 6 s the handlers must be told.
    assert_eq!((lost, registered), (vec![Duration::from_secs(6)], 2));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_was_declared_dead_learns_it_at_once_and_registers_anew() {
    let (lost, registered) = minute(vec![Answer::Dead]).await;
    assert_eq!((lost, registered), (vec![Duration::from_secs(1)], 2));
}
