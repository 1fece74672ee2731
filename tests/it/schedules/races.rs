//! Two at once, held at the row's lock until both stand there, and an instant that hasn't come.

use legwork::config::{Database, ScheduleSettings};
use legwork::job::{KindName, QueueName, ScheduleName};
use legwork::postgres::operations::{self, Asker, Limit, Ran};
use legwork::postgres::{Step, Stepped, Upkeep};
use legwork::schedule::{CatchUp, Moment, Overlap, Rule};
use rstest::rstest;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::time::Duration;

use super::{fired, left};
use crate::statements::{end, execute, value};
use crate::support::{self, TestDb, pooled};

/// A schedule that fires each second.
fn each(overlap: Overlap) -> ScheduleSettings {
    ScheduleSettings {
        name: ScheduleName::new("each").expect("a name"),
        rule: Rule::parse("* * * * * *", "UTC").expect("a rule"),
        kind: KindName::new("k").expect("a name"),
        queue: QueueName::new("default").expect("a name"),
        payload: "{}".into(),
        priority: 0,
        catch_up: CatchUp::All,
        overlap,
        jitter: Duration::ZERO,
    }
}

fn database(db: &TestDb) -> Database {
    pooled::database(&db.url())
}

/// A daemon's sessions of maintenance.
fn upkeep(db: &TestDb) -> Upkeep {
    Upkeep::new(pooled::connector_of(&database(db)))
}

/// How far the schedule is.
async fn done_until(session: &mut PgConnection) -> Moment {
    let done =
        value(session, "SELECT extract(epoch FROM done_until)::bigint FROM legwork.schedule");
    Moment(done.await.parse().expect("a number"))
}

/// Holds the schedule's row until two statements wait for it.
async fn hold_until_two_wait(db: &TestDb, ready: tokio::sync::oneshot::Sender<()>) {
    let mut holder = db.connect().await;
    execute(&mut holder, "BEGIN; SELECT FROM legwork.schedule FOR UPDATE").await;
    ready.send(()).expect("somebody waits");
    waiting(db, 2).await;
    execute(&mut holder, "COMMIT").await;
    end(holder).await;
}

/// Waits until so many statements wait for a lock.
async fn waiting(db: &TestDb, statements: u32) {
    let mut looker = db.connect().await;
    let waiting = format!(
        "SELECT count(*) >= {statements} FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'"
    );
    support::eventually(&waiting, async || value(&mut looker, &waiting).await == "t").await;
    end(looker).await;
}

#[rstest]
#[case::that_enqueues(true, Overlap::Allow)]
#[case::that_enqueues_unless_it_overlaps(true, Overlap::Skip)]
#[case::that_passes(false, Overlap::Skip)]
fn of_two_daemons_that_take_a_step_at_once_one_does(#[case] fires: bool, #[case] overlap: Overlap) {
    support::run(async move |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "1 minute").await;
        let (schedule, from) = (each(overlap), done_until(&mut session).await);
        let step = Step {
            schedule: &schedule,
            from: (from, None),
            to: Moment(from.0 + 1),
            fires,
            sending: None,
        };
        let (one, other) = (upkeep(&db), upkeep(&db));
        let (ready, held) = tokio::sync::oneshot::channel();
        let both = async {
            held.await.expect("the row is held");
            tokio::join!(one.step_schedule(step), other.step_schedule(step))
        };
        let ((one, other), ()) = tokio::join!(both, hold_until_two_wait(&db, ready));
        let stepped = [one.expect("it answers"), other.expect("it answers")];
        let elsewhere = stepped.iter().filter(|step| **step == Stepped::Elsewhere).count();
        assert_eq!(elsewhere, 1, "{stepped:?}");
        assert_eq!(fired(&mut session, "each").await, usize::from(fires));
        assert_eq!(done_until(&mut session).await, Moment(from.0 + 1));
        end(session).await;
    });
}

#[rstest]
#[case::the_hand_first(true)]
#[case::the_instant_first(false)]
fn a_job_by_hand_and_an_instant_at_once_overlap_no_more_than_two_instants_do(
    #[case] hand_first: bool,
) {
    support::run(async move |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "1 minute").await;
        let (schedule, from) = (each(Overlap::Skip), done_until(&mut session).await);
        let step = Step {
            schedule: &schedule,
            from: (from, None),
            to: Moment(from.0 + 1),
            fires: true,
            sending: None,
        };
        let daemon = upkeep(&db);
        let mut by_hand =
            operations::open(&database(&db), Limit::Statement).await.expect("a session");
        let (ready, held) = tokio::sync::oneshot::channel();
        let both = async {
            held.await.expect("the row is held");
            let second = async |is_second: bool| {
                if is_second {
                    waiting(&db, 1).await;
                }
            };
            let by_hand = async {
                second(!hand_first).await;
                let (metadata, by) = (operations::metadata_of(&schedule), Asker::default());
                operations::run_schedule(&mut by_hand, &schedule, &metadata, &by).await
            };
            let stepped = async {
                second(hand_first).await;
                daemon.step_schedule(step).await
            };
            tokio::join!(stepped, by_hand)
        };
        let ((stepped, ran), ()) = tokio::join!(both, hold_until_two_wait(&db, ready));
        let (stepped, ran) = (stepped.expect("it answers"), ran.expect("it answers"));
        match (hand_first, stepped, ran) {
            (false, Stepped::Enqueued(job), Ran::Overlapped(of)) => assert_eq!(job, of),
            (true, Stepped::Elsewhere, Ran::Enqueued(_)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(fired(&mut session, "each").await, 1);
        by_hand.close().await.expect("a session ends");
        end(session).await;
    });
}

#[test]
fn no_step_leads_ahead_of_the_databases_clock_or_by_another_rule() {
    support::run(async |db| {
        let mut session = db.connect().await;
        left(&mut session, "each", "* * * * * * UTC", "1 minute").await;
        let (mut schedule, from) = (each(Overlap::Allow), done_until(&mut session).await);
        let daemon = upkeep(&db);
        let to = |seconds| Moment(from.0 + seconds);
        let ahead = Step {
            schedule: &schedule,
            from: (from, None),
            to: to(3600),
            fires: true,
            sending: None,
        };
        assert_eq!(daemon.step_schedule(ahead).await.expect("it answers"), Stepped::Elsewhere);
        schedule.rule = Rule::parse("* * * * * *", "Asia/Tokyo").expect("a rule");
        let other =
            Step { schedule: &schedule, from: (from, None), to: to(1), fires: true, sending: None };
        assert_eq!(daemon.step_schedule(other).await.expect("it answers"), Stepped::Elsewhere);
        assert_eq!(fired(&mut session, "each").await, 0);
        assert_eq!(done_until(&mut session).await, from);
        drop(daemon);
        end(session).await;
    });
}
