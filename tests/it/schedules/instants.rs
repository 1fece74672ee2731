//! Each instant at most once, and at least once within what is made up for.

use nix::sys::signal::Signal;
use rstest::rstest;

use super::{file, fired, fires, hourly, instants_of, left, schedule, tick, ticks};
use crate::statements::{end, execute, value};
use crate::support::{self, Daemon, PATIENCE};

#[test]
fn two_daemons_of_which_one_is_killed_enqueue_for_each_second_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let rest = "catch_up = 'all'\noverlap = 'allow'";
        let both = file(&db, &schedule("each", "* * * * * *", rest));
        let (steady, mut killed) = (Daemon::start(&both).await, Daemon::start(&both).await);
        fires(&mut session, "each", 3).await;
        killed.signal(Signal::SIGKILL);
        killed.exit(PATIENCE).await;
        fires(&mut session, "each", 5).await;
        let again = Daemon::start(&both).await;
        again.logged("daemon.started").await;
        let so_far = fired(&mut session, "each").await;
        fires(&mut session, "each", so_far + 4).await;
        steady.stop().await;
        fires(&mut session, "each", so_far + 6).await;
        again.stop().await;

        let instants = instants_of(&mut session, "each").await;
        let (first, last) = (&instants[0], &instants[instants.len() - 1]);
        let seconds = format!(
            "SELECT extract(epoch FROM '{last}'::timestamptz - '{first}'::timestamptz)::int + 1"
        );
        let seconds = value(&mut session, &seconds).await;
        assert!(instants.windows(2).all(|two| two[0] < two[1]), "one came twice: {instants:?}");
        assert_eq!(instants.len().to_string(), seconds, "one is missing: {instants:?}");
        let told = "SELECT done_until = last_fire AND last_job IS NOT NULL FROM legwork.schedule";
        assert_eq!(value(&mut session, told).await, "t");
        end(session).await;
    });
}

#[rstest]
#[case::none("none", 0, 3)]
#[case::last("last", 1, 2)]
#[case::all("all", 3, 0)]
fn three_instants_that_were_missed_are_made_up_for_as_catch_up_says(
    #[case] catch_up: &str,
    #[case] jobs: usize,
    #[case] missed: u32,
) {
    support::run(async |db| {
        let mut session = db.connect().await;
        let cron = hourly(&mut session).await;
        left(&mut session, "hourly", &format!("{cron} UTC"), "3 hours").await;
        let rest = format!("catch_up = '{catch_up}'\noverlap = 'allow'");
        let file = file(&db, &format!("{}{}", schedule("hourly", &cron, &rest), tick()));
        let daemon = Daemon::start(&file).await;
        ticks(&mut session, 3).await;
        assert_eq!(fired(&mut session, "hourly").await, jobs);
        let labels = ["schedule=\"hourly\"", "reason=\"missed\""];
        let counted = daemon.metric("legwork_schedule_skips_total", &labels).await;
        assert!((counted - f64::from(missed)).abs() < 0.1, "{counted}");
        if missed > 0 {
            let line = daemon.logged("schedule.skipped").await;
            assert_eq!((&line["reason"], &line["instants"]), (&"missed".into(), &missed.into()));
        }
        daemon.stop().await;
        let again = Daemon::start(&file).await;
        ticks(&mut session, 2).await;
        assert_eq!(
            fired(&mut session, "hourly").await,
            jobs,
            "a restart makes up for nothing twice"
        );
        again.stop().await;
        end(session).await;
    });
}

#[test]
fn a_clock_that_goes_forward_an_hour_makes_no_storm() {
    support::run(async |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "1 hour").await;
        let before = value(&mut session, "SELECT date_trunc('second', now())").await;
        let rest = "catch_up = 'all'\noverlap = 'allow'";
        let daemon = Daemon::start(&file(&db, &schedule("each", "* * * * * *", rest))).await;
        fires(&mut session, "each", 103).await;
        daemon.stop().await;
        let of_then = format!(
            "SELECT count(*) FROM legwork.jobs
             WHERE (metadata ->> 'schedule_instant')::timestamptz <= '{before}'"
        );
        let of_then = value(&mut session, &of_then).await.parse::<u32>().expect("a number");
        assert!(of_then <= 100, "{of_then} instants of the hour were made up for");
        end(session).await;
    });
}

#[test]
fn a_clock_that_goes_back_an_hour_fires_nothing_twice_and_is_told_of() {
    support::run(async |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "-1 hour").await;
        let file = file(&db, &format!("{}{}", schedule("each", "* * * * * *", ""), tick()));
        let daemon = Daemon::start(&file).await;
        let line = daemon.logged("schedule.stands").await;
        assert_eq!((&line["schedule.name"], &line["reason"]), (&"each".into(), &"ahead".into()));
        ticks(&mut session, 3).await;
        assert_eq!(fired(&mut session, "each").await, 0);
        assert_eq!(daemon.count("schedule.stands"), 1);
        // What heals it, where an hour is too long to wait.
        execute(&mut session, "DELETE FROM legwork.schedule WHERE name = 'each'").await;
        fires(&mut session, "each", 1).await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn a_job_is_there_if_and_only_if_its_instant_is_dealt_with() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON legwork.job FOR EACH ROW
                WHEN (NEW.queue = 'bad') EXECUTE FUNCTION refuse()";
        execute(&mut session, refuse).await;
        let bad = schedule("bad", "* * * * * *", "queue = 'bad'\ncatch_up = 'all'");
        let daemon = Daemon::start(&file(&db, &format!("{bad}{}", tick()))).await;
        let line = daemon.logged("schedule.stands").await;
        assert_eq!((&line["schedule.name"], &line["reason"]), (&"bad".into(), &"refused".into()));
        assert!(line["error.message"].as_str().is_some_and(|said| said.contains("not this one")));
        ticks(&mut session, 3).await;
        let behind = "SELECT last_fire IS NULL AND done_until < now() - interval '2 s'
            FROM legwork.schedule WHERE name = 'bad'";
        assert_eq!(value(&mut session, behind).await, "t");
        execute(&mut session, "DROP TRIGGER refuse ON legwork.job; DROP FUNCTION refuse").await;
        fires(&mut session, "bad", 1).await;
        daemon.stop().await;
        end(session).await;
    });
}

#[test]
fn sessions_that_are_ended_under_the_scheduler_cost_no_instant() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let rest = "catch_up = 'all'\noverlap = 'allow'";
        let daemon = Daemon::start(&file(&db, &schedule("each", "* * * * * *", rest))).await;
        fires(&mut session, "each", 2).await;
        let end_all = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'legwork maintenance%'";
        assert_eq!(value(&mut session, end_all).await, "t");
        let so_far = fired(&mut session, "each").await;
        fires(&mut session, "each", so_far + 3).await;
        daemon.stop().await;
        let gaps = "SELECT count(*) - 1 = extract(epoch FROM
                max((metadata ->> 'schedule_instant')::timestamptz)
                - min((metadata ->> 'schedule_instant')::timestamptz)) FROM legwork.jobs";
        assert_eq!(value(&mut session, gaps).await, "t");
        end(session).await;
    });
}
