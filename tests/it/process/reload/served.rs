//! Queues and kinds that are added and removed while the daemon runs.

use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{Notebook, PATIENT, becomes, enqueue, file, limits::published, reload};
use crate::{
    process::{count, job},
    support::{self, Daemon},
};

fn queues(queues: &[(&str, u32)]) -> String {
    let one =
        |(name, jobs): &(&str, u32)| format!("[[queue]]\nname = '{name}'\nconcurrency = {jobs}\n");
    queues.iter().map(one).collect()
}

async fn enqueue_in(pool: &PgPool, queue: &str, kind: &str) -> i64 {
    let statement = "INSERT INTO legwork.job (queue, kind) VALUES ($1, $2) RETURNING id";
    let inserted = sqlx::query_scalar(statement).bind(queue).bind(kind).fetch_one(pool).await;
    inserted.expect("a job can be enqueued")
}

async fn takes_over(daemon: &Daemon, text: &str, changed: &str) {
    let line = reload(daemon, text, "config.reloaded").await;
    assert_eq!(
        (&line["config.changed"], line.get("config.needs_restart")),
        (&changed.into(), None)
    );
}

async fn stop(daemon: Daemon) {
    assert_eq!(daemon.count("task.restarted") + daemon.count("task.failed"), 0);
    daemon.stop().await;
}

const NOOP: &str = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";
const MAIL: &str = "[[queue]] \"mail\" (added)";
const NO_MAIL: &str = "[[queue]] \"mail\" (removed)";

#[test]
fn a_queue_is_served_while_it_is_listed_and_what_runs_ends_in_peace() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = format!("{NOOP}{}", notebook.kind("patient", PATIENT, ""));
        let text = |listed: &[(&str, u32)]| file(&db.url(), &format!("{}{kinds}", queues(listed)));
        let (alone, both) = (text(&[("default", 3)]), text(&[("default", 3), ("mail", 1)]));
        let daemon = Daemon::start(&alone).await;
        daemon.logged("daemon.started").await;
        let first = enqueue_in(&pool, "mail", "patient").await;

        takes_over(&daemon, &both, MAIL).await;
        notebook.says(&format!("started {first}")).await;
        published(&pool, "$.queues == \"mail\" && $.load.queues.mail.in_use == 1").await;
        takes_over(&daemon, &alone, NO_MAIL).await;
        let second = enqueue_in(&pool, "mail", "patient").await;
        published(&pool, "!exists($.queues[*] ? (@ == \"mail\"))").await;
        assert_eq!(job(&pool, first).await.state, "running");

        // Served again while it runs: it has the one slot that there is.
        takes_over(&daemon, &both, MAIL).await;
        published(&pool, "$.load.queues.mail.in_use == 1").await;
        let noop = enqueue(&pool, "noop").await;
        becomes(&pool, noop, "completed").await;
        assert_eq!(notebook.lines().len(), 1, "the second waits for the slot");
        notebook.allow(&format!("go{first}"));
        assert_eq!(becomes(&pool, first, "completed").await.attempt, 1);
        notebook.says(&format!("started {second}")).await;

        takes_over(&daemon, &alone, NO_MAIL).await;
        notebook.allow(&format!("go{second}"));
        assert_eq!(becomes(&pool, second, "completed").await.attempt, 1);
        let third = enqueue_in(&pool, "mail", "noop").await;
        support::eventually("its workers have ended, and nothing of it is shown", async || {
            let labels = ["queue=\"mail\""];
            daemon.metric("legwork_supervised_tasks", &["component=\"worker\""]).await < 2.0
                && daemon.metric("legwork_channel_capacity", &labels).await < 0.5
                && daemon.metric("legwork_workers", &labels).await < 0.5
        })
        .await;
        support::eventually("its name has left the metrics", async || {
            let (_, page) = daemon.get("/metrics").await;
            assert!(page.contains("queue=\"default\""), "{page}");
            !page.contains("mail")
        })
        .await;
        let noop = enqueue(&pool, "noop").await;
        becomes(&pool, noop, "completed").await;
        assert_eq!(job(&pool, third).await.state, "available");
        takes_over(&daemon, &both, MAIL).await;
        becomes(&pool, third, "completed").await;
        assert_eq!(notebook.lines().len(), 2);
        stop(daemon).await;
        pool.close().await;
    });
}

#[test]
fn a_kind_is_served_while_it_is_listed_and_what_is_claimed_runs_or_goes_back() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let patient = notebook.kind("patient", PATIENT, "");
        let limited = "[[kind]]\nname = 'limited'\nhandler = 'noop'\nrate_limit = '1/h'\n";
        let text =
            |kinds: &str| file(&db.url(), &format!("{}{NOOP}{kinds}", queues(&[("default", 2)])));
        let daemon = Daemon::start(&text("")).await;
        daemon.logged("daemon.started").await;
        let runs = enqueue(&pool, "patient").await;
        let waits = enqueue(&pool, "limited").await;

        let keys = "[[kind]] \"patient\" (added), [[kind]] \"limited\" (added)";
        takes_over(&daemon, &text(&format!("{patient}{limited}")), keys).await;
        notebook.says(&format!("started {runs}")).await;
        published(&pool, "$.kinds == \"limited\" && $.load.kinds.limited.waiting == 1").await;
        assert_eq!(job(&pool, waits).await.state, "running", "it is claimed, and waits");

        takes_over(&daemon, &text(""), &keys.replace("added", "removed")).await;
        becomes(&pool, waits, "available").await;
        support::eventually("what doesn't run has left the metrics", async || {
            let (_, page) = daemon.get("/metrics").await;
            // What runs is counted to its end.
            assert!(
                page.contains("legwork_jobs_in_flight{queue=\"default\",kind=\"patient\"} 1\n")
            );
            !page.contains("limited")
        })
        .await;
        published(&pool, "!exists($.kinds[*] ? (@ != \"noop\"))").await;
        notebook.allow(&format!("go{runs}"));
        assert_eq!(becomes(&pool, runs, "completed").await.attempt, 1);
        let later = enqueue(&pool, "patient").await;
        let noop = enqueue(&pool, "noop").await;
        becomes(&pool, noop, "completed").await;
        assert_eq!(job(&pool, later).await.state, "available");
        support::eventually("what ran has left them too", async || {
            !daemon.get("/metrics").await.1.contains("patient")
        })
        .await;

        takes_over(&daemon, &text(&limited.replace("1/h", "9/s")), "[[kind]] \"limited\" (added)")
            .await;
        assert_eq!(becomes(&pool, waits, "completed").await.attempt, 1);
        let rust = text("[[kind]]\nname = 'mine'\nhandler = 'rust'\n");
        let refused = reload(&daemon, &rust, "config.reload_failed").await;
        let said = refused["error.message"].as_str().expect("a message");
        assert!(said.contains("\"mine\"") && said.contains("registers no handler"), "{said}");
        assert_eq!(job(&pool, later).await.state, "available");
        stop(daemon).await;
        pool.close().await;
    });
}

#[test]
fn a_kind_that_calls_a_function_comes_and_goes_with_a_reload() {
    support::run(async |db| {
        let pool = db.pool().await;
        let schema = "CREATE SCHEMA app; CREATE TABLE app.effect (payload jsonb);
            CREATE FUNCTION app.work(payload jsonb) RETURNS jsonb LANGUAGE sql
            AS 'INSERT INTO app.effect VALUES (payload) RETURNING payload'";
        sqlx::raw_sql(schema).execute(&pool).await.expect("a schema");
        let effects = async || {
            let counted = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM app.effect");
            counted.fetch_one(&pool).await.expect("an answer")
        };
        let kind = |keys: &str| file(&db.url(), &format!("[[kind]]\nname = 'work'\n{keys}\n"));
        let sql = kind("handler = 'sql'\nfunction = 'app.work'");
        let daemon = Daemon::start(&kind("handler = 'noop'")).await;
        let id = enqueue(&pool, "work").await;
        becomes(&pool, id, "completed").await;

        takes_over(&daemon, &sql, "[[kind]] \"work\".handler (or a key of it)").await;
        let id = enqueue(&pool, "work").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(effects().await, 1);
        takes_over(
            &daemon,
            &kind("handler = 'noop'"),
            "[[kind]] \"work\".handler (or a key of it)",
        )
        .await;
        let id = enqueue(&pool, "work").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(effects().await, 1);

        // What can't be called is told of at once, before any job.
        takes_over(
            &daemon,
            &sql.replace("app.work", "app.absent"),
            "[[kind]] \"work\".handler (or a key of it)",
        )
        .await;
        assert_eq!(daemon.logged("function.failed").await["function"], "app.absent");
        stop(daemon).await;
        pool.close().await;
    });
}

/// The file of a round: queues, kinds and limits come and go, each at a rhythm of its own.
fn changing(url: &str, round: u32, kinds: [&str; 2]) -> String {
    let mut listed = vec![("default", 2 + round % 4)];
    if round.is_multiple_of(2) {
        listed.push(("mail", 20 + round % 3));
    }
    let limit = |every, limit: &str| match round % every {
        0 => format!("rate_limit = '{limit}'\n"),
        _ => String::new(),
    };
    let [one, two] = kinds;
    let one = format!("{one}{}", limit(4, "300/s burst 20"));
    let two = if round % 3 == 1 { String::new() } else { format!("{two}{}", limit(5, "200/s")) };
    let noop = if round % 5 == 3 { String::new() } else { format!("{NOOP}{}", limit(3, "900/s")) };
    file(url, &format!("{}{}{one}{two}{noop}", queues(&listed), limit(7, "500/s")))
}

/// Enqueues in both queues, again and again until the reloads are over; gives how many of each program.
async fn produce(pool: &PgPool, reloading: &AtomicBool) -> i64 {
    let produce = "INSERT INTO legwork.job (queue, kind) SELECT q, k FROM generate_series(1, 20) n, \
                   unnest(ARRAY['default', 'mail']) q, unnest(ARRAY['one', 'two', 'noop']) k \
                   WHERE k = 'noop' OR n = 1";
    let mut produced = 0;
    while reloading.load(Relaxed) && produced < 400 {
        sqlx::query(produce).execute(pool).await.expect("jobs can be enqueued");
        produced += 2;
    }
    produced
}

#[test]
fn twenty_reloads_under_load_lose_no_job_and_run_none_twice() {
    const ROUNDS: u32 = 20;
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let script = "echo $LEGWORK_JOB_ID >> notes";
        let kinds = [notebook.kind("one", script, ""), notebook.kind("two", script, "")];
        let kinds = || [kinds[0].as_str(), kinds[1].as_str()];
        let daemon = Daemon::start(&changing(&db.url(), 0, kinds())).await;
        daemon.logged("daemon.started").await;
        let reloading = AtomicBool::new(true);
        let reloads = async {
            for round in 1..=ROUNDS {
                // The last one serves everything.
                let text = changing(&db.url(), round % ROUNDS, kinds());
                let line = reload(&daemon, &text, "config.reloaded").await;
                assert_eq!(line.get("config.needs_restart"), None, "{line}");
            }
            reloading.store(false, Relaxed);
        };
        let (produced, ()) = tokio::join!(produce(&pool, &reloading), reloads);
        for (kind, jobs) in [("one", produced), ("two", produced), ("noop", 20 * produced)] {
            support::eventually(&format!("every {kind} is done"), async || {
                count(&pool, kind, "completed").await == jobs
            })
            .await;
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for line in notebook.lines() {
            *runs.entry(line).or_default() += 1;
        }
        assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
        assert_eq!(i64::try_from(runs.len()).ok(), Some(2 * produced));
        let charged = "SELECT count(*) FROM legwork.jobs WHERE attempt <> 1 OR rescues > 0";
        let charged = sqlx::query_scalar::<_, i64>(charged).fetch_one(&pool).await;
        assert_eq!(charged.expect("an answer"), 0, "each took one attempt");
        assert_eq!(daemon.count("job.late") + daemon.count("job.failed"), 0);
        stop(daemon).await;
        pool.close().await;
    });
}

/// As many queues and kinds as a file may have, the queues called so.
fn all_that_may_be(url: &str, queues: &str) -> String {
    let queues = (0..256).map(|n| format!("[[queue]]\nname = '{queues}{n}'\nconcurrency = 1\n"));
    let kinds = (0..1024).map(|n| format!("[[kind]]\nname = 'k{n}'\nhandler = 'noop'\n"));
    file(url, &queues.chain(kinds).collect::<String>())
}

#[test]
fn all_the_queues_and_kinds_that_a_file_may_have_are_served_and_changed() {
    support::run(async |db| {
        let pool = db.pool().await;
        let daemon = Daemon::start(&all_that_may_be(&db.url(), "old")).await;
        daemon.logged("daemon.started").await;
        let job =
            "INSERT INTO legwork.job (kind, queue) VALUES ('k1023', 'old255'), ('k1023', 'new255')";
        sqlx::query(job).execute(&pool).await.expect("jobs");
        let done = async |jobs| count(&pool, "k1023", "completed").await == jobs;
        support::eventually("the last queue's job is done", async || done(1).await).await;
        reload(&daemon, &all_that_may_be(&db.url(), "new"), "config.reloaded").await;
        support::eventually("so is that of the one that is new", async || done(2).await).await;
        daemon.stop().await;
        pool.close().await;
    });
}
