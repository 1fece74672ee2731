//! What one job, the queues, the daemons, the schedules and an autoscaler are told.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{daemon, found};
use crate::statements::{end, execute, value};
use crate::support;

/// Jobs of limited kinds are claimed before they have a slot.
#[test]
fn what_waits_inside_a_daemon_counts_for_an_autoscaler() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let jobs = "INSERT INTO legwork.job (kind, queue, payload) SELECT 'naps', 'slow', '600' FROM generate_series(1, 7)";
        execute(&mut session, jobs).await;
        let slow = "[[queue]]\nname = 'slow'\nconcurrency = 2\n\
            [[kind]]\nname = 'naps'\nhandler = 'sleep'\nrate_limit = '100/s'\n";
        let daemon = daemon(&db.url(), slow).await;
        support::eventually("the daemon has said what waits there", async || {
            let queue = found(&daemon, "/api/v1/queues/slow").await;
            (&queue["daemons"][0]["in_use"], &queue["daemons"][0]["waiting"])
                == (&json!(2), &json!(2))
        })
        .await;
        // A job may be on its way between the line and the daemon.
        support::eventually("each of seven could use a slot", async || {
            found(&daemon, "/api/v1/stats/scale?queue=slow").await["desired_workers"] == 7
        })
        .await;
        execute(&mut session, "SELECT legwork.cancel(id) FROM legwork.job").await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_job_is_shown_with_its_attempts_and_why_it_waits() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, payload, attempt, metadata) VALUES ('waits', '{\"n\": 1}', 1, '{\"user_id\": \"u\"}');
             SELECT legwork.make_partitions(current_date, current_date);
             INSERT INTO legwork.failed_attempt (job_id, token, drop_after, attempt, cause, error)
             VALUES (1, 1, current_date, 1, 'failed', 'no route to host');
             SELECT legwork.pause('default', 'an incident')",
        )
        .await;
        let daemon = daemon(&db.url(), "").await;
        let job = found(&daemon, "/api/v1/jobs/1").await;
        assert_eq!(
            (&job["id"], &job["state"], &job["kind"]),
            (&json!(1), &json!("available"), &json!("waits"))
        );
        assert_eq!(job["payload"], json!({ "n": 1 }));
        assert_eq!(job["metadata"], json!({ "user_id": "u" }));
        assert_eq!(job["failed_attempts"][0]["error"], "no route to host");
        let gates = found(&daemon, "/api/v1/jobs/1/why").await;
        let pause = gates.as_array().expect("gates").iter().find(|gate| gate["gate"] == "pause");
        let pause = pause.expect("a paused queue is a gate");
        assert_eq!(pause["blocking"], true);
        assert!(pause["detail"].as_str().expect("a sentence").contains("an incident"), "{pause}");
        daemon.stop().await;
        end(session).await;
    });
}

/// Jobs of a high priority, and behind them one of a low one that came long before.
const STARVED: &str = "SELECT legwork.pause('mail');
    INSERT INTO legwork.job (kind, queue, priority, run_at) VALUES ('waits', 'mail', 2, now() - interval '1 h');
    INSERT INTO legwork.job (kind, queue, priority) SELECT 'waits', 'mail', -2 FROM generate_series(1, 10001)";

#[test]
fn the_age_of_a_queue_is_that_of_a_starved_job_too() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, STARVED).await;
        let daemon = daemon(&db.url(), "[[queue]]\nname = 'mail'\n").await;
        let mail = found(&daemon, "/api/v1/queues/mail").await;
        assert_eq!(mail["depth"]["available"], 10000, "it is counted so far");
        let age = mail["oldest_age_seconds"].as_f64().expect("a job waits");
        assert!(age >= 3600.0, "{age}");
        let labels = ["queue=\"mail\""];
        support::eventually("the metric tells it", async || {
            daemon.metric("legwork_queue_oldest_available_age_seconds", &labels).await >= 3600.0
        })
        .await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_quiet_daemon_is_shown_and_does_not_serve() {
    support::run(async |db| {
        let daemon = daemon(&db.url(), "[[queue]]\nname = 'mail'\nconcurrency = 3\n").await;
        let shown = async || {
            let mail = found(&daemon, "/api/v1/queues/mail").await;
            let listed = found(&daemon, "/api/v1/queues").await;
            let slots = mail["settings"]["effective"]["slots"].clone();
            (mail["daemons"][0]["state"].clone(), slots, listed["queues"][0]["daemons"].clone())
        };
        let live = (json!("live"), json!(3), json!(1));
        support::eventually("it serves", async || shown().await == live).await;
        daemon.signal(Signal::SIGTSTP);
        let quiet = (json!("quiet"), json!(null), json!(0));
        support::eventually("it is quiet", async || shown().await == quiet).await;
        daemon.stop().await;
    });
}

#[test]
fn a_queue_tells_its_depth_its_age_and_which_settings_hold() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.job (kind, queue, run_at) VALUES
                ('waits', 'mail', now() - interval '90 s'), ('waits', 'mail', now()), ('waits', 'mail', now() + interval '1 h');
             INSERT INTO legwork.job (kind, queue, payload) VALUES ('sleep', 'mail', '{\"seconds\": 600}');
             INSERT INTO legwork.job (kind, queue) VALUES ('waits', 'elsewhere')",
        )
        .await;
        let queue = "[[queue]]\nname = 'mail'\nconcurrency = 3\nrate_limit = '100/s'\n";
        let daemon = daemon(&db.url(), queue).await;
        support::eventually("a job runs and the daemon has said so", async || {
            found(&daemon, "/api/v1/queues/mail").await["depth"]["running"] == 1
        })
        .await;
        let mail = found(&daemon, "/api/v1/queues/mail").await;
        let depth = json!({ "available": 2, "running": 1, "scheduled": 1, "retryable": 0 });
        assert_eq!(mail["depth"], depth, "{mail}");
        let age = mail["oldest_age_seconds"].as_f64().expect("a job waits");
        assert!((90.0..600.0).contains(&age), "{age}");
        assert_eq!(mail["settings"]["file"]["concurrency"], 3);
        assert_eq!(mail["settings"]["effective"]["slots"], 3);
        assert_eq!(mail["settings"]["override"], json!(null));
        assert_eq!(mail["daemons"][0]["in_use"], 1);
        assert_eq!(mail["daemons"][0]["rate"], "100/s");
        let scale = found(&daemon, "/api/v1/stats/scale?queue=mail").await;
        assert_eq!(
            (&scale["available"], &scale["desired_workers"]),
            (&json!(2), &json!(3)),
            "{scale}"
        );

        execute(&mut session, "SELECT legwork.pause('mail', 'an incident')").await;
        let paused = found(&daemon, "/api/v1/queues/mail").await;
        assert_eq!(paused["paused"], true);
        assert_eq!(paused["settings"]["override"]["reason"], "an incident");
        assert_eq!(paused["settings"]["effective"]["paused"], true);
        let scale = found(&daemon, "/api/v1/stats/scale?queue=mail").await;
        assert_eq!(
            (&scale["available"], &scale["desired_workers"]),
            (&json!(2), &json!(1)),
            "{scale}"
        );

        // Known by a job alone.
        let elsewhere = found(&daemon, "/api/v1/queues/elsewhere").await;
        assert_eq!(
            (&elsewhere["depth"]["available"], &elsewhere["settings"]["file"]),
            (&json!(1), &json!(null))
        );
        let listed = found(&daemon, "/api/v1/queues").await;
        let names =
            listed["queues"].as_array().expect("queues").iter().map(|queue| queue["name"].clone());
        assert_eq!(names.collect::<Vec<_>>(), ["elsewhere", "mail"]);
        execute(&mut session, "SELECT legwork.pause('idle')").await;
        let idle = found(&daemon, "/api/v1/queues/idle").await;
        assert_eq!(
            (&idle["depth"]["available"], &idle["oldest_age_seconds"]),
            (&json!(0), &json!(null))
        );
        // An autoscaler may be there before the first job.
        let nothing = json!({ "queue": "unheard-of", "available": 0, "oldest_age_seconds": 0.0, "desired_workers": 0 });
        assert_eq!(found(&daemon, "/api/v1/stats/scale?queue=unheard-of").await, nothing);
        assert_eq!(found(&daemon, "/api/v1/stats/scale").await["queue"], "default");
        execute(&mut session, "SELECT legwork.cancel(4)").await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn the_attempt_that_runs_is_told_by_the_daemon_that_runs_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        // One that failed once, and one that somebody else runs.
        let jobs = "INSERT INTO legwork.job (kind, payload, attempt) VALUES ('sleep', '600', 1);
            INSERT INTO legwork.job (kind, holder, token) VALUES ('sleep', 7, 1);
            INSERT INTO legwork.daemon (id, expires_at) VALUES (7, now() + interval '1 h')";
        execute(&mut session, jobs).await;
        let daemon = daemon(&db.url(), "").await;
        let mut job = serde_json::Value::Null;
        support::eventually("it runs", async || {
            job = found(&daemon, "/api/v1/jobs/1").await;
            job["running_attempt"].is_object()
        })
        .await;
        let runs = &job["running_attempt"];
        assert_eq!((&job["state"], &runs["attempt"]), (&json!("running"), &json!(2)), "{job}");
        assert!(runs["running_seconds"].as_f64() >= Some(0.0), "{job}");
        let text = |value: &serde_json::Value| value.as_str().expect("a moment").to_owned();
        let (begun, now, started) =
            (text(&job["created_at"]), text(&job["now"]), text(&runs["started_at"]));
        let between = format!("SELECT '{started}'::timestamptz BETWEEN '{begun}' AND '{now}'");
        assert_eq!(value(&mut session, &between).await, "t", "{job}");
        let elsewhere = found(&daemon, "/api/v1/jobs/2").await;
        assert_eq!(
            (&elsewhere["state"], elsewhere.get("running_attempt")),
            (&json!("running"), None)
        );
        execute(&mut session, "SELECT legwork.cancel(1)").await;
        support::eventually("it has ended", async || {
            job = found(&daemon, "/api/v1/jobs/1").await;
            job["state"] == "cancelled"
        })
        .await;
        assert_eq!(job.get("running_attempt"), None, "{job}");
        let ran = format!("SELECT extract(epoch FROM now() - '{started}'::timestamptz)");
        let ran: f64 = value(&mut session, &ran).await.parse().expect("seconds");
        let took = job["duration_ms"].as_f64().expect("how long it ran") / 1e3;
        assert!((0.0..=ran).contains(&took), "{job}");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn daemons_and_schedules_are_listed() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "INSERT INTO legwork.daemon (id, name, expires_at, died_at, started_at, load)
             SELECT id, name, now() + interval '1 h', died_at, now() - interval '1 h', '{\"queues\": {\"a\": {\"in_use\": 2}, \"b\": {\"in_use\": 3}}}'
             FROM (VALUES (-9223372036854775807, 'gone', now()), (8, 'works', null)) d (id, name, died_at)",
        )
        .await;
        let schedule =
            "[[schedule]]\nname = 'yearly'\ncron = '0 0 1 1 *'\nkind = 'sleep'\ntimezone = 'UTC'\n";
        let daemon = daemon(&db.url(), schedule).await;
        let listed = found(&daemon, "/api/v1/daemons").await;
        let own =
            value(&mut session, "SELECT id FROM legwork.daemon WHERE died_at IS NULL AND id <> 8")
                .await;
        let [live, works, gone] = [0, 1, 2].map(|place| &listed["daemons"][place]);
        assert_eq!((&live["id"], &live["state"]), (&json!(own), &json!("live")), "{listed}");
        assert_eq!(live["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&live["queues"], &live["kinds"]), (&json!(["default"]), &json!(["sleep"])));
        assert!(live["heartbeat_age_seconds"].as_f64().expect("an age") < 60.0);
        let told = (&gone["id"], &gone["state"], &gone["name"]);
        assert_eq!(told, (&json!("-9223372036854775807"), &json!("gone"), &json!("gone")));
        // What it said last is history.
        assert_eq!((&works["running"], &gone["running"]), (&json!(5), &json!(0)), "{listed}");

        support::eventually("the daemon has the schedule", async || {
            found(&daemon, "/api/v1/schedules").await["schedules"][0]["active"] == true
        })
        .await;
        let schedules = found(&daemon, "/api/v1/schedules").await;
        let yearly = &schedules["schedules"][0];
        assert_eq!((&yearly["name"], &yearly["cron"]), (&json!("yearly"), &json!("0 0 1 1 *")));
        let next = yearly["next"].as_array().expect("instants");
        assert_eq!(next.len(), 3);
        assert!(next[0].as_str().expect("an instant").ends_with("-01-01T00:00:00Z"), "{yearly}");
        daemon.stop().await;
        end(session).await;
    });
}
