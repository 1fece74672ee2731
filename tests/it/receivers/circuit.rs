//! A receiver that fails again and again: it is left alone, its jobs lose nothing, and nobody else does.

use super::*;
use crate::process::reload::reload;
use crate::support::{
    self, Daemon, TestDb,
    receiver::{Receiver, Request, answer},
};
use legwork::{config::CircuitSettings, executor::Stop};
use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{PgPool, Row};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    time::Instant,
};

const FAILURES: usize = 3;

fn kept_apart(url: &str, open_for: Duration) -> Http {
    let circuit = CircuitSettings { failures: 3, open_for };
    Http::new(HttpSettings { circuit, ..settings(url) })
}

/// The words of so many attempts, one after the other.
async fn words(handler: &Http, attempts: usize) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..attempts {
        let word = word(&attempt(handler, "{}").await);
        words.push(word.split(' ').next().expect("a word").to_owned());
    }
    words
}

#[rstest]
#[case::status("500 Internal Server Error")]
#[case::of_a_proxy("502 Bad Gateway")]
#[case::of_no_standard("999 Oh")]
#[tokio::test]
async fn after_so_many_failures_in_a_row_nothing_is_sent(#[case] status: &'static str) {
    let receiver = Receiver::answering(move |_| answer(status, &[], "")).await;
    let handler = kept_apart(&receiver.url("/"), LONG);
    assert_eq!(words(&handler, 6).await, ["retry", "retry", "retry", "park", "park", "park"]);
    assert_eq!(receiver.requests().len(), FAILURES);
    match attempt(&handler, "{}").await {
        Outcome::Park { delay } => assert!((LONG / 2..=LONG * 3 / 2).contains(&delay), "{delay:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_ends_without_an_answer_is_a_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let breaks = Receiver::doing(async |mut stream: TcpStream| {
        Request::read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200").await.expect("written");
    })
    .await;
    let mute = Receiver::doing(async |mut stream: TcpStream| {
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    for url in [nobody, breaks.url("/"), mute.url("/")] {
        let circuit = CircuitSettings { failures: 3, open_for: LONG };
        let patience = HttpSettings { response_timeout: SHORT, circuit, ..settings(&url) };
        assert_eq!(
            words(&Http::new(patience), 4).await,
            ["retry", "retry", "retry", "park"],
            "{url}"
        );
    }
}

#[rstest]
#[case::refusal("422 Unprocessable Content", &[])]
#[case::busy("429 Too Many Requests", &[])]
#[case::moved("301 Moved Permanently", &[])]
#[case::decided("500 Internal Server Error", &["Legwork-Action: retry"])]
#[tokio::test]
async fn what_a_receiver_that_works_would_say_is_no_failure(
    #[case] status: &'static str,
    #[case] headers: &'static [&'static str],
) {
    let receiver = Receiver::answering(move |_| answer(status, headers, "")).await;
    let handler = kept_apart(&receiver.url("/"), LONG);
    assert_eq!(words(&handler, 10).await, ["retry"; 10]);
}

#[tokio::test]
async fn one_that_answers_now_and_then_is_not_left_alone() {
    let count = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::answering(move |_| match count.fetch_add(1, Ordering::SeqCst) % 3 {
        2 => answer("200 OK", &[], ""),
        _ => answer("500 Internal Server Error", &[], ""),
    })
    .await;
    let handler = kept_apart(&receiver.url("/"), LONG);
    assert!(!words(&handler, 30).await.contains(&"park".to_owned()));
}

/// Attempts at a receiver that says nothing, each ended by this, and then one more.
async fn after_ends(end: Option<Stop>, connect_timeout: Duration) -> Vec<String> {
    let (tell, mut connected) = tokio::sync::mpsc::channel(16);
    let receiver = Receiver::doing(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            Request::read(&mut stream).await;
            tell.send(()).await.ok();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
    })
    .await;
    let circuit = CircuitSettings { failures: 3, open_for: LONG };
    let handler =
        Http::new(HttpSettings { circuit, connect_timeout, ..settings(&receiver.url("/")) });
    let mut endings = Vec::new();
    for _ in 0..4 {
        let (token, stop) = (CancellationToken::new(), StopOrder::default());
        let timeout = if end.is_some() { LONG } else { SHORT };
        let context = context("{}", timeout, token.clone());
        let ended = execute(&handler, &context, &stop);
        let ending = tokio::select! {
            ending = ended => ending,
            () = async {
                connected.recv().await.expect("a request came");
                stop.give(end.unwrap_or(Stop::Cancelled));
                token.cancel();
                std::future::pending::<()>().await;
            }, if end.is_some() => unreachable!("it has no end"),
        };
        endings.push(match ending {
            Ending::Decided(outcome) => {
                word(&outcome).split(' ').next().expect("a word").to_owned()
            }
            Ending::TimedOut { .. } => "timed out".to_owned(),
            other => format!("{other:?}"),
        });
    }
    endings
}

#[tokio::test]
async fn a_receiver_that_is_silent_until_the_attempts_time_is_up_fails() {
    let endings = after_ends(None, SHORT / 2).await;
    assert_eq!(endings, ["timed out", "timed out", "timed out", "park"]);
}

#[tokio::test]
async fn an_attempt_with_less_time_than_anybody_needs_says_nothing_of_the_receiver() {
    assert_eq!(after_ends(None, LONG).await, ["timed out"; 4]);
}

#[tokio::test]
async fn what_we_break_off_says_nothing_of_the_receiver() {
    assert_eq!(after_ends(Some(Stop::Cancelled), LONG).await, ["Cancelled"; 4]);
    assert_eq!(after_ends(Some(Stop::Shutdown), LONG).await, ["Interrupted"; 4]);
}

const JOBS: i64 = 200;
const CONCURRENCY: usize = 4;
const OPEN_FOR: Duration = Duration::from_millis(300);

/// Two kinds, each with a receiver of its own and slots that they share.
fn configuration(db: &TestDb, broken: &Receiver, healthy: &Receiver) -> String {
    let kind = |name: &str, receiver: &Receiver| {
        format!(
            "[[kind]]\nname = '{name}'\nhandler = 'http'\nurl = '{}'\nallow_hosts = ['127.0.0.1']\n\
             max_attempts = 10\nmax_snoozes = 0\nbackoff.base = '10ms'\n\
             circuit.failures = {FAILURES}\ncircuit.open_for = '{}ms'\n",
            receiver.url("/"),
            OPEN_FOR.as_millis()
        )
    };
    format!(
        "[database]\nurl = '{}'\n[admin]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
         [[queue]]\nname = 'default'\nconcurrency = {CONCURRENCY}\n{}{}",
        db.url(),
        kind("broken", broken),
        kind("healthy", healthy)
    )
}

async fn count(pool: &PgPool, what: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {what}");
    sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(pool).await.expect("a row").get(0)
}

#[test]
fn a_receiver_that_fails_is_left_alone_and_costs_its_jobs_no_attempts() {
    // Keys: circuit.failures, circuit.open_for.
    support::run(async |db: TestDb| {
        let is_well = Arc::new(AtomicBool::new(false));
        let well = Arc::clone(&is_well);
        let broken = Receiver::answering(move |_| {
            let status =
                if well.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
            answer(status, &[], "")
        })
        .await;
        let healthy = Receiver::answering(|_| answer("200 OK", &[], "")).await;
        let mut daemon = Daemon::start(&configuration(&db, &broken, &healthy)).await;
        daemon.logged("daemon.started").await;
        let (pool, target) = (db.pool().await, broken.url(""));
        let began = Instant::now();
        // The broken one's stand in front.
        let insert =
            "INSERT INTO legwork.job (kind) SELECT unnest($1::text[]) FROM generate_series(1, $2)
                      ORDER BY 1";
        let kinds = &["broken", "healthy"][..];
        sqlx::query(insert).bind(kinds).bind(JOBS).execute(&pool).await.expect("inserted");

        let line = daemon.logged("circuit.opened").await;
        assert_eq!((&line["receiver"], &line["failures"]), (&target.clone().into(), &3.into()));
        support::eventually(
            "the healthy one's jobs are done, and the broken one was tried",
            async || {
                let done = "legwork.jobs WHERE kind = 'healthy' AND state = 'completed'";
                count(&pool, done).await == JOBS
                    && broken.requests().len() >= FAILURES + CONCURRENCY + 3
            },
        )
        .await;
        assert_eq!(healthy.requests().len(), usize::try_from(JOBS).expect("small"));
        assert!(daemon.metric("legwork_circuit_state", &["broken", &target]).await > 0.5);
        let other = daemon.metric("legwork_circuit_state", &["healthy", &healthy.url("")]).await;
        assert!(other < 0.5, "{other}");

        // Those that opened it, those that were under way, and then one at a time.
        let sent = broken.requests().len();
        let trials = 1 + began.elapsed().as_millis() / OPEN_FOR.as_millis();
        let most = FAILURES + CONCURRENCY + usize::try_from(trials).expect("few");
        assert!(sent <= most, "{sent} requests, {most} at most");
        let untouched = "legwork.job WHERE kind = 'broken' AND attempt = 0 AND snoozes = 0";
        let (untouched, sent) = (count(&pool, untouched).await, broken.requests().len());
        assert!(untouched >= JOBS - i64::try_from(sent).expect("few"), "{untouched}, {sent} sent");

        is_well.store(true, Ordering::SeqCst);
        daemon.logged("circuit.closed").await;
        support::eventually("all its jobs are done", async || {
            count(&pool, "legwork.jobs WHERE kind = 'broken' AND state = 'completed'").await == JOBS
        })
        .await;
        let failed = usize::try_from(count(&pool, "legwork.failed_attempt").await).expect("few");
        let sent = broken.requests().len();
        assert_eq!(sent, failed + usize::try_from(JOBS).expect("small"), "each was sent once more");
        assert!(daemon.metric("legwork_circuit_state", &["broken", &target]).await < 0.5);

        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(support::PATIENCE).await.success());
        pool.close().await;
        drop((broken, healthy));
    });
}

#[test]
fn a_circuit_that_opens_when_its_kind_is_gone_stands_open_in_no_metric() {
    support::run(async |db: TestDb| {
        let answers = Arc::new(Semaphore::new(0));
        let may_answer = Arc::clone(&answers);
        let failing = Receiver::doing(move |mut stream: TcpStream| {
            let may_answer = Arc::clone(&may_answer);
            async move {
                Request::read(&mut stream).await;
                may_answer.acquire().await.expect("it is open").forget();
                let failed = answer("503 Service Unavailable", &[], "");
                stream.write_all(failed.as_bytes()).await.expect("written");
            }
        })
        .await;
        let healthy = Receiver::answering(|_| answer("200 OK", &[], "")).await;
        let with = configuration(&db, &failing, &healthy);
        let mut daemon = Daemon::start(&with).await;
        let pool = db.pool().await;
        let insert = "INSERT INTO legwork.job (kind) SELECT 'broken' FROM generate_series(1, $1)";
        let jobs = i32::try_from(FAILURES).expect("few");
        sqlx::query(insert).bind(jobs).execute(&pool).await.expect("inserted");
        support::eventually("all are under way", async || failing.requests().len() == FAILURES)
            .await;

        reload(&daemon, &with.replace("'broken'", "'another'"), "config.reloaded").await;
        answers.add_permits(FAILURES);
        daemon.logged("circuit.opened").await;
        support::eventually("nothing is open", async || {
            daemon.metric("legwork_circuit_state", &["broken", &failing.url("")]).await < 0.5
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(support::PATIENCE).await.success());
        pool.close().await;
    });
}
