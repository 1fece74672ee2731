//! `/debug/tasks` and `/debug/pprof/goroutine`: where a running daemon's tasks and jobs wait.

use std::net::SocketAddr;

use legwork::{CancellationToken, Context, HandlerError, Job};
use serde_json::Value;
use sqlx::PgPool;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{Configuration, Notebook, becomes, enqueue, enqueue_many};
use crate::library::builder::{beside, ends, enqueued};
use crate::statements::{end, value};
use crate::support::{self, Daemon, Proxy, collector::Collector, http::get, judge::go_pprof};

fn noop() -> [String; 1] {
    ["[[kind]]\nname = 'noop'\nhandler = 'noop'\n".to_owned()]
}

/// A place in the tree that somebody waits at: the task, and for how long.
fn waiting<'t>(tree: &'t Value, component: &str, place: &str) -> Option<&'t Value> {
    let components = tree["components"].as_array().expect("a list");
    let of = components.iter().find(|of| of["name"] == component)?;
    let tasks = of["listed"].as_array().expect("a list");
    tasks.iter().find(|task| task["waits"]["at"] == place)
}

fn nap() -> String {
    "[[kind]]\nname = 'nap'\nhandler = 'sleep'\n".to_owned()
}

/// Enqueues jobs that sleep for ten minutes.
async fn naps(pool: &PgPool, count: i32) {
    let naps = "INSERT INTO legwork.job (kind, payload)
        SELECT 'nap', '600' FROM generate_series(1, $1)";
    sqlx::query(naps).bind(count).execute(pool).await.expect("jobs can be enqueued");
}

async fn tree(address: SocketAddr) -> Value {
    let (status, body) = get(address, "/debug/tasks").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("the tree is JSON")
}

/// Waits until a task of this component waits there, and gives it.
async fn comes_to(address: SocketAddr, component: &str, place: &str) -> Value {
    let mut found = Value::Null;
    support::eventually(&format!("a {component} waits at {place}"), async || {
        let tree = tree(address).await;
        found = waiting(&tree, component, place).cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_goes_on_is_shown_by_its_process_and_its_job() {
    support::run(async |db| {
        let (book, pool) = (Notebook::new(), db.pool().await);
        let kinds =
            [book.kind("slow", "echo $PPID >> notes; while [ ! -e go ]; do sleep 0.1; done", "")];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let admin = daemon.admin().await;
        let statement = "INSERT INTO legwork.job (kind, payload) VALUES ('slow', '{\"secret\": 1}') RETURNING id";
        let id: i64 = sqlx::query_scalar(statement).fetch_one(&pool).await.expect("a job");
        let guard = book.says("").await;
        let worker = comes_to(admin, "worker", "child").await;
        assert_eq!(worker["waits"]["pid"].to_string(), guard, "{worker}");
        let job = &worker["job"];
        assert_eq!(
            (&job["id"], &job["kind"], &job["queue"], &job["attempt"], &job["stopping"]),
            (&id.into(), &"slow".into(), &"default".into(), &1.into(), &false.into()),
            "{worker}"
        );
        let left = job["seconds_left"].as_f64().expect("a number");
        assert!((200.0..300.0).contains(&left), "of the five minutes that it has: {left}");
        let (_, text) = get(admin, "/debug/tasks?format=text").await;
        let line = text.lines().find(|line| line.contains(" child ")).expect("the worker's line");
        assert!(line.contains(&format!("pid {guard}")), "{text}");
        assert!(text.contains(&format!("job {id} slow in default, runs for ")), "{text}");
        let (_, counted) = get(admin, "/debug/pprof/goroutine?debug=1").await;
        assert!(
            counted
                .contains("1 @ worker child\n# labels: {\"kind\":\"slow\", \"queue\":\"default\"}"),
            "{counted}"
        );
        let (_, stanzas) = get(admin, "/debug/pprof/goroutine?debug=2").await;
        assert!(
            stanzas.contains(&format!("slow(job={id}, queue=default, attempt=1)")),
            "{stanzas}"
        );
        for said in [worker.to_string(), text, counted, stanzas] {
            assert!(!said.contains("secret"), "payloads never appear: {said}");
        }
        book.allow("go");
        comes_to(admin, "worker", "worker.idle").await;
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_receiver_that_does_not_answer_is_what_its_job_waits_for() {
    support::run(async |db| {
        let receiver = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = receiver.local_addr().expect("it has an address");
        let kinds = [format!(
            "[[kind]]\nname = 'hook'\nhandler = 'http'\nurl = 'http://{at}/'\nallow_hosts = ['127.0.0.1']\n"
        )];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let pool = db.pool().await;
        let admin = daemon.admin().await;
        enqueue(&pool, "hook").await;
        let (mut caller, _) = receiver.accept().await.expect("it calls");
        let worker = comes_to(admin, "worker", "http.response").await;
        assert_eq!(worker["job"]["kind"], "hook", "{worker}");
        let client = comes_to(admin, "http", "http.client").await;
        assert_eq!(client["name"], format!("http[http://{at}]"), "{client}");
        let tokio = &tree(admin).await["tokio"];
        assert_eq!(tokio["unregistered"], 0, "a connection is no leak: {tokio}");
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
        caller.write_all(head).await.expect("it listens");
        comes_to(admin, "worker", "http.body").await;
        drop(caller);
        comes_to(admin, "worker", "worker.idle").await;
        daemon.stop().await;
        pool.close().await;
    });
}

#[test]
fn a_database_that_says_nothing_is_what_the_loops_wait_for_ever_longer() {
    support::run(async |db| {
        let (proxy, pool) = (Proxy::before(&db.url()).await, db.pool().await);
        let kinds = [noop(), [nap()]].concat();
        let configuration = Configuration {
            // Long enough to see it grow.
            statement_timeout: "20s",
            ..Configuration::of(proxy.url(), &kinds)
        };
        let daemon = Daemon::start(&configuration.text()).await;
        let admin = daemon.admin().await;
        let first = enqueue(&pool, "noop").await;
        becomes(&pool, first, "completed").await;
        naps(&pool, 1).await;
        comes_to(admin, "worker", "sleep").await;
        comes_to(admin, "claimer", "claim.call").await;
        proxy.blackhole();
        let looking =
            async || comes_to(admin, "lookout", "claim.query").await["waits"]["seconds"].as_f64();
        let before = looking().await.expect("a number");
        support::eventually("it waits for a second more", async || {
            looking().await.is_some_and(|now| now > before + 1.0)
        })
        .await;
        // Its lease is lost meanwhile: the job is told to stop, and its verdict can't be written.
        comes_to(admin, "completer", "flush.query").await;
        comes_to(admin, "heartbeat", "database.connect").await;
        proxy.heal();
        comes_to(admin, "lookout", "lookout.pause").await;
        drop(daemon);
        pool.close().await;
    });
}

#[test]
fn a_function_of_the_database_is_what_its_job_waits_for_by_the_servers_process() {
    support::run(async |db| {
        let (pool, mut session) = (db.pool().await, db.connect().await);
        let function = "CREATE FUNCTION public.nap(payload jsonb) RETURNS jsonb LANGUAGE sql AS
            $$ SELECT payload FROM pg_sleep(600) $$";
        sqlx::query(function).execute(&mut session).await.expect("a function can be made");
        let kinds =
            ["[[kind]]\nname = 'calls'\nhandler = 'sql'\nfunction = 'public.nap'\n".to_owned()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let admin = daemon.admin().await;
        let id = enqueue(&pool, "calls").await;
        let worker = comes_to(admin, "worker", "sql.function").await;
        assert_eq!(worker["job"]["id"], id, "{worker}");
        let works = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'active' AND query LIKE '%public%nap%'
                AND pid <> pg_backend_pid()";
        // A worker is there as soon as it has sent what the server then begins.
        support::eventually("the server's process at the function is the worker's", async || {
            let pid = value(&mut session, works).await;
            pid.parse::<i64>().ok() == worker["waits"]["pid"].as_i64()
        })
        .await;
        let cancelled = format!("SELECT legwork.cancel({id})");
        value(&mut session, &cancelled).await;
        becomes(&pool, id, "cancelled").await;
        daemon.stop().await;
        end(session).await;
        pool.close().await;
    });
}

/// A flush that isn't answered: what the completer has room for fills up, and then workers wait with what they have done.
#[test]
fn a_completer_that_is_held_up_is_what_workers_wait_for_once_its_channel_is_full() {
    // More than a channel, what may lie aside and one flush hold together.
    const JOBS: i32 = 10_000;
    support::run(async |db| {
        let (pool, url, kinds) = (db.pool().await, db.url(), noop());
        let configuration =
            Configuration { statement_timeout: "20s", ..Configuration::of(&url, &kinds) };
        let daemon = Daemon::start(&configuration.text()).await;
        let admin = daemon.admin().await;
        let mut lock = pool.begin().await.expect("a transaction");
        let locking = sqlx::query("LOCK TABLE legwork.finished IN EXCLUSIVE MODE");
        locking.execute(&mut *lock).await.expect("a lock");
        enqueue_many(&pool, "noop", JOBS).await;
        let worker = comes_to(admin, "worker", "channel.send").await;
        let name = worker["name"].as_str().expect("a name");
        assert_eq!((&worker["state"], name.starts_with("worker[")), (&"waiting".into(), true));
        let (_, text) = get(admin, "/debug/tasks?format=text").await;
        let of_a_worker =
            |line: &&str| line.starts_with("  worker[") && line.contains(" channel.send ");
        assert!(text.lines().any(|line| of_a_worker(&line)), "{text}");
        comes_to(admin, "completer", "flush.query").await;
        lock.rollback().await.expect("the lock can be given back");
        let left = async || -> i64 {
            let count = sqlx::query_scalar("SELECT count(*) FROM legwork.job");
            count.fetch_one(&pool).await.expect("a count")
        };
        support::eventually("they go on", async || left().await < i64::from(JOBS) / 2).await;
        drop(daemon);
        pool.close().await;
    });
}

/// Every task of a daemon that has nothing to do has told where it waits, and they are all that live.
#[test]
fn an_idle_daemon_has_no_task_without_a_place_and_none_that_nobody_registered() {
    support::run(async |db| {
        let kinds = noop();
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let pool = db.pool().await;
        let admin = daemon.admin().await;
        enqueue_many(&pool, "noop", 200).await;
        let mut last = Value::Null;
        support::eventually("every task tells where it waits", async || {
            last = tree(admin).await;
            let components = last["components"].as_array().expect("a list");
            let tasks = components.iter().flat_map(|of| of["listed"].as_array().expect("a list"));
            // Whoever answers runs.
            let told = |task: &Value| task["name"] == "admin" || task["waits"].is_object();
            tasks.clone().count() > 15
                && tasks.clone().all(told)
                && last["tokio"]["unregistered"] == 0
        })
        .await;
        // A task may begin or end between two questions.
        support::eventually("the text says the same", async || {
            let tokio = &tree(admin).await["tokio"];
            let line = format!(
                "tokio: {} tasks alive, {} registered, 0 unregistered\n",
                tokio["alive"], tokio["registered"]
            );
            get(admin, "/debug/tasks?format=text").await.1.ends_with(&line)
        })
        .await;
        daemon.stop().await;
        pool.close().await;
    });
}

/// "Since when" is of the wait that goes on, and not of the loop that it is in.
#[test]
fn a_loop_that_goes_round_has_not_waited_since_its_beginning() {
    support::run(async |db| {
        let collector = Collector::new().await;
        let tracing = format!("[tracing]\notlp_endpoint = '{}'\n", collector.endpoint());
        let text = tracing + &Configuration::of(&db.url(), &noop()).text();
        let daemon = Daemon::start(&text).await;
        let admin = daemon.admin().await;
        for component in ["metrics", "pulse", "exporter", "poller", "heartbeat"] {
            support::eventually(&format!("{component} waits anew"), async || {
                let tree = tree(admin).await;
                let components = tree["components"].as_array().expect("a list");
                let task = components.iter().find(|of| of["name"] == component);
                task.is_some_and(|of| {
                    let task = &of["listed"][0];
                    let (waits, age) = (&task["waits"]["seconds"], &task["age_seconds"]);
                    // As long as it hasn't gone round, they are the same.
                    waits.as_f64().is_some_and(|waits| age.as_f64() > Some(waits * 2.0 + 0.1))
                })
            })
            .await;
        }
        daemon.stop().await;
    });
}

/// What a program's handler starts and forgets is the difference between what lives and what is known.
#[test]
fn tasks_that_a_handler_starts_and_forgets_are_the_leak_that_shows() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let open = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let (admin, go) = (open.local_addr().expect("it has an address"), CancellationToken::new());
        let wait = go.clone();
        #[expect(clippy::disallowed_methods, reason = "what a handler mustn't do is done here")]
        let leaky = move |tasks: usize, _: Context| {
            for _ in 0..tasks {
                let wait = wait.clone();
                tokio::spawn(async move { wait.cancelled().await });
            }
            async { Ok::<_, HandlerError>(()) }
        };
        let builder = support::pooled::builder(&db.url()).handler("leaky", leaky);
        let daemon = builder.build().expect("it is right").with_admin_port(open);
        let unregistered = async || tree(admin).await["tokio"]["unregistered"].as_u64();
        beside(daemon, async {
            // Others of this runtime are the test's own.
            let mut before = None;
            support::eventually("the daemon is up", async || {
                before = unregistered().await;
                waiting(&tree(admin).await, "claimer", "claim.call").is_some()
            })
            .await;
            let job = enqueued(&mut session, Job::new("leaky").payload(&7)).await;
            ends(&mut session, job, "completed").await;
            let (before, after) = (before.expect("a number"), unregistered().await);
            assert_eq!(after, Some(before + 7));
            let (_, counted) = get(admin, "/debug/pprof/goroutine?debug=1").await;
            assert!(
                counted.contains(&format!("{} @ unregistered unnamed\n", before + 7)),
                "{counted}"
            );
            go.cancel();
            support::eventually("they are gone", async || unregistered().await == Some(before))
                .await;
        })
        .await;
        end(session).await;
    });
}

#[test]
fn go_tool_pprof_reads_the_profile_of_tasks_and_its_tags() {
    support::run(async |db| {
        let kinds = [nap()];
        let daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let (admin, pool) = (daemon.admin().await, db.pool().await);
        naps(&pool, 3).await;
        support::eventually("three of them sleep", async || {
            let (_, counted) = get(admin, "/debug/pprof/goroutine?debug=1").await;
            counted.contains("3 @ worker sleep\n")
        })
        .await;
        let url = format!("http://{admin}/debug/pprof/goroutine");
        let Some(top) = go_pprof(&["-top", "-tagfocus=kind=nap", &url]).await else { return };
        assert!(top.contains("Type: tasks"), "{top}");
        let line = |name: &str| {
            let line = top.lines().find(|line| line.ends_with(name));
            line.unwrap_or_else(|| panic!("{name} in {top}")).split_whitespace().collect::<Vec<_>>()
        };
        // flat, flat%, sum%, cum, cum%, name
        assert_eq!(
            (line(" sleep")[0], line(" worker")[0], line(" worker")[3]),
            ("3", "0", "3"),
            "{top}"
        );
        let tags = go_pprof(&["-tags", &url]).await.expect("Go is here");
        assert!(tags.contains("nap") && tags.contains("default"), "{tags}");
        drop(daemon);
        pool.close().await;
    });
}
