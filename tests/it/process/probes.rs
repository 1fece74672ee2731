//! Health and metrics on the real port, and what a process holds after much work.

use nix::sys::signal::Signal;
use rstest::rstest;
use sqlx::{Connection, PgConnection};

use super::{Configuration, SLACK, becomes, count, enqueue, enqueue_many};
use crate::statements::{end, execute};
use crate::support::database::administrator_url;
use crate::support::{self, Daemon, PATIENCE, Proxy};

/// Waits until the daemon is ready.
async fn is_ready(daemon: &Daemon) {
    support::eventually("the daemon is ready", async || daemon.get("/health/ready").await.0 == 200)
        .await;
}

/// Waits until it isn't, for a reason whose line is this.
async fn is_unready(daemon: &Daemon, line: &str) {
    support::eventually(&format!("readiness says {line:?}"), async || {
        let (status, text) = daemon.get("/health/ready").await;
        status == 503 && text.lines().any(|other| other == line)
    })
    .await;
}

#[test]
fn readiness_names_its_reasons_and_liveness_does_not_ask_the_database() {
    support::run(async |db| {
        let proxy = Proxy::before(&db.url()).await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(proxy.url(), &kinds).text()).await;
        support::eventually("the daemon is ready", async || {
            daemon.get("/health/ready").await == (200, "ready\n".to_owned())
        })
        .await;
        assert_eq!(daemon.get("/health/live").await, (200, "live\n".to_owned()));

        proxy.blackhole();
        support::eventually("readiness says that the heartbeat is late", async || {
            let (status, reasons) = daemon.get("/health/ready").await;
            status == 503 && reasons.contains("[-]heartbeat failed: nothing reported for")
        })
        .await;
        support::eventually("readiness says that claims aren't answered", async || {
            daemon.get("/health/ready").await.1.contains("[-]claimers failed: claims aren't")
        })
        .await;
        assert_eq!(daemon.get("/health/live").await.0, 200);

        proxy.heal();
        is_ready(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}

/// One reason for which a daemon isn't ready: how it comes about on the server, and how it goes.
struct Trouble {
    check: &'static str,
    reason: &'static str,
    begins: &'static [&'static str],
    ends: &'static [&'static str],
}

const CLAIMERS: Trouble = Trouble {
    check: "claimers",
    reason: "claims aren't answered",
    begins: &["ALTER TABLE legwork.queue RENAME TO hidden"],
    ends: &["ALTER TABLE legwork.hidden RENAME TO queue"],
};
const HEARTBEAT: Trouble = Trouble {
    check: "heartbeat",
    reason: "nothing reported for",
    begins: &["ALTER TABLE legwork.daemon RENAME TO hidden"],
    ends: &["ALTER TABLE legwork.hidden RENAME TO daemon"],
};
const SCHEMA: Trouble = Trouble {
    check: "schema",
    reason: "run `legwork migrate up`",
    begins: &[
        "CREATE TABLE public.set_aside AS
         SELECT * FROM legwork.migration ORDER BY version DESC LIMIT 1",
        "DELETE FROM legwork.migration WHERE version = (SELECT version FROM public.set_aside)",
    ],
    ends: &["INSERT INTO legwork.migration SELECT * FROM public.set_aside"],
};
/// Verdicts fail for the moment, not for their rows: a lock that isn't to be had.
const FLUSH: Trouble = Trouble {
    check: "flush",
    reason: "verdicts can't be written",
    begins: &[
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN RAISE lock_not_available; END $$",
        "CREATE TRIGGER refuse BEFORE DELETE ON legwork.job FOR EACH STATEMENT
         EXECUTE FUNCTION public.refuse()",
        "INSERT INTO legwork.job (kind) VALUES ('noop')",
    ],
    ends: &["DROP TRIGGER refuse ON legwork.job"],
};

#[rstest]
#[case::claimers(&CLAIMERS)]
#[case::heartbeat(&HEARTBEAT)]
#[case::schema(&SCHEMA)]
#[case::flush(&FLUSH)]
fn each_reason_of_readiness_comes_true_and_goes_again(#[case] trouble: &Trouble) {
    support::run(async |db| {
        let mut operator = db.connect().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_ready(&daemon).await;
        // The first job makes the sessions that are made when they are needed.
        execute(&mut operator, "INSERT INTO legwork.job (kind) VALUES ('noop')").await;

        for statement in trouble.begins {
            execute(&mut operator, statement).await;
        }
        let said = format!("[-]{} failed: ", trouble.check);
        support::eventually(&format!("readiness says {said:?}"), async || {
            let (status, text) = daemon.get("/health/ready").await;
            let line = text.lines().find(|line| line.starts_with(&said));
            status == 503 && line.is_some_and(|line| line.contains(trouble.reason))
        })
        .await;
        assert_eq!(daemon.get("/health/live").await.0, 200);
        for statement in trouble.ends {
            execute(&mut operator, statement).await;
        }
        is_ready(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        end(operator).await;
    });
}

/// Longer than any loop of this configuration may be in one step: 2 s for a statement, and 6 s.
const LATE_AFTER: f64 = 8.0;

#[test]
fn a_lock_that_statements_wait_for_makes_no_loop_late_and_has_none_started_again() {
    support::run(async |db| {
        let mut operator = db.connect().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_ready(&daemon).await;
        execute(&mut operator, "BEGIN; LOCK TABLE legwork.job").await;
        is_unready(&daemon, "[-]claimers failed: claims aren't answered").await;
        // Each waits for the lock for 1 s: so many end only after longer than a loop may be late. Between them are
        // pauses that grow to seconds, so it takes most of the usual patience where nothing else is to be done.
        let waited = support::holds_within(2 * PATIENCE, async || {
            let text = daemon.get("/health/ready?verbose").await.1;
            assert!(text.lines().any(|line| line == "[+]loops ok"), "{text}");
            let labels = [r#"operation="look""#, r#"sqlstate_class="55""#];
            let missed = daemon.metric("legwork_db_errors_total", &labels).await;
            missed.is_finite() && missed > LATE_AFTER
        })
        .await;
        assert!(waited, "looks haven't waited for that long: {}", daemon.printed());
        execute(&mut operator, "ROLLBACK").await;
        is_ready(&daemon).await;
        assert_eq!(daemon.count("task.restarted"), 0, "{}", daemon.printed());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        end(operator).await;
    });
}

#[rstest]
#[case::pool("maintenance", "[-]pool failed: down: maintenance")]
#[case::survey("survey", "[-]pool failed: down: survey")]
#[case::listener("listener", "[-]listener failed: wake-ups don't arrive; polls go on")]
fn a_session_that_cannot_come_back_is_a_reason_until_it_can(
    #[case] role: &str,
    #[case] reason: &str,
) {
    support::run(async |db| {
        // Beside the database: nobody can close one that he is in.
        let mut operator = PgConnection::connect(&administrator_url().await).await.unwrap();
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_ready(&daemon).await;
        let allow = |yes: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {yes}", db.name());
        execute(&mut operator, &allow(false)).await;
        let terminate = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = '{}' AND application_name = 'legwork {role}'",
            db.name()
        );
        execute(&mut operator, &terminate).await;
        is_unready(&daemon, reason).await;
        assert_eq!(daemon.get("/health/live").await.0, 200);
        execute(&mut operator, &allow(true)).await;
        is_ready(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        end(operator).await;
    });
}

/// Whoever drops a day by hand, in a database where none can be made.
const DAYS_GONE: &str = "
    ALTER FUNCTION legwork.make_partitions(date, date) RENAME TO hidden;
    DO $$ DECLARE part regclass; BEGIN
        FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'legwork.finished'::regclass
        LOOP EXECUTE format('DROP TABLE %s', part); END LOOP;
    END $$";

#[test]
fn a_day_of_history_that_is_missing_and_cannot_be_made_is_a_reason() {
    support::run(async |db| {
        let mut operator = db.connect().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_ready(&daemon).await;
        execute(&mut operator, DAYS_GONE).await;
        support::eventually("readiness names the day", async || {
            let (status, text) = daemon.get("/health/ready").await;
            let names = |line: &str| {
                line.starts_with("[-]partition failed: history's finished_")
                    && line.ends_with(" is missing and can't be made")
            };
            status == 503 && text.lines().any(names)
        })
        .await;
        let back = "ALTER FUNCTION legwork.hidden(date, date) RENAME TO make_partitions";
        execute(&mut operator, back).await;
        is_ready(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        end(operator).await;
    });
}

#[test]
fn who_locks_the_makers_lock_or_a_queues_row_keeps_no_daemon_from_being_ready() {
    support::run(async |db| {
        let mut other = db.connect().await;
        execute(&mut other, "SELECT pg_advisory_lock(hashtextextended('legwork.partitions', 0))")
            .await;
        execute(&mut other, "BEGIN").await;
        execute(&mut other, "SELECT legwork.pause('default')").await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        is_ready(&daemon).await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        end(other).await;
    });
}

#[test]
fn a_job_is_counted_on_the_metrics_page() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds = ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;

        let labels = [r#"queue="default""#, r#"kind="noop""#, r#"outcome="completed""#];
        support::eventually("the finished job is counted", async || {
            daemon.metric("legwork_jobs_finished_total", &labels).await.to_string() == "1"
        })
        .await;
        for (name, labels) in [
            ("legwork_jobs_claimed_total", &labels[..1]),
            ("legwork_job_duration_seconds_count", &labels[..2]),
        ] {
            assert_eq!(daemon.metric(name, labels).await.to_string(), "1", "{name}");
        }
        drop(daemon);
        pool.close().await;
    });
}

#[test]
#[cfg(target_os = "linux")]
fn five_hundred_programs_leave_no_thread_descriptor_or_child() {
    support::run(async |db| {
        let pool = db.pool().await;
        let kinds =
            ["[[kind]]\nname = 'true'\nhandler = 'command'\ncommand = ['/bin/true']\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let completed = async |wanted: i64| {
            let what = format!("{wanted} programs have run");
            support::eventually(&what, async || count(&pool, "true", "completed").await == wanted)
                .await;
        };
        enqueue_many(&pool, "true", 40).await;
        completed(40).await;
        support::eventually("no program is left", async || daemon.holds().children == 0).await;
        let before = daemon.holds();

        enqueue_many(&pool, "true", 500).await;
        completed(540).await;
        support::eventually(&format!("it holds what it held before, {before:?}"), async || {
            let now = daemon.holds();
            now.threads <= before.threads
                && now.descriptors <= before.descriptors
                && now.children == 0
        })
        .await;
        drop(daemon);
        pool.close().await;
    });
}
