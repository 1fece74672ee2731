//! The tables: what a row may hold, that a refusal names its rule, and that everything says who needs
//! it.

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;

/// Rows that are refused: what they try, the columns and values, and what the refusal must name.
#[rustfmt::skip]
pub(crate) const HOSTILE: &[(&str, &str, &str, &str)] = &[
    ("H1 no kind",                "payload",            "'{}'",                         "\"kind\""),
    ("H1 null kind",              "kind",               "NULL",                         "\"kind\""),
    ("H1 null payload",           "kind, payload",      "'k', NULL",                    "\"payload\""),
    ("H1 null queue",             "kind, queue",        "'k', NULL",                    "\"queue\""),
    ("H1 null run_at",            "kind, run_at",       "'k', NULL",                    "\"run_at\""),
    ("H2 1 MiB and a byte",       "kind, payload",      "'k', to_jsonb(repeat('x', 1048575))", "payload_is_at_most_1_mib_rendered"),
    ("H2 16 MiB",                 "kind, payload",      "'k', to_jsonb(repeat('x', 16777216))", "payload_is_at_most_1_mib_rendered"),
    ("H2 a bomb of 901 bytes",    "kind, payload",      "'k', ('[' || rtrim(repeat('1e100000,', 100), ',') || ']')::jsonb", "payload_is_at_most_1_mib_rendered"),
    ("H4 NUL",                    "kind, payload",      r#"'k', '"\u0000"'"#,           "Unicode escape"),
    ("H4 lone surrogate",         "kind, payload",      r#"'k', '"\ud800"'"#,           "json"),
    ("H6 infinity",               "kind, run_at",       "'k', 'infinity'",              "run_at_is_between_2000_and_2200"),
    ("H6 minus infinity",         "kind, run_at",       "'k', '-infinity'",             "run_at_is_between_2000_and_2200"),
    ("H6 before Christ",          "kind, run_at",       "'k', '0044-03-15 BC'",         "run_at_is_between_2000_and_2200"),
    ("H6 year 294276",            "kind, run_at",       "'k', '294276-01-01'",          "run_at_is_between_2000_and_2200"),
    ("H6 year 9999",              "kind, run_at",       "'k', '9999-01-01'",            "run_at_is_between_2000_and_2200"),
    ("H6 the first instant after","kind, run_at",       "'k', '2200-01-01 00:00:00+00'","run_at_is_between_2000_and_2200"),
    ("H6 the last instant before","kind, run_at",       "'k', '1999-12-31 23:59:59+00'","run_at_is_between_2000_and_2200"),
    ("H6 endless expiry",         "kind, expires_at",   "'k', 'infinity'",              "expires_at_is_between_2000_and_2200"),
    ("H7 priority 3",             "kind, priority",     "'k', 3",                       "priority_is_minus_2_to_2"),
    ("H7 priority -3",            "kind, priority",     "'k', -3",                      "priority_is_minus_2_to_2"),
    ("H7 priority beyond its type","kind, priority",    "'k', 40000",                   "smallint"),
    ("H7 max_attempts 0",         "kind, max_attempts", "'k', 0",                       "max_attempts_is_1_to_1000"),
    ("H7 max_attempts -1",        "kind, max_attempts", "'k', -1",                      "max_attempts_is_1_to_1000"),
    ("H7 max_attempts 1001",      "kind, max_attempts", "'k', 1001",                    "max_attempts_is_1_to_1000"),
    ("H7 max_attempts beyond its type","kind, max_attempts","'k', 2147483647",          "smallint"),
    ("H7 timeout of nothing",     "kind, timeout",      "'k', '0 s'",                   "timeout_is_above_0_and_at_most_30_days"),
    ("H7 negative timeout",       "kind, timeout",      "'k', '-1 s'",                  "timeout_is_above_0_and_at_most_30_days"),
    ("H7 timeout of a year",      "kind, timeout",      "'k', '1 year'",                "timeout_is_above_0_and_at_most_30_days"),
    ("H8 empty kind",             "kind",               "''",                           "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 129 bytes of kind",      "kind",               "repeat('k', 129)",             "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 1 MB of kind",           "kind",               "repeat('k', 1000000)",         "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 a Cyrillic look-alike",  "kind",               "'sеnd'",                       "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 a path",                 "kind",               "'../etc'",                     "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 CRLF",                   "kind",               r"E'a\r\nb'",                   "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 a newline at the end",   "kind",               r"E'a\n'",                      "kind_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 empty queue",            "kind, queue",        "'k', ''",                      "queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H8 a path as queue",        "kind, queue",        "'k', 'a/b'",                   "queue_is_1_to_128_of_letters_digits_dot_colon_dash_underscore"),
    ("H11 empty key",             "kind, unique_key",   "'k', ''",                      "unique_key_is_1_to_512_bytes"),
    ("H11 513 bytes of key",      "kind, unique_key",   "'k', repeat('k', 513)",        "unique_key_is_1_to_512_bytes"),
    ("a list in the tags",        "kind, tags",         "'k', '{{a},{b}}'", "tags_are_a_list_without_lists_in_it"),
    ("4 KiB of tags and more",    "kind, tags",         "'k', array_fill('tag'::text, ARRAY[1024])", "tags_are_at_most_4_kib_rendered"),
    ("metadata that isn't an object","kind, metadata",  "'k', '[]'",                    "metadata_is_an_object_of_at_most_16_kib_rendered"),
    ("16 KiB of metadata and more","kind, metadata",    "'k', jsonb_build_object('a', repeat('x', 16384))", "metadata_is_an_object_of_at_most_16_kib_rendered"),
    ("D14 a column nothing obeys","kind, tenant",       "'k', 't'",                     "does not exist"),
];

/// Rows that look odd and are legal.
#[rustfmt::skip]
pub(crate) const LEGAL: &[(&str, &str, &str)] = &[
    ("the bare minimum",          "kind",               "'send_email'"),
    ("H2 1 MiB to the byte",      "kind, payload",      "'k', to_jsonb(repeat('x', 1048574))"),
    ("H3 depth 129",              "kind, payload",      "'k', (repeat('[', 129) || repeat(']', 129))::jsonb"),
    ("H3 duplicate keys",         "kind, payload",      r#"'k', '{"a": 1, "a": 2}'"#),
    ("H3 beyond f64 and i64",     "kind, payload",      "'k', '[1e400, 123456789012345678901234567890]'"),
    ("H5 array",                  "kind, payload",      "'k', '[]'"),
    ("H5 string",                 "kind, payload",      r#"'k', '"s"'"#),
    ("H5 number",                 "kind, payload",      "'k', '1'"),
    ("H5 null",                   "kind, payload",      "'k', 'null'"),
    ("H6 the first instant",      "kind, run_at",       "'k', '2000-01-01 00:00:00+00'"),
    ("H6 the last instant",       "kind, run_at",       "'k', '2199-12-31 23:59:59+00'"),
    ("H7 the lowest priority",    "kind, priority",     "'k', 2"),
    ("H7 the highest priority",   "kind, priority",     "'k', -2"),
    ("H7 one attempt",            "kind, max_attempts", "'k', 1"),
    ("H7 a thousand attempts",    "kind, max_attempts", "'k', 1000"),
    ("H8 an unknown kind",        "kind",               "'nobody.serves:this_one-yet'"),
    ("H8 an unknown queue",       "kind, queue",        "'k', 'nobody'"),
    ("H8 128 bytes of kind",      "kind",               "repeat('k', 128)"),
    ("H11 512 bytes of key",      "kind, unique_key",   "'k', repeat('k', 512)"),
    ("an expiry that is past",    "kind, expires_at",   "'k', '2001-01-01'"),
];

#[test]
fn a_hostile_row_is_refused_with_the_name_of_its_rule() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for (name, columns, values, rule) in HOSTILE {
            let insert = format!("INSERT INTO legwork.job ({columns}) VALUES ({values})");
            let refusal = refused(&mut producer, &insert).await;
            assert!(refusal.message.contains(rule), "{name}: {refusal:?}");
        }
        end(producer).await;
    });
}

#[test]
fn an_odd_but_legal_row_is_taken_by_a_bare_insert() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        for (name, columns, values) in LEGAL {
            let insert =
                format!("INSERT INTO legwork.job ({columns}) VALUES ({values}) RETURNING id");
            let id = value(&mut producer, &insert).await;
            assert!(id.parse::<i64>().is_ok(), "{name}: {id}");
        }
        end(producer).await;
    });
}

#[test]
fn every_constraint_name_fits_what_postgres_keeps_of_a_name() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let cut = "SELECT conname FROM pg_constraint WHERE connamespace = 'legwork'::regnamespace
            AND octet_length(conname) >= 63";
        assert_eq!(rows(&mut session, cut).await, Vec::<String>::new());
        end(session).await;
    });
}

#[test]
fn job_has_no_check_no_row_trigger_and_no_volatile_default() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let checks = "SELECT conname FROM pg_constraint
            WHERE conrelid = 'legwork.job'::regclass AND contype = 'c'";
        let row_triggers = "SELECT tgname FROM pg_trigger
            WHERE tgrelid = 'legwork.job'::regclass AND NOT tgisinternal AND tgtype & 1 = 1";
        let volatile = "SELECT d.refobjid::regprocedure FROM pg_depend d
            JOIN pg_attrdef a ON a.oid = d.objid AND d.classid = 'pg_attrdef'::regclass
            JOIN pg_proc p ON p.oid = d.refobjid AND d.refclassid = 'pg_proc'::regclass
            WHERE a.adrelid = 'legwork.job'::regclass AND p.provolatile = 'v'";
        for rule in [checks, row_triggers, volatile] {
            assert_eq!(rows(&mut session, rule).await, Vec::<String>::new(), "{rule}");
        }
        let clock = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
            WHERE adrelid = 'legwork.job'::regclass AND pg_get_expr(adbin, adrelid) ~ 'clock|random'";
        assert_eq!(rows(&mut session, clock).await, Vec::<String>::new());
        end(session).await;
    });
}

/// Measured: leaves that are half empty are split half as often (docs/performance.md), and a table whose rows live for
/// moments is vacuumed by their number, at full speed (migrations/0001).
#[test]
fn what_makes_claims_cheap_is_set_on_the_table_and_its_key() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let of = |name| {
            format!(
                "SELECT unnest(reloptions) FROM pg_class WHERE oid = 'legwork.{name}'::regclass ORDER BY 1"
            )
        };
        assert_eq!(rows(&mut session, &of("job_pkey")).await, ["fillfactor=45"]);
        let table = [
            "autovacuum_analyze_scale_factor=0",
            "autovacuum_analyze_threshold=100000",
            "autovacuum_vacuum_cost_delay=0",
            "autovacuum_vacuum_insert_scale_factor=0",
            "autovacuum_vacuum_insert_threshold=100000",
            "autovacuum_vacuum_scale_factor=0",
            "autovacuum_vacuum_threshold=20000",
        ];
        assert_eq!(rows(&mut session, &of("job")).await, table);
        end(session).await;
    });
}

#[test]
fn everything_in_the_schema_says_who_needs_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let silent_relations = "SELECT c.oid::regclass FROM pg_class c
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind IN ('r','p','v','i','I','S')
                AND NOT c.relispartition AND obj_description(c.oid, 'pg_class') IS NULL";
        let silent_columns = "SELECT a.attrelid::regclass, a.attname FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind IN ('r','p','v')
                AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL";
        let silent_functions = "SELECT p.oid::regprocedure FROM pg_proc p
            WHERE p.pronamespace = 'legwork'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL";
        let silent_types = "SELECT t.typname FROM pg_type t
            WHERE t.typnamespace = 'legwork'::regnamespace AND t.typtype IN ('d','e')
                AND obj_description(t.oid, 'pg_type') IS NULL";
        for silent in [silent_relations, silent_columns, silent_functions, silent_types] {
            assert_eq!(rows(&mut session, silent).await, Vec::<String>::new(), "{silent}");
        }
        end(session).await;
    });
}

/// Those who need columns and indexes, as the comments call them.
const WHO: &str = "producer|people|handler|claim|complet|rescue|promotion|prun|retry|cancel|snooze|discard|pause|why|show|\
    heartbeat|migrator|verdict|daemon|INSERT";

#[test]
fn the_comment_of_each_column_and_index_names_who_needs_it() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let comments = "SELECT c.oid::regclass || coalesce('.' || a.attname, '') AS thing, d.description
            FROM pg_description d
            JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE c.relnamespace = 'legwork'::regnamespace AND NOT c.relispartition
                AND ((c.relkind IN ('r', 'p') AND d.objsubid > 0) OR c.relkind IN ('i', 'I'))";
        let found = rows(&mut session, comments).await;
        assert!(found.len() > 80, "tables have columns: {}", found.len());
        let nobodys =
            format!("SELECT * FROM ({comments}) c WHERE description !~ '{WHO}' ORDER BY 1");
        assert_eq!(rows(&mut session, &nobodys).await, Vec::<String>::new());
        end(session).await;
    });
}

#[test]
fn a_unique_key_is_free_again_when_its_job_has_ended_and_per_queue() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let insert = "INSERT INTO legwork.job (kind, unique_key) VALUES ('k', 'once')";
        execute(&mut session, insert).await;
        let refusal = refused(&mut session, insert).await;
        assert_eq!(refusal.code, "23505");
        assert!(refusal.message.contains("job_unique"), "{refusal:?}");
        let elsewhere =
            "INSERT INTO legwork.job (kind, queue, unique_key) VALUES ('k', 'q', 'once')";
        execute(&mut session, elsewhere).await;
        let id = value(&mut session, "SELECT min(id) FROM legwork.job").await;
        assert_eq!(value(&mut session, &format!("SELECT legwork.cancel({id})")).await, "cancelled");
        execute(&mut session, insert).await;
        end(session).await;
    });
}

#[test]
fn a_job_exists_when_its_transaction_commits_and_not_when_it_rolls_back() {
    support::run(async |db| {
        let (mut late, mut early) = (db.connect().await, db.connect().await);
        execute(&mut late, "BEGIN; INSERT INTO legwork.job (kind) VALUES ('late')").await;
        execute(
            &mut late,
            "SAVEPOINT s; INSERT INTO legwork.job (kind) VALUES ('never'); ROLLBACK TO SAVEPOINT s",
        )
        .await;
        execute(&mut early, "INSERT INTO legwork.job (kind) VALUES ('early')").await;
        let kinds = "SELECT kind FROM legwork.job ORDER BY seq";
        assert_eq!(rows(&mut early, kinds).await, ["early"]);
        execute(&mut late, "COMMIT").await;
        assert_eq!(rows(&mut early, kinds).await, ["late", "early"]);
        end(late).await;
        end(early).await;
    });
}

#[test]
fn metadata_that_a_row_does_not_bring_is_taken_from_the_session() {
    support::run(async |db| {
        let mut session = session_as(&db, "legwork_enqueue").await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('before')").await;
        execute(
            &mut session,
            "SET legwork.traceparent = '00-aa-bb-01'; SET legwork.request_id = 'r-1';
             INSERT INTO legwork.job (kind) VALUES ('from_session');
             INSERT INTO legwork.job (kind, metadata) VALUES ('own', '{\"user_id\": \"u\"}');
             SELECT legwork.enqueue('merged', metadata => '{\"request_id\": \"mine\"}');
             SET legwork.tracestate = 'v=1';
             INSERT INTO legwork.job (kind) VALUES ('with_state');
             SELECT legwork.enqueue('merged_state', metadata => '{\"user_id\": \"u\"}');
             SELECT legwork.enqueue('own_trace', metadata => '{\"traceparent\": \"00-cc-dd-01\"}');
             SET legwork.traceparent = '';
             INSERT INTO legwork.job (kind) VALUES ('half');
             SELECT legwork.enqueue('half_by_function')",
        )
        .await;
        execute(&mut session, "RESET ROLE").await;
        let found = rows(&mut session, "SELECT kind, metadata FROM legwork.job ORDER BY id").await;
        let expected = [
            "before|",
            r#"from_session|{"request_id": "r-1", "traceparent": "00-aa-bb-01"}"#,
            r#"own|{"user_id": "u"}"#,
            r#"merged|{"request_id": "mine", "traceparent": "00-aa-bb-01"}"#,
            r#"with_state|{"request_id": "r-1", "tracestate": "v=1", "traceparent": "00-aa-bb-01"}"#,
            r#"merged_state|{"user_id": "u", "request_id": "r-1", "tracestate": "v=1", "traceparent": "00-aa-bb-01"}"#,
            r#"own_trace|{"request_id": "r-1", "traceparent": "00-cc-dd-01"}"#,
            r#"half|{"request_id": "r-1"}"#,
            r#"half_by_function|{"request_id": "r-1"}"#,
        ];
        assert_eq!(found, expected);
        end(session).await;
    });
}

#[test]
fn an_insert_rings_only_while_the_doorbell_is_on() {
    support::run(async |db| {
        let mut listener =
            sqlx::postgres::PgListener::connect(&db.url()).await.expect("a listener");
        listener.listen("legwork").await.expect("listening");
        let mut session = db.connect().await;
        let insert = "INSERT INTO legwork.job (kind) VALUES ('a'), ('b'), ('c')";
        execute(&mut session, insert).await;
        execute(&mut session, "NOTIFY legwork, 'silence was kept'").await;
        let first = listener.recv().await.expect("a notice");
        assert_eq!(first.payload(), "silence was kept");
        execute(
            &mut session,
            "SELECT setval('legwork.doorbell', extract(epoch FROM now())::bigint + 60)",
        )
        .await;
        execute(&mut session, insert).await;
        execute(&mut session, "NOTIFY legwork, 'one ring came'").await;
        assert_eq!(listener.recv().await.expect("a notice").payload(), "");
        assert_eq!(listener.recv().await.expect("a notice").payload(), "one ring came");
        listener.unlisten_all().await.expect("an end of listening");
        drop(listener);
        end(session).await;
    });
}

#[test]
fn whoever_closes_a_way_to_the_planner_closes_jit_too() {
    const WITHOUT: &str = "SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE 'enable_seqscan=off' = ANY (p.proconfig) AND NOT 'jit=off' = ANY (p.proconfig)";
    const WITH: &str = "SELECT count(*)::text FROM pg_proc p WHERE 'jit=off' = ANY (p.proconfig)";
    support::run(async |db| {
        let mut session = db.connect().await;
        assert_eq!(rows(&mut session, WITHOUT).await, [""; 0], "each call would be compiled anew");
        assert_ne!(value(&mut session, WITH).await, "0", "nothing was looked at");
        end(session).await;
    });
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/sql");
    let mut closed = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("enable_seqscan = off;") {
            assert!(text.contains("jit = off;"), "{} leaves JIT on", path.display());
            closed += 1;
        }
    }
    assert!(closed >= 4, "the sessions' settings are elsewhere: {closed}");
}
