//! Traps 6 and 7: networks that fall silent, and a heartbeat that must not be late.
//!
//! sqlx sets no TCP keepalive, and what it does to a connection that goes back (a ping, UNLISTEN) has no
//! deadline: where a firewall has forgotten the connection, each of them would hold its place until the
//! kernel gives up, a quarter of an hour later. A connection that the [`Proxy`] has stranded takes
//! everything and answers nothing; what counts is that its client closes it, and goes on with another.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use legwork::heartbeat::{self, KeeperError, LeaseKeeper, LeaseTimes, Reports};
use legwork::supervise::Supervisor;
use nix::sys::signal::Signal;
use rstest::rstest;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::process::{Configuration, SLACK, becomes, enqueue};
use crate::support::{self, Daemon, PATIENCE, Proxy};

fn noop() -> [String; 1] {
    ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()]
}

#[test]
fn trap_6_every_connection_that_falls_silent_is_closed_in_time_and_another_takes_its_place() {
    // A listener is probed after 10 s and the probe has 5 s; everything else has 2 s at most.
    const BOUND: Duration = Duration::from_secs(17);
    support::run(async |db| {
        let pool = db.pool().await;
        let proxy = Proxy::before(&db.url()).await;
        let kinds = noop();
        let mut daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        let first = enqueue(&pool, "noop").await;
        becomes(&pool, first, "completed").await;
        support::eventually("the listener listens", async || {
            daemon.metric("legwork_listener_connected", &[]).await > 0.5
        })
        .await;

        proxy.strand();
        support::eventually("the connections are stranded", async || proxy.stranded() >= 5).await;
        let began = Instant::now();
        let next = enqueue(&pool, "noop").await;
        becomes(&pool, next, "completed").await;
        support::eventually("every silent connection is closed", async || proxy.stranded() == 0)
            .await;
        assert!(began.elapsed() < BOUND + SLACK, "{:?}", began.elapsed());
        support::eventually("the daemon is ready and its listener listens", async || {
            daemon.get("/health/ready").await.0 == 200
                && daemon.metric("legwork_listener_connected", &[]).await > 0.5
        })
        .await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn trap_6_a_network_that_falls_silent_during_the_start_delays_it_by_a_deadline() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        proxy.swallow("legwork.migration");
        let kinds = noop();
        let mut daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        daemon.logged("daemon.started").await;
        assert!(proxy.has_swallowed());
        assert_eq!(daemon.count("database.lost"), 1, "{}", daemon.printed());
        assert_eq!(proxy.stranded(), 0);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

/// What an operator types, and a word of the statement that doesn't arrive.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["job", "list"], "jobs_public"),
    (&["job", "cancel", "1"], "legwork.cancel"),
    (&["queue", "pause", "default"], "legwork.pause"),
    (&["enqueue", "noop", "{}"], "INSERT INTO legwork.job"),
];

#[test]
fn trap_6_a_command_whose_statement_is_lost_ends_at_its_deadline_and_says_so() {
    support::run(async |db| {
        let ran = COMMANDS.iter().map(async |(arguments, text)| {
            let proxy = Proxy::before(&db.url()).await;
            proxy.swallow(text);
            let mut command = cli::command(proxy.url(), arguments);
            command.env("LEGWORK_DATABASE__STATEMENT_TIMEOUT", "1s");
            let ran = cli::finished(command, None).await;
            assert!(proxy.has_swallowed(), "{arguments:?}: {}", ran.stderr);
            // A look may be repeated as it is; of a change that arrived after all nobody would know.
            let is_look = arguments == &["job", "list"];
            assert_eq!(ran.code, if is_look { 69 } else { 1 }, "{arguments:?}: {}", ran.stderr);
            let told = ran.stderr.contains("the change may have been made, though nobody said so");
            assert_eq!(told, !is_look, "{arguments:?}: {}", ran.stderr);
        });
        futures::future::join_all(ran).await;
    });
}

/// A keeper whose renewals take half a lease to answer, and from the second on don't.
struct Slow {
    sent: mpsc::Sender<Instant>,
    renewals: u32,
}

const TIMES: LeaseTimes =
    LeaseTimes { interval: Duration::from_millis(100), ttl: Duration::from_secs(6) };

impl LeaseKeeper for Slow {
    async fn register(&mut self, _boot: i64) -> Result<(), KeeperError> {
        Ok(())
    }

    async fn renew(&mut self, _boot: i64) -> Result<bool, KeeperError> {
        self.renewals += 1;
        if self.renewals > 1 {
            std::future::pending::<()>().await;
        }
        self.sent.send(Instant::now()).await.expect("the test listens");
        // The database renews at once, and its answer takes its time.
        sleep(TIMES.ttl / 2).await;
        Ok(true)
    }

    async fn retire(&mut self, _boot: i64) -> Result<(), KeeperError> {
        Ok(())
    }
}

#[test]
fn trap_7_leases_are_counted_from_when_the_renewal_was_sent_while_every_other_thread_is_blocked() {
    let (sent, mut sents) = mpsc::channel(10);
    let (lost, losses) = std::sync::mpsc::channel();
    let stop = CancellationToken::new();
    let reports = Reports {
        lost: Arc::new(move |_| lost.send(Instant::now()).expect("the test listens")),
        back: Arc::new(|| {}),
        renewed: Arc::new(|| {}),
        pulse: Arc::default(),
        runtime: None,
        stop: stop.clone(),
        retire: Arc::new(AtomicBool::new(false)),
    };
    let (publisher, leases) = heartbeat::leases();
    let keeper = Slow { sent, renewals: 0 };
    let notes = Supervisor::default().thread("heartbeat");
    let run = move || heartbeat::run((keeper, TIMES), reports, publisher, notes);
    let thread = std::thread::spawn(run);
    // This thread is blocked from here on, and there is no other.
    let lost = losses.recv_timeout(PATIENCE).expect("the leases are given up");
    let sent = sents.try_recv().expect("a renewal was sent");
    let ours = lost - sent;
    assert!(ours < TIMES.ttl, "given up {ours:?} after the renewal, when others may have them");
    assert!(ours > TIMES.ttl / 2, "given up {ours:?} after the renewal, though it was answered");
    stop.cancel();
    thread.join().expect("it doesn't panic").expect("it had a runtime");
    drop(leases);
}

#[test]
fn trap_6_a_migrator_whose_question_is_lost_before_it_changes_anything_ends_with_code_69() {
    support::run(async |db| {
        for (arguments, statement) in
            [(&["migrate", "status"][..], "legwork.migration"), (&["migrate", "up"], "set_config")]
        {
            let proxy = Proxy::before(&db.url()).await;
            proxy.swallow(statement);
            let mut command = cli::command(proxy.url(), arguments);
            command.env("LEGWORK_DATABASE__STATEMENT_TIMEOUT", "1s");
            let ran = cli::finished(command, None).await;
            assert!(proxy.has_swallowed(), "{arguments:?}");
            assert_eq!(ran.code, 69, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("didn't answer within"), "{}", ran.stderr);
        }
    });
}

#[rstest]
#[case::nothing_arrives_any_more(Proxy::blackhole, 69, "can't be reached, for 6s now")]
#[case::the_session_is_forgotten(Proxy::strand, 75, "has ended the migrating session")]
#[case::an_answer_is_lost(Proxy::mute, 75, "connection has fallen silent")]
fn trap_6_a_migration_that_nothing_is_heard_of_ends_and_says_that_its_state_is_unknown(
    #[case] falls_silent: fn(&Proxy),
    #[case] code: i32,
    #[case] what: &str,
) {
    support::run(async |db| {
        let pool = db.pool().await;
        let mut lock = pool.begin().await.expect("a transaction");
        let locking = sqlx::query("LOCK TABLE legwork.job IN ACCESS SHARE MODE");
        locking.execute(&mut *lock).await.expect("the lock is free");
        let proxy = Proxy::before(&db.url()).await;
        let mut command = cli::command(proxy.url(), &["migrate", "down", "--to", "0"]);
        command.env("LEGWORK_DATABASE__STATEMENT_TIMEOUT", "1s");
        let silence = async {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                AND datname = current_database() AND application_name = 'legwork migrate')";
            support::eventually("the migration waits for the lock", async || {
                sqlx::query_scalar(waits).fetch_one(&pool).await.expect("Postgres answers")
            })
            .await;
            falls_silent(&proxy);
        };
        let (ran, ()) = tokio::join!(cli::finished(command, None), silence);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        for said in [what, "is unknown", "`legwork migrate status`"] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
        lock.rollback().await.expect("it ends");
        pool.close().await;
        drop(proxy);
    });
}
