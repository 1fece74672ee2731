//! The migrator: up, down, up again over a populated database, two at once, locks in the way, and what
//! it says of a schema that isn't the expected one.

use legwork::embedded::Postgres;
use legwork::postgres::migrate::{
    self, Applied, Direction, EXPECTED_VERSION, MigrateError, MigrationState, SchemaCheck,
};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::statements::{end, execute, rows, value};
use crate::support::{self, TestDb};

#[test]
fn each_migration_goes_down_and_up_over_populated_tables_and_loses_no_job() {
    support::run(async |db| {
        populate(&db).await;
        let before = fingerprint(&db).await;
        for target in (1..EXPECTED_VERSION).rev() {
            let down = migrate::down(&db.url(), target).await.expect("it goes down");
            let all: Vec<i64> = (target + 1..=EXPECTED_VERSION).rev().collect();
            assert_eq!(down, Applied { versions: all.clone(), now_at: target });
            assert_eq!(fingerprint(&db).await, before, "down to {target}");
            let up = migrate::up(&db.url()).await.expect("it goes up");
            let again: Vec<i64> = all.into_iter().rev().collect();
            assert_eq!(up, Applied { versions: again, now_at: EXPECTED_VERSION });
            assert_eq!(fingerprint(&db).await, before, "up from {target}");
        }
    });
}

#[test]
fn going_down_to_nothing_leaves_nothing_but_the_roles() {
    support::run(async |db| {
        let down = migrate::down(&db.url(), 0).await.expect("it goes down");
        assert_eq!(down.now_at, 0);
        let mut session = db.connect().await;
        assert_eq!(value(&mut session, "SELECT to_regnamespace('legwork') IS NULL").await, "t");
        let role = "SELECT count(*) FROM pg_roles WHERE rolname = 'legwork_owner'";
        assert_eq!(value(&mut session, role).await, "1");
        end(session).await;
        let nothing = migrate::down(&db.url(), 0).await.expect("there is nothing to take back");
        assert_eq!(nothing, Applied { versions: Vec::new(), now_at: 0 });
        migrate::up(&db.url()).await.expect("it goes up again");
    });
}

#[test]
fn a_schema_that_holds_somebody_elses_table_is_kept() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "CREATE TABLE legwork.theirs (); ").await;
        migrate::down(&db.url(), 0).await.expect("it goes down");
        assert_eq!(
            value(&mut session, "SELECT to_regclass('legwork.theirs') IS NOT NULL").await,
            "t"
        );
        end(session).await;
    });
}

#[test]
fn migrating_again_changes_nothing() {
    support::run(async |db| {
        let up = migrate::up(&db.url()).await.expect("it goes up");
        assert_eq!(up, Applied { versions: Vec::new(), now_at: EXPECTED_VERSION });
    });
}

#[test]
fn four_migrators_at_once_apply_each_migration_once() {
    support::run(async |db| {
        migrate::down(&db.url(), 0).await.expect("it goes down");
        let url = db.url();
        let all = tokio::join!(
            migrate::up(&url),
            migrate::up(&url),
            migrate::up(&url),
            migrate::up(&url)
        );
        let mut applied: Vec<i64> = Vec::new();
        for one in [all.0, all.1, all.2, all.3] {
            let one = one.expect("each migrator succeeds");
            assert_eq!(one.now_at, EXPECTED_VERSION);
            applied.extend(one.versions);
        }
        applied.sort_unstable();
        assert_eq!(applied, (1..=EXPECTED_VERSION).collect::<Vec<_>>(), "each is one's alone");
        let mut session = db.connect().await;
        let count = value(&mut session, "SELECT count(*) FROM legwork.migration").await;
        assert_eq!(count, EXPECTED_VERSION.to_string());
        end(session).await;
    });
}

#[test]
fn a_lock_in_the_way_is_waited_for_and_waited_for_again() {
    support::run(async |db| {
        migrate::down(&db.url(), 2).await.expect("it goes down");
        // What a producer's open transaction holds; the migration that makes a trigger on `job` needs more.
        let url = db.url();
        let held = held_for_a_try(&db, "ROW EXCLUSIVE");
        let (up, ()) = tokio::join!(migrate::up(&url), held);
        let versions = (3..=EXPECTED_VERSION).collect();
        assert_eq!(up.expect("it goes up"), Applied { versions, now_at: EXPECTED_VERSION });
    });
}

#[test]
fn what_was_taken_back_before_a_lock_was_in_the_way_is_told_as_well() {
    support::run(async |db| {
        // A reader's lock lets the functions go, and stops what needs the table itself.
        let url = db.url();
        let held = held_for_a_try(&db, "ACCESS SHARE");
        let (down, ()) = tokio::join!(migrate::down(&url, 0), held);
        let versions = (1..=EXPECTED_VERSION).rev().collect();
        assert_eq!(down.expect("it goes down"), Applied { versions, now_at: 0 });
    });
}

#[test]
fn four_migrators_at_once_take_each_migration_back_once() {
    support::run(async |db| {
        let url = db.url();
        let down = || migrate::down(&url, 0);
        let all = tokio::join!(down(), down(), down(), down());
        let mut taken: Vec<i64> = Vec::new();
        for one in [all.0, all.1, all.2, all.3] {
            let one = one.expect("each migrator succeeds");
            assert_eq!(one.now_at, 0);
            taken.extend(one.versions);
        }
        taken.sort_unstable();
        assert_eq!(taken, (1..=EXPECTED_VERSION).collect::<Vec<_>>(), "each is one's alone");
    });
}

/// Holds a lock on the table of jobs until a migrator has given way to it once.
async fn held_for_a_try(db: &TestDb, mode: &str) {
    let (mut holder, mut looker) = (db.connect().await, db.connect().await);
    execute(&mut holder, &format!("BEGIN; LOCK TABLE legwork.job IN {mode} MODE")).await;
    let waiting = &support::who_waits_for("legwork.job").0;
    let mut first = "0".to_owned();
    support::eventually("the migrator waits for the lock", async || {
        first = value(&mut looker, waiting).await;
        first != "0"
    })
    .await;
    support::eventually("it has given way and waits with a new session", async || {
        let now = value(&mut looker, waiting).await;
        now != "0" && now != first
    })
    .await;
    execute(&mut holder, "COMMIT").await;
    end(holder).await;
    end(looker).await;
}

#[test]
fn a_migration_of_another_text_is_refused_and_shown() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, "UPDATE legwork.migration SET checksum = 'other' WHERE version = 2")
            .await;
        let refusal = migrate::up(&db.url()).await.expect_err("it refuses");
        assert!(matches!(refusal, MigrateError::Changed { version: 2 }), "{refusal:?}");
        let status = migrate::status(&db.url()).await.expect("a status");
        assert!(matches!(status[0].state, MigrationState::Applied { .. }), "{status:?}");
        assert!(matches!(status[1].state, MigrationState::Changed { .. }), "{status:?}");
        end(session).await;
    });
}

#[test]
fn a_newer_schema_is_refused_by_the_migrator_and_by_the_check() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let newer = EXPECTED_VERSION + 1;
        execute(
            &mut session,
            &format!(
                "INSERT INTO legwork.migration (version, description, success, checksum, execution_time)
                 VALUES ({newer}, 'from_the_future', true, '', 0)"
            ),
        )
        .await;
        let checked = migrate::check(&mut session).await.expect("a check");
        assert_eq!(checked, SchemaCheck::Newer { found: newer, expected: EXPECTED_VERSION });
        assert!(checked.to_string().contains("newer release"), "{checked}");
        for refusal in [migrate::up(&db.url()).await, migrate::down(&db.url(), 1).await] {
            let refusal = refusal.expect_err("it refuses");
            assert!(matches!(refusal, MigrateError::Newer { .. }), "{refusal:?}");
        }
        let status = migrate::status(&db.url()).await.expect("a status");
        let last = status.last().expect("a migration");
        assert_eq!((last.version, last.name.as_str()), (newer, "from_the_future"));
        assert!(matches!(last.state, MigrationState::Unknown { .. }), "{last:?}");
        end(session).await;
    });
}

#[test]
fn the_check_tells_a_current_an_older_and_a_missing_schema_apart() {
    support::run(async |db| {
        let mut session = db.connect().await;
        assert_eq!(migrate::check(&mut session).await.expect("a check"), SchemaCheck::Current);
        migrate::down(&db.url(), 3).await.expect("it goes down");
        let older = migrate::check(&mut session).await.expect("a check");
        assert_eq!(older, SchemaCheck::Older { found: 3, expected: EXPECTED_VERSION });
        let status = migrate::status(&db.url()).await.expect("a status");
        let pending = status.iter().filter(|one| one.state == MigrationState::Pending).count();
        assert_eq!(pending, usize::try_from(EXPECTED_VERSION - 3).expect("a count"));
        migrate::down(&db.url(), 0).await.expect("it goes down");
        let missing = migrate::check(&mut session).await.expect("a check");
        assert_eq!(missing, SchemaCheck::Missing);
        for check in [older, missing] {
            assert!(check.to_string().contains("`legwork migrate up`"), "{check}");
        }
        end(session).await;
    });
}

#[test]
fn the_daemons_role_may_check_the_schema() {
    support::run(async |db| {
        let mut session = crate::statements::session_as(&db, "legwork_daemon").await;
        assert_eq!(migrate::check(&mut session).await.expect("a check"), SchemaCheck::Current);
        end(session).await;
    });
}

#[test]
fn a_target_that_is_no_version_is_refused() {
    support::run(async |db| {
        for target in [-1, EXPECTED_VERSION + 1] {
            let refusal = migrate::down(&db.url(), target).await.expect_err("it refuses");
            assert!(matches!(refusal, MigrateError::UnknownTarget { .. }), "{refusal:?}");
        }
    });
}

#[test]
fn the_printed_sql_does_what_the_migrator_does() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(&mut session, &migrate::sql(Direction::Down)).await;
        assert_eq!(migrate::check(&mut session).await.expect("a check"), SchemaCheck::Missing);
        end(session).await;
        let mut session = db.connect().await;
        execute(&mut session, &migrate::sql(Direction::Up)).await;
        assert_eq!(migrate::check(&mut session).await.expect("a check"), SchemaCheck::Current);
        let nothing_left = migrate::up(&db.url()).await.expect("it goes up");
        assert_eq!(nothing_left.versions, Vec::<i64>::new());
        end(session).await;
    });
}

#[test]
fn a_database_that_is_not_there_is_an_error_of_connecting() {
    support::run(async |db| {
        let url = db.url().replace(db.name(), "legwork_no_such_database");
        let refusal = migrate::up(&url).await.expect_err("there is none");
        assert!(matches!(refusal, MigrateError::Connect(_)), "{refusal:?}");
    });
}

#[test]
fn a_database_of_another_encoding_is_refused_with_what_to_do() {
    support::run(async |db| {
        let mut admin = db.connect().await;
        for encoding in ["LATIN1", "SQL_ASCII"] {
            let name = format!("{}_{}", db.name(), encoding.to_lowercase());
            execute(
                &mut admin,
                &format!(
                    "CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
                ),
            )
            .await;
            let refusal = migrate::up(&db.url().replace(db.name(), &name)).await;
            execute(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
            let refusal = refusal.expect_err("text can't be kept in it");
            let cause = std::error::Error::source(&refusal).map(ToString::to_string);
            let expected = format!("is encoded in {encoding}; Legwork needs UTF8");
            assert!(cause.is_some_and(|cause| cause.contains(&expected)), "{refusal:?}");
        }
        end(admin).await;
    });
}

/// On a cluster of its own, because the roles are the cluster's and here they must be missing.
#[test]
fn one_role_that_may_make_no_roles_installs_and_uses_everything() {
    let cluster = Postgres::start(&support::server::private_options()).expect("a private Postgres");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut admin = PgConnection::connect(&cluster.url("postgres")).await.expect("a session");
        execute(&mut admin, "CREATE ROLE solo").await;
        execute(&mut admin, "CREATE DATABASE solo OWNER solo").await;
        end(admin).await;
        let url = cluster.url("solo");
        let sign = if url.contains('?') { '&' } else { '?' };
        let as_solo = format!("{url}{sign}options=-c%20role%3Dsolo");

        let up = migrate::up(&as_solo).await.expect("solo may migrate");
        assert_eq!(up.now_at, EXPECTED_VERSION);
        let mut solo = PgConnection::connect(&as_solo).await.expect("a session");
        assert_eq!(
            rows(&mut solo, "SELECT rolname FROM pg_roles WHERE rolname ~ '^legwork'").await,
            Vec::<String>::new()
        );
        assert_eq!(value(&mut solo, "SELECT legwork.owns_history()").await, "t");
        let id = value(&mut solo, "INSERT INTO legwork.job (kind) VALUES ('k') RETURNING id").await;
        assert_eq!(value(&mut solo, &format!("SELECT legwork.cancel({id})")).await, "cancelled");
        assert_eq!(value(&mut solo, &format!("SELECT legwork.retry({id})")).await, "retried");
        assert_eq!(
            rows(&mut solo, "SELECT * FROM legwork.invariants()").await,
            Vec::<String>::new()
        );

        // Once somebody makes the roles, another `up` grants them what is theirs; the owner stays.
        migrate::up(&url).await.expect("a superuser may migrate");
        execute(&mut solo, "RESET ROLE; SET ROLE legwork_enqueue").await;
        execute(&mut solo, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        let owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'legwork'";
        assert_eq!(value(&mut solo, owner).await, "solo");

        // And who is neither owner nor a member of it is told so.
        let mut admin = PgConnection::connect(&url).await.expect("a session");
        execute(&mut admin, "CREATE ROLE stranger").await;
        let as_stranger = format!("{url}{sign}options=-c%20role%3Dstranger");
        let refusal = migrate::up(&as_stranger).await.expect_err("a stranger may not");
        let cause =
            std::error::Error::source(&refusal).map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("schema legwork belongs to solo"), "{refusal:?}");
        migrate::down(&as_solo, 0).await.expect("solo may take it back");
        end(admin).await;
        end(solo).await;
    });
    drop(runtime);
    cluster.stop().expect("the cluster stops");
}

/// 30,000 jobs in every condition, of which some are finished.
async fn populate(db: &TestDb) {
    let mut session = db.connect().await;
    execute(
        &mut session,
        "INSERT INTO legwork.job (kind, queue, payload, priority, run_at, unique_key, tags)
         SELECT 'k' || i % 7, 'q' || i % 3, jsonb_build_object('i', i), i % 5 - 2,
             now() + (i % 4) * interval '1 h', CASE WHEN i % 2 = 0 THEN 'u' || i END, ARRAY['t' || i]
         FROM generate_series(1, 30000) i;
         UPDATE legwork.job SET holder = 7, token = 3, attempt = 1 WHERE id % 11 = 0;
         SELECT legwork.cancel(id) FROM legwork.job WHERE id % 100 = 1;
         SELECT legwork.pause('q1', 'test')",
    )
    .await;
    end(session).await;
}

/// Everything of `job` and `queue`, in one line.
async fn fingerprint(db: &TestDb) -> String {
    let mut session = db.connect().await;
    let line = value(
        &mut session,
        "SELECT count(*), md5(string_agg(to_jsonb(j)::text, '' ORDER BY id)),
             (SELECT md5(string_agg(to_jsonb(q)::text, '')) FROM legwork.queue q) FROM legwork.job j",
    )
    .await;
    end(session).await;
    line
}
