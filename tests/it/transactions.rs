//! Code that panics inside a transaction of ours leaves no open transaction and no half of an effect,
//! and what the transaction says that it protects stays true.
//!
//! The panic needs no hook in the product: an event trigger in the test's database raises a warning
//! when a statement inside the transaction has done its work, the driver logs the warning, and a
//! subscriber of this test's panics on it, in the middle of our future, on our stack.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use legwork::postgres::enqueue::{EnqueueSink, NewJob};
use legwork::postgres::migrate::{self, EXPECTED_VERSION, SchemaCheck};
use rstest::rstest;
use sqlx::Connection as _;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::statements::{end, execute, rows, value};
use crate::support::{self, TestDb};

/// Panics when the database warns that a statement of this sort was executed.
struct Stumble(&'static str);

impl<S: tracing::Subscriber> Layer<S> for Stumble {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        let is_ours = event.metadata().target() == "sqlx::postgres::notice";
        assert!(!(is_ours && said.0 == format!("done: {}", self.0)), "stumbled after {}", self.0);
    }
}

/// An event's message.
struct Said(String);

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// A database that warns of every change of its schema.
async fn warn_of_changes(db: &TestDb) {
    let mut session = db.connect().await;
    let trigger = "CREATE FUNCTION public.warn() RETURNS event_trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE WARNING 'done: %', tg_tag; END $$;
        CREATE EVENT TRIGGER warn ON ddl_command_end EXECUTE FUNCTION public.warn()";
    execute(&mut session, trigger).await;
    end(session).await;
}

/// Which way the migrator goes.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down(i64),
}

impl Way {
    async fn go(self, url: &str) {
        let gone = match self {
            Self::Up => migrate::up(url).await,
            Self::Down(target) => migrate::down(url, target).await,
        };
        gone.expect("nothing but the panic is in the way");
    }
}

/// Goes that way, and panics after a statement of this sort.
async fn panics_after(tag: &'static str, way: Way, db: &TestDb) {
    let url = db.url();
    let panicked = tokio::task::spawn_blocking(move || {
        let subscriber = tracing_subscriber::registry().with(Stumble(tag));
        let _stumbling = tracing::subscriber::set_default(subscriber);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be built").block_on(way.go(&url));
    });
    let panic = panicked.await.expect_err("it panics").into_panic();
    let said = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    assert_eq!(said, format!("stumbled after {tag}"));
}

/// What another session sees of schema legwork.
const SEEN: &str = "SELECT
    (SELECT coalesce(string_agg(pg_get_userbyid(nspowner), ''), 'no') FROM pg_namespace WHERE nspname = 'legwork'),
    (SELECT count(*) FROM pg_class WHERE oid = to_regclass('legwork.migration')),
    (SELECT count(*) FROM pg_proc WHERE pronamespace = to_regnamespace('legwork')),
    (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('legwork')),
    (SELECT md5(string_agg(relname || relacl::text, ' ' ORDER BY oid)) FROM pg_class WHERE relnamespace = to_regnamespace('legwork'))";

/// Everything that the database shows to others: its objects and rights, and the recorded versions.
async fn seen(db: &TestDb) -> Vec<String> {
    let mut session = db.connect().await;
    let mut seen = rows(&mut session, SEEN).await;
    if seen[0].split('|').nth(1) == Some("1") {
        let versions = "SELECT version, checksum FROM legwork.migration ORDER BY version";
        seen.extend(rows(&mut session, versions).await);
    }
    end(session).await;
    seen
}

/// Takes from a role what `finish` gives back, and from history its last day.
const UNFINISHED: &str = "REVOKE ALL ON legwork.jobs_public FROM legwork_read;
    DO $$ BEGIN EXECUTE (SELECT format('DROP TABLE legwork.%I', max(relname)) FROM pg_class
        WHERE relnamespace = 'legwork'::regnamespace AND relname ~ '^finished_[0-9]{8}$'); END $$";

/// Takes the first migration back, as going down does before it removes the schema.
const EMPTIED: &str =
    concat!(include_str!("../../migrations/0001_job.down.sql"), "DELETE FROM legwork.migration");

#[rstest]
#[case::roles_schema_and_versions(Some(0), "", Way::Up, "CREATE TABLE")]
#[case::a_migration_upwards(Some(2), "", Way::Up, "CREATE TRIGGER")]
#[case::a_migration_downwards(None, "", Way::Down(EXPECTED_VERSION - 1), "DROP TABLE")]
#[case::grants_and_partitions(None, UNFINISHED, Way::Up, "ALTER TABLE")]
#[case::removing_the_emptied_schema(Some(1), EMPTIED, Way::Down(0), "DROP SCHEMA")]
fn a_migrator_that_panics_leaves_nothing_half_done(
    #[case] start: Option<i64>,
    #[case] arrangement: &str,
    #[case] way: Way,
    #[case] tag: &'static str,
) {
    support::run(async move |db| {
        if let Some(version) = start {
            migrate::down(&db.url(), version).await.expect("it goes down");
        }
        let mut session = db.connect().await;
        execute(&mut session, arrangement).await;
        warn_of_changes(&db).await;
        let before = seen(&db).await;

        panics_after(tag, way, &db).await;
        support::eventually("the migrator's session is gone", async || {
            let open = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'legwork migrate'";
            value(&mut session, open).await == "0"
        })
        .await;
        assert_eq!(seen(&db).await, before, "as if it had never been");

        way.go(&db.url()).await;
        let checked = migrate::check(&mut session).await.expect("a check");
        match way {
            Way::Up => assert_eq!(checked, SchemaCheck::Current),
            Way::Down(_) => assert_ne!(checked, SchemaCheck::Current),
        }
        assert_ne!(seen(&db).await, before, "without the panic something happens");
        end(session).await;
    });
}

#[test]
fn a_copy_whose_producer_panics_enqueues_nothing_and_is_not_left_open() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let url = db.url();
        let copying = async move {
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("a session");
            let mut sink = EnqueueSink::begin(&mut connection).await.expect("a COPY begins");
            let mut job = NewJob::new("k".parse().expect("a name"));
            // More than the sink keeps to itself.
            job.payload = Some(format!("\"{}\"", "x".repeat(100_000)));
            for pushed in 0..10 {
                assert!(pushed < 5, "stumbled between two jobs");
                sink.push(&job).await.expect("the job is taken");
            }
            sink.finish().await.expect("every job is enqueued");
        };
        let panicked = AssertUnwindSafe(copying).catch_unwind().await;
        assert!(panicked.is_err(), "it panics");
        support::eventually("the producer's session is gone", async || {
            let copying = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            value(&mut session, copying).await == "0"
        })
        .await;
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.job").await, "0");
        end(session).await;
    });
}
