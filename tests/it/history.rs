//! History's days: made ahead, made on demand, and dropped when past.

use std::collections::BTreeSet;

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;
use legwork::job::DiscardReason;

const COUNT: &str = "SELECT count(*) FROM pg_class WHERE relnamespace = 'legwork'::regnamespace
    AND relispartition AND relkind = 'r'";

#[test]
fn migrating_leaves_history_with_today_and_35_days_ahead() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let missing = "SELECT p.name, day FROM (VALUES ('finished'), ('failed_attempt')) p (name),
                generate_series(0, 35) ahead,
                LATERAL (SELECT (now() AT TIME ZONE 'UTC')::date + ahead AS day) d
            WHERE to_regclass('legwork.' || p.name || '_' || to_char(day, 'YYYYMMDD')) IS NULL";
        // Around midnight the template's today may be this test's yesterday: the last day only.
        let missing = rows(&mut session, missing).await;
        assert!(missing.len() <= 2, "{missing:?}");
        end(session).await;
    });
}

#[test]
fn two_sessions_that_make_the_same_days_make_them_once() {
    support::run(async |db| {
        let (mut one, mut other) = (db.connect().await, db.connect().await);
        let before: u32 = value(&mut one, COUNT).await.parse().expect("a number");
        let make = "SELECT legwork.make_partitions('2031-01-01', '2031-01-10')";
        let (first, second) = tokio::join!(value(&mut one, make), value(&mut other, make));
        let mut counts = [first, second];
        counts.sort();
        assert_eq!(counts, ["0", "20"]);
        let after: u32 = value(&mut one, COUNT).await.parse().expect("a number");
        assert_eq!(after, before + 20);
        end(one).await;
        end(other).await;
    });
}

#[test]
fn a_row_for_a_day_that_is_not_there_fails_until_the_day_is_made() {
    support::run(async |db| {
        let mut daemon = session_as(&db, "legwork_daemon").await;
        let insert =
            "INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after)
            VALUES (1, 1, 1, 'failed', '2040-02-29')";
        assert_eq!(refused(&mut daemon, insert).await.code, "23514");
        execute(&mut daemon, "SELECT legwork.make_partitions('2040-02-29', '2040-02-29')").await;
        execute(&mut daemon, insert).await;
        end(daemon).await;
    });
}

#[test]
fn a_day_can_be_made_while_rows_are_being_written_to_history() {
    support::run(async |db| {
        let (mut writer, mut maker) = (db.connect().await, db.connect().await);
        execute(
            &mut writer,
            "BEGIN; INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after)
             VALUES (1, 1, 1, 'failed', (now() AT TIME ZONE 'UTC')::date + 1)",
        )
        .await;
        // With CREATE TABLE … PARTITION OF this would wait for the writer and time out.
        let made = value(&mut maker, "SELECT legwork.make_partitions('2041-01-01', '2041-01-01')");
        assert_eq!(made.await, "2");
        execute(&mut writer, "COMMIT").await;
        end(writer).await;
        end(maker).await;
    });
}

#[test]
fn a_range_that_is_no_range_is_refused_with_what_to_give() {
    support::run(async |db| {
        let mut session = db.connect().await;
        for (name, arguments) in [
            ("backwards", "'2031-01-02', '2031-01-01'"),
            ("101 days", "'2031-01-01', '2031-04-11'"),
            ("endless", "'2031-01-01', 'infinity'"),
            ("nothing", "NULL, NULL"),
        ] {
            let make = format!("SELECT legwork.make_partitions({arguments})");
            let refusal = refused(&mut session, &make).await;
            assert_eq!(refusal.code, "22023", "{name}: {refusal:?}");
            assert!(refusal.message.contains("at most 100 days"), "{name}: {refusal:?}");
        }
        end(session).await;
    });
}

#[test]
fn only_past_days_can_be_dropped_and_each_only_once() {
    support::run(async |db| {
        let mut daemon = session_as(&db, "legwork_daemon").await;
        execute(&mut daemon, "SELECT legwork.make_partitions('2020-05-01', '2020-05-02')").await;
        let droppable = "SELECT name, parent, drop_after, state FROM legwork.droppable_partitions()
            WHERE drop_after < '2021-01-01'";
        assert_eq!(
            rows(&mut daemon, droppable).await,
            [
                "failed_attempt_20200501|failed_attempt|2020-05-01|attached",
                "finished_20200501|finished|2020-05-01|attached",
                "failed_attempt_20200502|failed_attempt|2020-05-02|attached",
                "finished_20200502|finished|2020-05-02|attached",
            ]
        );
        let drop = "SELECT legwork.drop_partition('finished_20200501')";
        assert_eq!(value(&mut daemon, drop).await, "t");
        assert_eq!(value(&mut daemon, drop).await, "f");

        let today = "SELECT 'finished_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYYMMDD')";
        let tomorrow = value(&mut daemon, today).await;
        for name in [tomorrow.as_str(), "job", "finished", "doorbell"] {
            let refusal =
                refused(&mut daemon, &format!("SELECT legwork.drop_partition('{name}')")).await;
            assert_eq!(refusal.code, "22023", "{name}: {refusal:?}");
            assert!(refusal.hint.contains("droppable_partitions"), "{name}: {refusal:?}");
        }
        end(daemon).await;
    });
}

#[test]
fn dropping_gives_up_after_a_moment_when_history_is_being_read() {
    support::run(async |db| {
        let (mut reader, mut daemon) =
            (db.connect().await, session_as(&db, "legwork_daemon").await);
        execute(&mut daemon, "SELECT legwork.make_partitions('2020-05-01', '2020-05-01')").await;
        execute(&mut reader, "BEGIN; SELECT count(*) FROM legwork.finished").await;
        let drop = "SELECT legwork.drop_partition('finished_20200501')";
        assert_eq!(refused(&mut daemon, drop).await.code, "55P03");
        execute(&mut reader, "COMMIT").await;
        assert_eq!(value(&mut daemon, drop).await, "t");
        end(reader).await;
        end(daemon).await;
    });
}

#[test]
fn a_day_that_an_owner_detached_and_left_behind_is_still_droppable() {
    support::run(async |db| {
        let mut owner = db.connect().await;
        assert_eq!(value(&mut owner, "SELECT legwork.owns_history()").await, "t");
        execute(&mut owner, "SELECT legwork.make_partitions('2020-05-01', '2020-05-01')").await;
        execute(
            &mut owner,
            "ALTER TABLE legwork.finished DETACH PARTITION legwork.finished_20200501 CONCURRENTLY",
        )
        .await;
        let state =
            "SELECT state FROM legwork.droppable_partitions() WHERE name = 'finished_20200501'";
        assert_eq!(value(&mut owner, state).await, "detached");
        let drop = "SELECT legwork.drop_partition('finished_20200501')";
        assert_eq!(value(&mut owner, drop).await, "t");
        execute(&mut owner, "SET ROLE legwork_daemon").await;
        assert_eq!(value(&mut owner, "SELECT legwork.owns_history()").await, "f");
        end(owner).await;
    });
}

#[test]
fn the_same_attempt_is_recorded_once() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let insert =
            "INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after)
            VALUES (1, 1, 1, 'failed', (now() AT TIME ZONE 'UTC')::date + 1)";
        execute(&mut session, insert).await;
        assert_eq!(refused(&mut session, insert).await.code, "23505");
        end(session).await;
    });
}

/// Reasons that statements write, and the statements.
const REASONS_OF_STATEMENTS: &[(&str, &str)] = &[
    ("unknown_kind_expired", include_str!("../../src/postgres/sql/expire_these.sql")),
    ("discarded_by_operator", include_str!("../../migrations/0004_functions.up.sql")),
    ("cancelled_while_waiting", include_str!("../../migrations/0004_functions.up.sql")),
];

#[test]
fn every_reason_that_a_job_can_end_for_is_documented_and_nothing_else_is() {
    let page = include_str!("../../docs/sql.md");
    let table = page.split("| reason | of a job that was |\n|---|---|\n").nth(1).expect("a table");
    let rows = table.lines().take_while(|line| line.starts_with("| `"));
    let documented: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    for (reason, statement) in REASONS_OF_STATEMENTS {
        assert!(statement.contains(&format!("'{reason}'")), "{reason} is written");
    }
    let of_statements = REASONS_OF_STATEMENTS.iter().map(|(reason, _)| *reason);
    let of_handlers = DiscardReason::ALL.into_iter().map(DiscardReason::as_str);
    let written = of_handlers.chain(of_statements).chain(["cancel_requested"]);
    assert_eq!(documented, written.collect::<BTreeSet<_>>());
}
