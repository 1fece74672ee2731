//! HUP: the configuration is read again, beside the work and without a restart.

mod history;
mod limits;
mod served;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram};

use super::{Configuration, Notebook, SLACK, becomes, count, enqueue, enqueue_many};
use crate::support::{self, Daemon};

/// A file with these sections behind what every test has.
fn file(url: &str, sections: &str) -> String {
    Configuration::of(url, &[sections.to_owned()]).text()
}

/// Puts this file in the place of the daemon's own and has it read; gives the line that says how that
/// went.
pub(crate) async fn reload(daemon: &Daemon, text: &str, event: &str) -> Value {
    let text = support::pooled::file(text);
    fs::write(daemon.directory().join("legwork.toml"), text).expect("a file can be written");
    let from = daemon.lines();
    daemon.signal(Signal::SIGHUP);
    daemon.logged_since(from, event).await
}

async fn capacity(daemon: &Daemon) -> f64 {
    daemon.metric("legwork_channel_capacity", &["queue=\"default\""]).await
}

fn queue(concurrency: u32) -> String {
    format!("[[queue]]\nname = 'default'\nconcurrency = {concurrency}\n")
}

#[test]
fn under_load_concurrency_and_handlers_change_and_no_job_is_lost_or_run_twice() {
    const JOBS: u8 = 120;
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let script = |word: &str| format!("sleep 0.05\necho {word} $LEGWORK_JOB_ID >> notes");
        let before = notebook.kind("work", &script("before"), "");
        let after = before.replace("work']", "after']").replace("/work'", "/after'");
        fs::write(notebook.path("after"), script("after")).expect("a script can be written");
        let text = |jobs, kind: &str| file(&db.url(), &format!("{}{kind}", queue(jobs)));
        let mut daemon = Daemon::start(&text(2, &before)).await;
        daemon.logged("daemon.started").await;
        assert!((capacity(&daemon).await - 2.0).abs() < f64::EPSILON);
        enqueue_many(&pool, "work", JOBS.into()).await;
        notebook.says("before").await;

        let line = reload(&daemon, &text(8, &after), "config.reloaded").await;
        assert_eq!(
            (line["config.changed"].as_str(), line["config.needs_restart"].as_str()),
            (
                Some(
                    "[[queue]] \"default\".concurrency, [[kind]] \"work\".handler (or a key of it)"
                ),
                None
            )
        );
        assert!((capacity(&daemon).await - 8.0).abs() < f64::EPSILON);
        support::eventually("more run at once than there were slots", async || {
            daemon.metric("legwork_jobs_in_flight", &[]).await > 2.0
        })
        .await;
        for jobs in [1, 6, 3, 8] {
            reload(&daemon, &text(jobs, &after), "config.reloaded").await;
            assert!((capacity(&daemon).await - f64::from(jobs)).abs() < f64::EPSILON);
        }
        support::eventually("all are done", async || {
            count(&pool, "work", "completed").await == i64::from(JOBS)
        })
        .await;

        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        let lines = notebook.lines();
        for line in &lines {
            *runs.entry(line.split_once(' ').expect("two words").1.into()).or_default() += 1;
        }
        assert_eq!((runs.len(), lines.len()), (JOBS.into(), JOBS.into()), "{lines:?}");
        assert!(lines.last().expect("a line").starts_with("after"), "{lines:?}");
        assert_eq!(daemon.count("task.restarted") + daemon.count("job.failed"), 0);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// Runs until it is allowed to end, by a file of its own.
const PATIENT: &str = "echo started $LEGWORK_JOB_ID >> notes
while [ ! -e go$LEGWORK_JOB_ID ]; do sleep 0.02; done";

#[test]
fn fewer_slots_end_no_job_and_start_none_before_enough_have_ended() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kind = notebook.kind("patient", PATIENT, "");
        let text = |jobs| file(&db.url(), &format!("{}{kind}", queue(jobs)));
        let mut daemon = Daemon::start(&text(3)).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(enqueue(&pool, "patient").await);
        }
        for id in &ids {
            notebook.says(&format!("started {id}")).await;
        }
        reload(&daemon, &text(1), "config.reloaded").await;
        let waiting = enqueue(&pool, "patient").await;
        for id in &ids[..2] {
            notebook.allow(&format!("go{id}"));
            becomes(&pool, *id, "completed").await;
        }
        // The database is told of it as well, and by then a claim would have had its time.
        let published = "SELECT (load -> 'queues' -> 'default' ->> 'in_use')::int = 1 AND \
                         (limits -> 'queues' -> 'default' ->> 'slots')::int = 1 FROM legwork.daemon";
        support::eventually("one slot is published, in use", async || {
            sqlx::query_scalar::<_, bool>(published).fetch_one(&pool).await.expect("an answer")
        })
        .await;
        assert_eq!(notebook.lines().len(), 3, "the one slot that there is is taken");

        notebook.allow(&format!("go{}", ids[2]));
        notebook.says(&format!("started {waiting}")).await;
        notebook.allow(&format!("go{waiting}"));
        becomes(&pool, waiting, "completed").await;
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

const SUCCESSFUL: &str = "legwork_config_last_reload_successful";
const SUCCEEDED_AT: &str = "legwork_config_last_reload_success_timestamp_seconds";

#[test]
fn a_broken_file_changes_nothing_and_says_so_until_it_is_repaired() {
    support::run(async |db| {
        let pool = db.pool().await;
        let noop = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";
        let right = file(&db.url(), &format!("{}{noop}", queue(2)));
        let mut daemon = Daemon::start(&right).await;
        daemon.logged("daemon.started").await;
        let started_at = daemon.metric(SUCCEEDED_AT, &[]).await;
        assert!((daemon.metric(SUCCESSFUL, &[]).await - 1.0).abs() < f64::EPSILON);

        let broken =
            file(&db.url(), &format!("{}{noop}timeout = 'soon'\nmax_attempts = 0\n", queue(5)));
        reload(&daemon, &broken, "config.reload_failed").await;
        support::eventually("readiness has a warning and is well", async || {
            let (status, said) = daemon.get("/health/ready").await;
            status == 200 && said.contains("[!]configuration: it wasn't reloaded")
        })
        .await;
        let said: Vec<_> = daemon.events();
        let mistakes: Vec<_> =
            said.iter().filter(|line| line["event"] == "config.reload_failed").collect();
        let lines: Vec<_> = broken.lines().collect();
        for (mistake, key) in mistakes.iter().zip(["max_attempts", "timeout"]) {
            assert!(
                mistakes
                    .iter()
                    .any(|m| m["error.message"].as_str().is_some_and(|m| m.contains(key)))
            );
            let place = mistake["config.place"].as_str().expect("a place");
            let (path, line) = place.rsplit_once(':').expect("a line");
            assert!(path.ends_with("legwork.toml"), "{place}");
            let line: usize = line.parse().expect("a number");
            assert!(["timeout", "max_att"].iter().any(|key| lines[line - 1].starts_with(key)));
        }
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(daemon.metric(SUCCESSFUL, &[]).await.abs() < f64::EPSILON);
        assert!((daemon.metric(SUCCEEDED_AT, &[]).await - started_at).abs() < f64::EPSILON);
        assert!((capacity(&daemon).await - 2.0).abs() < f64::EPSILON, "none of it holds");
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;

        reload(&daemon, &right, "config.reloaded").await;
        support::eventually("all is well again", async || {
            let (_, said) = daemon.get("/health/ready").await;
            daemon.metric(SUCCESSFUL, &[]).await > 0.0 && said == "ready\n"
        })
        .await;
        assert!(daemon.metric(SUCCEEDED_AT, &[]).await > started_at);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn keys_that_need_a_restart_are_named_each_time_and_the_log_filter_holds_at_once() {
    support::run(async |db| {
        let pool = db.pool().await;
        let noop = "[[kind]]\nname = 'noop'\nhandler = 'noop'\n";
        let mut daemon = Daemon::start(&file(&db.url(), noop)).await;
        daemon.logged("daemon.started").await;
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(daemon.count("job.started"), 0, "lines of debug aren't asked for");

        let other = "[[kind]]\nname = 'other'\nhandler = 'noop'\nrate_limit = '5/s'\n";
        let changed = file(&db.url(), &format!("[claim]\nbatch = 7\n{noop}{other}"))
            .replace("format = 'json'\n", "format = 'json'\nfilter = 'debug'\n");
        for told in ["log.filter, [[kind]] \"other\" (added)", ""] {
            let line = reload(&daemon, &changed, "config.reloaded").await;
            assert_eq!(line["config.changed"], told);
            assert_eq!(line["config.needs_restart"], "claim.batch");
            assert_eq!(line["level"], "WARN");
        }
        let id = enqueue(&pool, "noop").await;
        becomes(&pool, id, "completed").await;
        assert_eq!(daemon.logged("job.started").await["job.id"], id);
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

#[test]
fn a_filter_that_silences_all_else_is_warned_of_all_the_same_at_the_start_and_by_a_reload() {
    support::run(async |db| {
        let silent = |filter: &str| {
            let with = format!("format = 'json'\nfilter = '{filter}'\n");
            file(&db.url(), "").replace("format = 'json'\n", &with)
        };
        let daemon = Daemon::start(&silent("hyper=error")).await;
        let told = async |filter: &str| {
            let text = format!("log.filter: {filter:?} has no level for all else");
            support::eventually("it is warned of", async || {
                let is_told = |line: &Value| {
                    line["message"].as_str().is_some_and(|said| said.contains(&text))
                };
                daemon.events().iter().any(is_told)
            })
            .await;
        };
        told("hyper=error").await;
        // That is before it hears signals, and it says nothing once it does.
        let pool = db.pool().await;
        support::eventually("it is registered", async || {
            let is_there = sqlx::query_scalar::<_, bool>("SELECT EXISTS (TABLE legwork.daemon)");
            is_there.fetch_one(&pool).await.expect("an answer")
        })
        .await;
        pool.close().await;
        let text = support::pooled::file(&silent("hyper=warn"));
        fs::write(daemon.directory().join("legwork.toml"), text).expect("a file can be written");
        daemon.signal(Signal::SIGHUP);
        told("hyper=warn").await;
        let said = daemon.events();
        let is_warning = |line: &Value| line["message"].to_string().contains("log.filter: ");
        assert!(said.iter().all(is_warning), "nothing else is let through: {said:?}");
        daemon.stop().await;
    });
}

#[test]
fn a_secret_that_stands_where_its_path_belongs_is_not_logged() {
    support::run(async |db| {
        let text = file(&db.url(), "");
        let mut daemon = Daemon::start(&text).await;
        daemon.logged("daemon.started").await;
        for value in ["'whsec_canary'", "['whsec_canary']", "[['whsec_canary']]"] {
            let kind = format!(
                "[[kind]]\nname = 'h'\nhandler = 'http'\nurl = 'https://h/'\nsecret_file = {value}\n"
            );
            reload(&daemon, &file(&db.url(), &kind), "config.reload_failed").await;
        }
        let printed = daemon.printed();
        assert!(printed.contains("secret_file") && !printed.contains("canary"), "{printed}");
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.exit(support::PATIENCE).await.success());
    });
}

#[test]
fn systemd_is_told_when_a_reload_begins_and_ends_also_of_a_broken_file() {
    support::run(async |db| {
        let directory = tempfile::tempdir().expect("a directory");
        let (at, socket) = (directory.path().join("legwork.toml"), directory.path().join("notify"));
        fs::write(&at, file(&db.url(), "")).expect("a file can be written");
        let server = UnixDatagram::bind(&socket).expect("a socket");
        server.set_read_timeout(Some(support::PATIENCE)).expect("a timeout");
        let mut command = tokio::process::Command::new("/usr/bin/env");
        command.arg(format!("NOTIFY_SOCKET={}", socket.display()));
        command.arg(env!("CARGO_BIN_EXE_legwork")).arg("--config").arg(&at).arg("run");
        let mut daemon = Daemon::start_command(command, directory).await;
        let server = std::sync::Arc::new(server);
        let heard = async || {
            let server = std::sync::Arc::clone(&server);
            let read = move || {
                let mut buffer = [0; 256];
                let length = server.recv(&mut buffer).expect("a notice");
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            tokio::task::spawn_blocking(read).await.expect("it reads")
        };
        while heard().await != "READY=1\n" {}

        for text in [file(&db.url(), ""), "[claim]\nbatch = 0\n".to_owned()] {
            fs::write(&at, text).expect("a file can be written");
            daemon.signal(Signal::SIGHUP);
            let begins = heard().await;
            assert!(begins.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begins}");
            assert_eq!(heard().await, "READY=1\n");
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
    });
}
