//! Payloads stay out of logs, metrics and spans, whatever becomes of their jobs, whoever asks for them, and however
//! much is logged.

mod bodies;

use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;

use super::{Configuration, Notebook, SLACK, becomes};
use crate::support::{self, Daemon, PATIENCE, TestDb, collector::Collector};

/// Stands in every payload and nowhere else.
const SECRET: &str = "s3cr3t-of-a-payload";

/// Functions that succeed, fail, and are refused by the database, which quotes their payload; they don't.
const FUNCTIONS: &str = "CREATE SCHEMA app;
    CREATE FUNCTION app.works(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT null::jsonb';
    CREATE FUNCTION app.fails(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = payload; END $$;
    CREATE TABLE app.seen (word text CONSTRAINT seen_once UNIQUE);
    CREATE FUNCTION app.breaks(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO app.seen SELECT payload->>'seconds' FROM generate_series(1, 2); RETURN NULL; END $$;
    CREATE FUNCTION app.casts(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RAISE NOTICE '%', (payload->>'seconds')::int; RETURN NULL; END $$;
    CREATE FUNCTION app.owns(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'own words' USING ERRCODE = '22023', DETAIL = payload, HINT = 'own hint'; END $$;
    CREATE FUNCTION app.makes(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE format('SELECT %I', payload->>'seconds'); RETURN NULL; END $$;
    CREATE FUNCTION app.names(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb((replace(payload->>'seconds', '-', '_'))::regclass); END $$;
    CREATE FUNCTION app.types(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb(('int ' || (payload->>'seconds'))::regtype); END $$;
    CREATE FUNCTION app.searches(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb((payload->>'seconds' || repeat('x', 3000))::tsquery::text); END $$;
    CREATE FUNCTION app.columns(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb(has_column_privilege('app.seen', payload->>'seconds', 'select')); END $$;
    CREATE FUNCTION app.sizes(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb(pg_database_size((payload->>'seconds')::name)); END $$;
    CREATE FUNCTION app.crosses(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb((replace(payload->>'seconds', '-', '_') || '.a.b')::regclass); END $$;
    CREATE FUNCTION app.counts(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN PERFORM FROM ts_stat('SELECT ' || replace(payload->>'seconds', '-', '_')); RETURN NULL; END $$;
    CREATE FUNCTION app.opens(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN RETURN to_jsonb(pg_read_file('/root/' || (payload->>'seconds'))); END $$;
    CREATE FUNCTION app.forges(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE format('SELECT 1 / (0 * length(%L))', E'x\\nSQL function ' || (payload->>'seconds')); RETURN NULL; END $$;
    CREATE FUNCTION app.ends_all(payload jsonb) RETURNS jsonb LANGUAGE plpgsql SET exit_on_error = on AS
        $$ BEGIN RETURN to_jsonb((payload->>'seconds')::int); END $$;
    CREATE FUNCTION app.reads() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM (NEW.payload->>'seconds')::int; RETURN NEW; END $$;
    CREATE TRIGGER reads BEFORE INSERT ON legwork.finished FOR EACH ROW WHEN (NEW.kind = 'unread')
        EXECUTE FUNCTION app.reads();
    GRANT USAGE ON SCHEMA app TO PUBLIC;
    ALTER TABLE legwork.finished ADD CONSTRAINT never CHECK (kind <> 'unwritten') NOT VALID";

/// A job with the secret as a value and as a name.
const INSERT: &str = "INSERT INTO legwork.job (kind, payload)
    VALUES ($1, jsonb_build_object($2::text, $2::text, 'seconds', $2::text)) RETURNING id";

/// A database with these functions.
async fn made(db: &TestDb) -> PgPool {
    let pool = db.pool().await;
    for statement in FUNCTIONS.split(";\n").map(str::trim) {
        let run = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await;
        run.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    pool
}

/// A kind that calls the function of its name once.
fn refused(name: &str) -> String {
    format!(
        "[[kind]]\nname = '{name}'\nhandler = 'sql'\nfunction = 'app.{name}'\nmax_attempts = 1\n"
    )
}

/// Each way to run a kind, and each way in which it goes wrong.
fn kinds(notebook: &Notebook) -> Vec<String> {
    let once = "max_attempts = 1";
    let plain = |name: &str, handler: &str| {
        format!("[[kind]]\nname = '{name}'\nhandler = {handler}\nmax_attempts = 1\n")
    };
    let http = "'http'\nurl = 'http://127.0.0.1:9/'\nallow_hosts = ['127.0.0.1']";
    vec![
        notebook.kind("reads", "cat > /dev/null", once),
        notebook.kind("exits", "cat > /dev/null; exit 1", once),
        notebook.kind("bad", "exit 65", once),
        notebook.kind("prints", "cat; exit 1", once),
        notebook.kind("prints_on", "cat; exec sleep 60", "max_attempts = 1\ntimeout = '200ms'"),
        notebook.kind("misconfigured", "exit 78", once),
        notebook.kind("hangs", "exec sleep 60", "max_attempts = 1\ntimeout = '200ms'"),
        notebook.kind("dies", "kill -9 $$", once),
        plain("noop", "'noop'"),
        plain("sleeps", "'sleep'"),
        plain("calls", http),
        plain("works", "'sql'\nfunction = 'app.works'"),
        refused("fails"),
        refused("breaks"),
        refused("casts"),
        refused("owns"),
        refused("makes"),
        refused("names"),
        refused("types"),
        refused("searches"),
        refused("columns"),
        refused("sizes"),
        refused("crosses"),
        refused("counts"),
        refused("opens"),
        refused("forges"),
        refused("ends_all"),
        plain("absent", "'sql'\nfunction = 'app.absent'"),
        plain("unwritten", "'noop'"),
        plain("unread", "'noop'"),
    ]
}

#[test]
fn no_line_of_any_level_no_label_and_no_span_has_a_payload() {
    support::run(async |db| {
        let pool = made(&db).await;
        let notebook = Notebook::new();
        let kinds = kinds(&notebook);
        let configuration = Configuration::of(&db.url(), &kinds).text();
        let loud = configuration.replace("format = 'json'", "format = 'json'\nfilter = 'trace'");
        let collector = Collector::new().await;
        let tracing = format!("[tracing]\notlp_endpoint = '{}'\n", collector.endpoint());
        let mut daemon = Daemon::start(&(tracing + "sample_ratio = 1.0\n" + &loud)).await;
        let names =
            kinds.iter().filter_map(|kind| kind.split("name = '").nth(1)?.split('\'').next());
        for name in names.chain(["stranger"]) {
            sqlx::query(INSERT).bind(name).bind(SECRET).execute(&pool).await.unwrap();
        }
        // What isn't ended by its failure waits for another try: what can't be written, and a function that isn't there.
        let mut left = Vec::new();
        let tried = support::holds_within(PATIENCE, async || {
            let untried = "SELECT kind::text FROM legwork.job
                WHERE kind NOT IN ('stranger', 'unwritten', 'unread', 'absent') ORDER BY kind";
            left = sqlx::query_scalar::<_, String>(untried).fetch_all(&pool).await.unwrap();
            left.is_empty()
        });
        let tried = tried.await;
        assert!(tried, "{left:?} are left in\n{}", daemon.printed());
        for kind in ["unwritten", "unread"] {
            let refused =
                |line: &Value| line["event"] == "flush.row_refused" && line["job.kind"] == kind;
            support::eventually(kind, async || daemon.events().iter().any(refused)).await;
        }
        for event in
            ["job.started", "job.finished", "job.failed", "job.discarded", "command.failed"]
        {
            daemon.logged(event).await;
        }
        daemon.signal(Signal::SIGUSR1);
        daemon.logged("task.listed").await;
        // Whoever may see payloads asks for them, and by them.
        for path in [
            format!("/api/v1/jobs?payload.noop={SECRET}&include=payload"),
            format!("/api/v1/jobs?payload.{SECRET}=x"),
            format!("/api/v1/{SECRET}"),
        ] {
            let (status, answer) = daemon.get(&path).await;
            assert!(status == 200 || status == 404, "{path}: {answer}");
        }
        let (_, shown) = daemon.get("/api/v1/jobs?include=payload").await;
        assert!(shown.contains(SECRET), "whoever may see it does: {shown}");
        let (_, page) = daemon.get("/metrics").await;
        assert!(!page.contains(SECRET), "{page}");
        daemon.signal(Signal::SIGTERM);
        daemon.exit(PATIENCE + SLACK).await;
        let printed = daemon.printed();
        let leaks: Vec<_> =
            printed.lines().filter(|line| line.replace('_', "-").contains(SECRET)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
        let spans = collector.spans();
        let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
        for name in
            ["receive default", "process default", "GET /api/v1/jobs", "SELECT legwork.jobs"]
        {
            assert!(names.contains(&name), "{name} isn't among {names:?}");
        }
        let leaks: Vec<_> =
            spans.iter().filter(|span| format!("{span:?}").contains(SECRET)).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
        assert!(printed.lines().count() > 100, "much is said on this level");
        pool.close().await;
    });
}

/// A function, what a line says of its failure, and what stands in the record before the secret or behind it.
const SAID: &[(&str, &str, &str)] = &[
    ("breaks", "CONSTRAINT: seen_once", "DETAIL: Key (word)=("),
    ("casts", "22P02: the server's", "invalid input syntax for type integer: \""),
    ("makes", "42703: the server's", "column \""),
    ("names", "42P01: the server's", "relation \""),
    ("types", "42601: the server's", "invalid type name \""),
    ("searches", "54000: the server's", "word is too long in tsquery: \""),
    ("columns", "42703: the server's", "column \""),
    ("sizes", "3D000: the server's", "database \""),
    ("crosses", "0A000: the server's", "cross-database references are not implemented"),
    ("counts", "42703: the server's", "column \""),
    ("forges", "22012: division by zero", "SQL function"),
    ("fails", "P0001: no\n", "DETAIL: {"),
    ("owns", "22023: own words\n", "HINT: own hint"),
];

#[test]
fn what_postgres_says_of_a_function_is_logged_without_values_and_stands_in_the_record() {
    support::run(async |db| {
        let pool = made(&db).await;
        let kinds: Vec<_> = SAID.iter().map(|(kind, ..)| refused(kind)).collect();
        let mut daemon = Daemon::start(&Configuration::of(&db.url(), &kinds).text()).await;
        for (kind, told, kept) in SAID {
            let (kind, told, kept) = (*kind, *told, *kept);
            let insert = sqlx::query_scalar(INSERT).bind(kind).bind(SECRET);
            let id: i64 = insert.fetch_one(&pool).await.expect("a job");
            becomes(&pool, id, "discarded").await;
            let failure = "SELECT error FROM legwork.failed_attempt WHERE job_id = $1";
            let failure = sqlx::query_scalar(failure).bind(id).fetch_one(&pool).await;
            let record: String = failure.expect("its failure is kept");
            let secret = record.replace('_', "-").contains(SECRET);
            assert!(record.contains(kept) && secret, "{kind}: {record}");
            let lines = daemon.events().into_iter();
            let mut lines = lines.filter(|it| it["event"] == "job.failed" && it["job.id"] == id);
            let line = lines.next().expect("its failure is logged");
            let line = line["error.message"].as_str().expect("words");
            let shown = format!("`legwork job show {id}`");
            assert!(line.contains(told), "{kind}: {line}");
            assert!(line.contains("CONTEXT: PL/pgSQL function app."), "{kind}: {line}");
            assert_eq!(line.contains(&shown), kind != "forges", "{kind}: {line}");
            assert_eq!(line.contains("HINT: "), kind == "owns", "{line}");
        }
        daemon.signal(Signal::SIGTERM);
        daemon.exit(SLACK).await;
        let printed = daemon.printed();
        assert!(!printed.replace('_', "-").contains(SECRET), "{printed}");
        assert_eq!(daemon.count("function.failed"), 5, "{printed}");
        pool.close().await;
    });
}
