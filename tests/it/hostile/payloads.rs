//! Payloads that parsers choke on: refused by the database, or handed on to the byte.

use legwork::executor::{Context, HandlerError, TypedHandler};
use legwork::job::{JobError, Outcome};
use nix::sys::signal::Signal;
use sqlx::PgPool;

use crate::pipeline::{
    AT_ONCE, Runner, completed, daemon, deciding, history, insert, kind, name, settings,
};
use crate::process::{Configuration, Notebook, SLACK, becomes};
use crate::statements::{end, refused, session_as};
use crate::support::{self, Daemon};

#[test]
fn three_hundred_megabytes_and_a_million_keys_are_refused() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let keys = "(SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 1000000) i)";
        for (what, payload) in
            [("300 MB", "to_jsonb(repeat('x', 300000000))"), ("a million keys", keys)]
        {
            let insert = format!("INSERT INTO legwork.job (kind, payload) SELECT 'k', {payload}");
            let refusal = refused(&mut producer, &insert).await;
            // Beyond 256 MiB jsonb itself says no, in its own words.
            let known = ["payload_is_at_most_1_mib_rendered", "too long to represent as jsonb"];
            assert!(known.iter().any(|text| refusal.message.contains(text)), "{what}: {refusal:?}");
        }
        end(producer).await;
    });
}

/// Legal all of them, and each as an expression of Postgres.
const ODD: &[&str] = &[
    "'null'",
    "'true'",
    "'\"text\"'",
    "'-0.0'",
    "'[]'",
    "'[1, \"two\", {}]'",
    "'{\"a\": 1, \"a\": 2}'",
    "'[1e400, -1e400, 123456789012345678901234567890, 0.1000000000000000000000000000001]'",
    "(repeat('[', 129) || repeat(']', 129))::jsonb",
    "(repeat('[', 2500) || repeat(']', 2500))::jsonb",
    "(repeat('{\"a\":', 2500) || '1' || repeat('}', 2500))::jsonb",
    "(SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 50000) i)",
    "to_jsonb(repeat('x', 1048574))",
    "'\"; rm -rf / $(reboot) `reboot` --flag \\n \\t \\u001b[31m \\u202e\"'",
];

/// A job of this kind for each of them, and the text that its handler must get.
async fn insert_odd(pool: &PgPool, kind: &str) -> Vec<(i64, String)> {
    let mut jobs = Vec::new();
    for payload in ODD {
        let insert = format!(
            "INSERT INTO legwork.job (kind, payload) SELECT '{kind}', {payload}
             RETURNING id, payload::text"
        );
        let row = sqlx::query_as(sqlx::AssertSqlSafe(insert)).fetch_one(pool).await;
        jobs.push(row.unwrap_or_else(|error| panic!("{payload}: {error}")));
    }
    jobs
}

/// Takes a small object and nothing else.
struct Particular;

#[derive(serde::Deserialize)]
struct Small {
    #[expect(dead_code, reason = "decoded, and not looked at")]
    n: i64,
}

impl TypedHandler for Particular {
    type Payload = Small;
    type Result = ();

    async fn handle(&self, _: Small, _: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[test]
fn an_odd_payload_reaches_a_handler_to_the_byte_and_is_discarded_by_one_that_cannot_decode_it() {
    support::run(async |db| {
        let pool = db.pool().await;
        let given = insert_odd(&pool, "echoes").await;
        let particular = insert_odd(&pool, "particular").await;
        let plain = "INSERT INTO legwork.job (kind, payload) VALUES ('particular', '{\"n\": 1}')
            RETURNING id";
        let plain: i64 = sqlx::query_scalar(plain).fetch_one(&pool).await.unwrap();
        let mut settings = settings(&db);
        settings.kinds = vec![kind("echoes", AT_ONCE), kind("particular", AT_ONCE)];
        for kind in &mut settings.kinds {
            kind.policy.max_attempts = 1;
        }
        let texts = given.clone();
        let echoes = deciding(move |context| {
            let job = context.job();
            let text = texts.iter().find(|(id, _)| *id == job.lease.job.0).map(|(_, text)| text);
            assert_eq!(Some(&job.payload), text);
            completed()
        });
        let daemon = daemon(settings)
            .with_handler(name("echoes"), echoes)
            .with_typed_handler(name("particular"), Particular);
        let runner = Runner::start(daemon);
        for (id, text) in given {
            let found = history(&pool, id).await;
            assert_eq!(found.outcome, "completed", "{text:.100}: {found:?}");
        }
        for (id, text) in particular {
            let found = history(&pool, id).await;
            assert_eq!(found.reason.as_deref(), Some("invalid_payload"), "{text:.100}: {found:?}");
        }
        assert_eq!(history(&pool, plain).await.outcome, "completed");
        runner.stop().await;
        pool.close().await;
    });
}

#[test]
fn an_odd_payload_reaches_a_program_to_the_byte() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let kinds = [notebook.kind("keeps", "cat > kept-$LEGWORK_JOB_ID", "")];
        let jobs = insert_odd(&pool, "keeps").await;
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        for (id, text) in jobs {
            becomes(&pool, id, "completed").await;
            let kept = std::fs::read_to_string(notebook.path(&format!("kept-{id}"))).unwrap();
            assert!(kept == text, "{kept:.100} isn't {text:.100}");
        }
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}

/// Returns what jsonb can't hold.
struct Unspeakable;

impl TypedHandler for Unspeakable {
    type Payload = serde_json::Value;
    type Result = [&'static str; 2];

    async fn handle(
        &self,
        _: serde_json::Value,
        _: &Context,
    ) -> Result<Self::Result, HandlerError> {
        Ok(["a\0b", "c"])
    }
}

#[test]
fn what_a_handler_says_with_a_nul_in_it_never_reaches_the_database_and_holds_up_nobody() {
    support::run(async |db| {
        let pool = db.pool().await;
        let notebook = Notebook::new();
        let mut settings = settings(&db);
        settings.kinds =
            ["returns", "fails", "panics", "plain"].map(|text| kind(text, AT_ONCE)).into();
        for kind in &mut settings.kinds {
            kind.policy.max_attempts = 1;
        }
        let fails = |_: &Context| Outcome::Retry { error: JobError::new("a\0b"), after: None };
        let daemon = daemon(settings)
            .with_typed_handler(name("returns"), Unspeakable)
            .with_handler(name("fails"), deciding(fails))
            .with_handler(name("panics"), deciding(|_| panic!("a\0b")))
            .with_handler(name("plain"), deciding(|_| completed()));
        let runner = Runner::start(daemon);
        for (kind, outcome, failures) in [
            ("returns", "completed", vec![]),
            ("fails", "discarded", vec!["1 failed: a\u{2400}b"]),
            ("panics", "discarded", vec!["1 panicked: panic: a\u{2400}b"]),
            ("plain", "completed", vec![]),
        ] {
            let id = insert(&pool, kind).await;
            let found = history(&pool, id).await;
            assert_eq!((found.outcome.as_str(), found.result), (outcome, None), "{kind}");
            assert_eq!(found.failures, failures, "{kind}");
        }
        runner.stop().await;

        // The same from a program, by its output and by the results that it reports.
        let script = "printf '[\"\\\\u0000\", \"\\\\ud800\"]'
printf '{\"result\": \"\\\\u0000\"}\\n{\"result\": \"\\\\udfff\"}\\n' >&3";
        let failing = "printf 'a\\000b\\377' >&2; exit 1";
        let kinds = [
            notebook.kind("returns", script, ""),
            notebook.kind("fails", failing, "max_attempts = 1"),
        ];
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        let returns = insert(&pool, "returns").await;
        let fails = insert(&pool, "fails").await;
        assert_eq!(history(&pool, returns).await.outcome, "completed");
        assert_eq!(history(&pool, fails).await.outcome, "discarded");
        assert_eq!(daemon.count("flush.row_refused"), 0, "{}", daemon.printed());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit(SLACK).await.code(), Some(0), "{}", daemon.printed());
        pool.close().await;
    });
}
