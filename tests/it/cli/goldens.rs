//! What each command prints, as text and as JSON.

use super::{Ran, arrange, legwork};
use crate::support;
use serde_json::json;

/// Moments become `TIME` and ages `AGE`; runs of spaces, whose width depends on ages, become two. Lines
/// keep how far they stand in.
pub(super) fn blotted(text: &str) -> String {
    let lines = text.lines().map(|whole| {
        let line = whole.trim_start();
        let words: Vec<String> = line.split(' ').map(word).collect();
        let mut blotted = words.join(" ");
        for age in ["in AGE", "AGE ago"] {
            blotted = blotted.replace(age, "AGE");
        }
        while blotted.contains("   ") {
            blotted = blotted.replace("   ", "  ");
        }
        format!("{}{blotted}", &whole[..whole.len() - line.len()])
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(['"', ',', '(', ')']);
    let is_moment = bare.len() >= 20 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T';
    let is_day = bare.len() == 10 && bare.starts_with("20") && bare.as_bytes()[7] == b'-';
    let is_clock = bare.len() == 11 && bare.ends_with("+00") && bare.as_bytes()[5] == b':';
    let is_age = bare == "now"
        || bare.len() >= 2
            && bare.ends_with(['s', 'm', 'h', 'd'])
            && bare[..bare.len() - 1].bytes().all(|byte| byte.is_ascii_digit());
    match () {
        () if is_moment => word.replace(bare, "TIME"),
        () if is_day => word.replace(bare, "DAY"),
        () if is_clock => word.replace(bare, "CLOCK"),
        () if is_age => word.replace(bare, "AGE"),
        () => word.to_owned(),
    }
}

fn golden(name: &str, ran: &Ran) {
    let long = ran.stdout.lines().find(|line| line.chars().count() > 100);
    assert!(long.is_none() || name.ends_with("_json"), "{name}: {long:?}");
    let text = format!(
        "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
        ran.code,
        blotted(&ran.stdout),
        blotted(&ran.stderr)
    );
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_moment_and_an_age_are_blotted_out_and_nothing_else() {
    let text = "  run at   2026-11-23T11:43:12.129783Z (in 10m) 7s ago  (now) now: x 12 s";
    assert_eq!(blotted(text), "  run at  TIME (AGE) AGE  (AGE) now: x 12 s");
    assert_eq!(blotted("at 2026-11-23 11:46:20+00, due now"), "at DAY CLOCK, due AGE");
}

/// One job in each state, one with everything, one that failed in three ways.
const JOBS: &str = r#"
    -- Renewed in the future, so that its figures are 0 s old however long the test takes.
    INSERT INTO legwork.daemon (id, name, renewed_at, expires_at, queues, kinds, limits, load)
        VALUES (7, 'alpha', now() + interval '1 hour', now() + interval '2 hours', '{default}', '{send_email}',
            '{"queues": {"default": {"slots": 10}}, "kinds": {"send_email": {"rate": "5/s", "burst": 1}}}',
            '{"queues": {"default": {"in_use": 10, "waiting": 3}}, "kinds": {"send_email": {"waiting": 3}}}');
    INSERT INTO legwork.job (kind) VALUES ('send_email');
    INSERT INTO legwork.job (kind, queue, run_at) VALUES ('nightly', 'reports', now() + interval '3 hours');
    INSERT INTO legwork.job (kind, holder, token) VALUES ('resize', 7, 1);
    INSERT INTO legwork.job (kind, run_at, attempt, rescues, max_attempts, priority, unique_key, timeout, expires_at, tags, metadata, payload)
        VALUES ('charge', now() + interval '3 hours', 3, 1, 5, -1, 'invoice 7', '30 s', now() + interval '5 days',
            '{billing,eu}', '{"user_id": "42"}', '{"amount": 12.50}');
    INSERT INTO legwork.failed_attempt (job_id, token, failed_at, duration_ms, drop_after, attempt, cause, error)
        VALUES (4, 1, now() - interval '4 hours', NULL, current_date + 1, 1, 'daemon_died',
             'daemon beta (boot id 8) died while it ran or held this job'),
            (4, 2, now() - interval '3 hours', 1200, current_date + 1, 2, 'failed', 'connection refused'),
            (4, 3, now() - interval '2 hours', 30000, current_date + 1, 3, 'timed_out',
             E'no answer after 30 s\nfrom billing.example');
    INSERT INTO legwork.job (kind) VALUES ('forget');
    SELECT legwork.cancel(5);
"#;

#[test]
fn jobs_and_queues_read_well() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        for (name, arguments) in [
            ("job_list", &["job", "list"][..]),
            ("job_list_json", &["--output", "json", "job", "list", "--kind", "charge"]),
            ("job_list_empty", &["job", "list", "--state", "completed"]),
            ("job_list_page", &["job", "list", "--limit", "2"]),
            ("job_show", &["job", "show", "4"]),
            ("job_show_json", &["job", "show", "4", "--output", "json"]),
            ("job_show_running", &["job", "show", "3"]),
            ("job_show_missing", &["job", "show", "99"]),
            ("job_why_scheduled", &["job", "why", "2"]),
            ("job_why_waiting_json", &["job", "why", "1", "--output", "json"]),
            ("job_why_finished_json", &["job", "why", "5", "--output", "json"]),
            ("queue_pause", &["queue", "pause", "reports", "--reason", "month's end"]),
            ("queue_pause_again", &["queue", "pause", "reports", "--output", "json"]),
            (
                "queue_set",
                &[
                    "queue",
                    "set",
                    "default",
                    "--concurrency",
                    "2",
                    "--for",
                    "90d",
                    "--reason",
                    "slow",
                ],
            ),
            ("queue_set_rate", &["queue", "set", "default", "--rate-limit", "30/m burst 2"]),
            ("queue_drain", &["queue", "drain", "default", "--for", "90d", "--reason", "a move"]),
            ("queue_list", &["queue", "list"]),
            ("queue_list_json", &["queue", "list", "--output", "json"]),
            ("queue_show", &["queue", "show", "default"]),
            ("queue_show_paused", &["queue", "show", "reports"]),
            ("queue_show_missing", &["queue", "show", "report"]),
            ("queue_resume", &["queue", "resume", "reports"]),
            ("queue_resume_again", &["queue", "resume", "reports"]),
            ("queue_resume_missing", &["queue", "resume", "report"]),
        ] {
            golden(name, &legwork(&db, arguments).await);
        }
        let json = ["queue", "show", "default", "--output", "json"];
        let json = legwork(&db, &json).await.done().json();
        for (place, is) in [
            ("/state", json!("draining")),
            ("/depth", json!({"available": 1, "running": 10, "scheduled": 0, "retryable": 1})),
            // Nobody wrote a file.
            ("/settings/file", json!(null)),
            ("/settings/override/concurrency/value", json!("2")),
            ("/settings/effective/concurrency", json!(2)),
            ("/settings/effective/rate_limit", json!("30/m burst 2")),
            ("/daemons/0/name", json!("alpha")),
        ] {
            assert_eq!(json.pointer(place), Some(&is), "{place} of {json}");
        }
    });
}

#[test]
fn what_was_decided_for_a_queue_and_what_still_holds_reads_well() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        let set = ["queue", "set", "default", "--concurrency", "2", "--rate-limit", "30/m burst 2"];
        let one = ["queue", "unset", "default", "--setting", "rate_limit"];
        let concurrency = ["queue", "set", "default", "--concurrency", "2", "--for", "90d"];
        for (name, arguments) in [
            ("queue_set_both", &set[..]),
            ("queue_set_again", &set),
            ("queue_set_other", &concurrency),
            ("queue_unset_one", &one),
            ("queue_unset_one_again", &one),
            ("queue_unset", &["queue", "unset", "default"]),
            ("queue_unset_again", &["queue", "unset", "default"]),
            ("queue_unset_json", &["queue", "unset", "default", "--output", "json"]),
        ] {
            golden(name, &legwork(&db, arguments).await);
        }
    });
}

#[test]
fn what_would_be_changed_reads_well_whether_it_is_one_job_or_none_or_more() {
    support::run(async |db| {
        arrange(&db, JOBS).await;
        for (filter, said) in [
            (&["--kind", "nothing"][..], "cancel would be about 0 jobs\n"),
            (&["--kind", "charge"], "cancel would be about 1 job: 4\n"),
            (&["--queue", "default"], "cancel would be about 3 jobs; the newest are 4, 3, 1\n"),
        ] {
            let words = [&["job", "cancel", "--dry-run"][..], filter].concat();
            assert_eq!(legwork(&db, &words).await.done().stdout, said);
        }
        let one = ["job", "cancel", "--kind", "charge", "--yes"];
        let done = legwork(&db, &one).await.done().stdout;
        assert_eq!(done, "operation 1: cancel of 1 job\n");
    });
}

/// Ann begins two operations, of which the first is at its first batch and couldn't change a job.
const OPERATIONS: &str = r#"
    INSERT INTO legwork.job (kind, queue) SELECT 'k', 'mail' FROM generate_series(1, 3);
    UPDATE legwork.job SET holder = 7, token = 1 WHERE id = 1;
    BEGIN; SELECT legwork.asked_by('ann', 'spam', NULL), legwork.begin_bulk('discard', '{"queue": "mail"}', holder => 5); COMMIT;
    BEGIN; SELECT legwork.asked_by('ann', NULL, NULL), legwork.begin_bulk('snooze', '{"kind": "k"}', '1 h', holder => 5); COMMIT;
    SELECT legwork.step_bulk(1, 5);
    BEGIN; SELECT legwork.asked_by('bob', 'an incident of the mail provider', NULL), legwork.pause('mail'); COMMIT;
"#;

#[test]
fn operations_and_notes_read_well() {
    support::run(async |db| {
        arrange(&db, OPERATIONS).await;
        for (name, arguments) in [
            ("audit_list", &["audit", "list"][..]),
            ("audit_list_empty", &["audit", "list", "--target", "job/1"]),
            ("operation_show", &["operation", "show", "1"]),
            ("operation_show_json", &["operation", "show", "2", "--output", "json"]),
            ("operation_show_missing", &["operation", "show", "9"]),
            ("operation_cancel", &["operation", "cancel", "2", "--reason", "a mistake"]),
        ] {
            golden(name, &legwork(&db, arguments).await);
        }
    });
}

#[test]
fn migrations_read_well() {
    support::run(async |db| {
        golden("migrate_up_again", &legwork(&db, &["migrate", "up"]).await);
        golden("migrate_status", &legwork(&db, &["migrate", "status"]).await);
        let down = legwork(&db, &["migrate", "down", "--to", "3", "--output", "json"]).await.done();
        assert_eq!(down.json()["version"], json!(3));
        let status = legwork(&db, &["migrate", "status", "--output", "json"]).await;
        assert_eq!((status.code, &status.json()[3]["state"]), (3, &json!("pending")));
        golden("migrate_up", &legwork(&db, &["migrate", "up"]).await);
        golden("migrate_down_to_nothing", &legwork(&db, &["migrate", "down", "--to", "0"]).await);
        let none = legwork(&db, &["migrate", "down", "--to", "99"]).await;
        golden("migrate_down_to_a_version_that_is_none", &none);
        let sql = legwork(&db, &["migrate", "sql"]).await.done();
        assert!(sql.stdout.contains("CREATE TABLE legwork.job ("), "{}", sql.stdout);
        let sql = legwork(&db, &["migrate", "sql", "--down"]).await.done();
        assert!(sql.stdout.contains("DROP TABLE"), "{}", sql.stdout);
    });
}

#[test]
fn configuration_reads_well_and_shows_no_password() {
    support::run(async |db| {
        let default = legwork(&db, &["config", "default"]).await.done();
        assert_eq!(default.stdout, legwork::config::default_file());
        golden("config_check", &legwork(&db, &["config", "check"]).await);
        let url = "postgres://app:hunter2@127.0.0.1:5432/app";
        let show = legwork(&db, &["--database-url", url, "config", "show"]).await.done();
        assert!(show.stdout.contains("postgres://app:…@127.0.0.1:5432/app"), "{}", show.stdout);
        assert!(show.stdout.contains("flag --database-url"), "{}", show.stdout);
        assert!(!show.stdout.contains("hunter2"), "{}", show.stdout);
        let show = legwork(&db, &["config", "show", "--output", "json"]).await.done().json();
        let batch = show.as_array().expect("a list").iter().find(|one| one["key"] == "claim.batch");
        assert_eq!(batch.expect("it is there")["source"], json!("default"));
    });
}
