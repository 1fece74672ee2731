//! What overlaps, what a changed file does, and two daemons with different files.

use super::{file, fired, fires, hourly, left, schedule, tick, ticks};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, PATIENCE};

#[test]
fn while_its_job_is_unfinished_an_instant_passes_or_enqueues_as_overlap_says() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "SELECT legwork.pause('held')").await;
        let one = schedule("one", "* * * * * *", "queue = 'held'\noverlap = 'skip'");
        let many = schedule("many", "* * * * * *", "queue = 'held'\noverlap = 'allow'");
        let queues = "[[queue]]\nname = 'default'\n[[queue]]\nname = 'held'\n";
        let daemon = Daemon::start(&file(&db, &format!("{queues}{one}{many}"))).await;
        fires(&mut session, "many", 4).await;
        assert_eq!(fired(&mut session, "one").await, 1);
        let line = daemon.logged("schedule.skipped").await;
        assert_eq!((&line["schedule.name"], &line["reason"]), (&"one".into(), &"overlap".into()));
        assert_eq!(daemon.count("schedule.skipped"), 1, "the first of a row is told of");
        let skips = ["schedule=\"one\"", "reason=\"overlap\""];
        assert!(daemon.metric("legwork_schedule_skips_total", &skips).await >= 2.0);
        let enqueued = ["queue=\"held\"", "via=\"schedule\""];
        assert!(daemon.metric("legwork_jobs_enqueued_total", &enqueued).await >= 5.0);

        execute(&mut session, "SELECT legwork.resume('held')").await;
        fires(&mut session, "one", 3).await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_schedule_that_is_new_or_has_another_rule_goes_on_from_now() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let cron = hourly(&mut session).await;
        left(&mut session, "changed", "0 0 1 1 * UTC", "3 hours").await;
        left(&mut session, "moved", &format!("{cron} UTC"), "3 hours").await;
        let schedules = [
            schedule("changed", &cron, "catch_up = 'all'"),
            schedule("moved", &cron, "catch_up = 'all'\ntimezone = 'Asia/Kathmandu'"),
            schedule("fresh", &cron, "catch_up = 'all'"),
            tick(),
        ];
        let daemon = Daemon::start(&file(&db, &schedules.concat())).await;
        ticks(&mut session, 3).await;
        for name in ["changed", "moved", "fresh"] {
            assert_eq!(fired(&mut session, name).await, 0, "{name}");
        }
        let known = format!(
            "SELECT string_agg(name || ' ' || rule, ', ' ORDER BY name) FROM legwork.schedule
             WHERE name <> 'tick' AND done_until > now() - interval '{} s'",
            PATIENCE.as_secs()
        );
        let expected = format!("changed {cron} UTC, fresh {cron} UTC, moved {cron} Asia/Kathmandu");
        assert_eq!(value(&mut session, &known).await, expected);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_schedule_that_is_no_longer_in_the_file_no_longer_fires() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let gone = schedule("gone", "* * * * * *", "");
        let daemon = Daemon::start(&file(&db, &format!("{gone}{}", tick()))).await;
        fires(&mut session, "gone", 1).await;
        daemon.stop().await;
        let so_far = fired(&mut session, "gone").await;
        let daemon = Daemon::start(&file(&db, &tick())).await;
        ticks(&mut session, 3).await;
        assert_eq!(fired(&mut session, "gone").await, so_far);
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn of_two_daemons_with_different_rules_the_one_that_started_last_has_the_schedule_until_it_ends() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let often = schedule("same", "* * * * * *", "overlap = 'allow'");
        let old = Daemon::start(&file(&db, &often)).await;
        fires(&mut session, "same", 2).await;
        let rarely = schedule("same", &hourly(&mut session).await, "");
        let new = Daemon::start(&file(&db, &format!("{rarely}{}", tick()))).await;
        let line = old.logged("schedule.stands").await;
        assert_eq!(line["reason"], "superseded");
        let so_far = fired(&mut session, "same").await;
        ticks(&mut session, 3).await;
        assert_eq!(fired(&mut session, "same").await, so_far);
        assert_eq!(new.count("schedule.stands"), 0);

        // A deploy that is taken back: half a minute after the new one has ended the old one has it again.
        new.stop().await;
        let ended = "UPDATE legwork.daemon SET died_at = died_at - interval '1 minute' WHERE died_at IS NOT NULL";
        execute(&mut session, ended).await;
        fires(&mut session, "same", so_far + 2).await;
        old.stop().await;
        end(session).await;
    });
}

#[test]
fn a_daemon_that_ends_when_nothing_is_left_to_do_fires_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "1 hour").await;
        let each = file(&db, &schedule("each", "* * * * * *", ""));
        let mut daemon = Daemon::start_with(&each, &["run", "--once"]).await;
        let code = daemon.exit(PATIENCE).await.code();
        assert_eq!(code, Some(0), "{}", daemon.printed());
        assert_eq!(fired(&mut session, "each").await, 0);
        end(session).await;
    });
}
