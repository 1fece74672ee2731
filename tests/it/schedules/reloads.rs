//! Schedules that are added, changed and removed while the daemon runs.

use super::{file, fired, fires, hourly, schedule, tick};
use crate::process::reload::reload;
use crate::statements::{end, value};
use crate::support::{self, Daemon};

#[test]
fn a_reload_adds_changes_and_removes_schedules_and_leaves_the_others_alone() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let daemon = Daemon::start(&file(&db, "")).await;
        daemon.logged("daemon.started").await;

        let line = reload(&daemon, &file(&db, &tick()), "config.reloaded").await;
        assert_eq!(
            (&line["config.changed"], line.get("config.needs_restart")),
            (&"[[schedule]] \"tick\" (added)".into(), None)
        );
        // At once: within a second, where its sleep would be 15.
        fires(&mut session, "tick", 2).await;

        let other = schedule("other", "* * * * * *", "overlap = 'allow'");
        let cron = hourly(&mut session).await;
        let changed = format!("{}{other}", tick().replace("* * * * * *", &cron));
        reload(&daemon, &file(&db, &changed), "config.reloaded").await;
        fires(&mut session, "other", 1).await;
        let ticked = fired(&mut session, "tick").await;
        let known = "SELECT rule FROM legwork.schedule WHERE name = 'tick'";
        assert_eq!(value(&mut session, known).await, format!("{cron} UTC"));

        // A rule that is as it was isn't made known again, and its instants go on.
        for rest in ["priority = -1", ""] {
            let others = schedule("other", "* * * * * *", &format!("overlap = 'allow'\n{rest}"));
            let changed = format!("{}{others}", tick().replace("* * * * * *", &cron));
            reload(&daemon, &file(&db, &changed), "config.reloaded").await;
            let so_far = fired(&mut session, "other").await;
            fires(&mut session, "other", so_far + 2).await;
        }
        assert_eq!(fired(&mut session, "tick").await, ticked, "its pattern is another one");
        let instants = super::instants_of(&mut session, "other").await;
        let mut once = instants.clone();
        once.dedup();
        assert_eq!(instants, once);

        reload(&daemon, &file(&db, &tick()), "config.reloaded").await;
        let last = fired(&mut session, "other").await;
        fires(&mut session, "tick", ticked + 3).await;
        assert!(fired(&mut session, "other").await <= last + 1, "it is gone");
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_schedule_that_a_reload_takes_out_is_left_to_daemons_that_have_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let often = schedule("same", "* * * * * *", "overlap = 'allow'");
        let old = Daemon::start(&file(&db, &often)).await;
        fires(&mut session, "same", 1).await;
        let rarely = schedule("same", &hourly(&mut session).await, "");
        let new = Daemon::start(&file(&db, &rarely)).await;
        old.logged("schedule.stands").await;
        let so_far = fired(&mut session, "same").await;
        reload(&new, &file(&db, ""), "config.reloaded").await;
        fires(&mut session, "same", so_far + 2).await;
        old.stop().await;
        new.stop().await;
        end(session).await;
    });
}
