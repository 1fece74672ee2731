//! Who may do what: a matrix of roles and statements, and the tricks that must not work.

use crate::statements::{end, execute, refused, rows, session_as, value};
use crate::support;
use sqlx::postgres::PgListener;

#[test]
fn a_producer_with_nothing_but_its_role_enqueues_in_every_way() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let one = "INSERT INTO legwork.job (kind) VALUES ('one') RETURNING id";
        assert!(value(&mut producer, one).await.parse::<i64>().is_ok());
        let rows_of = "INSERT INTO legwork.job (kind, payload, queue, priority, run_at, max_attempts,
                unique_key, timeout, expires_at, tags, metadata)
            VALUES ('many', '{}', 'q', 1, now(), 3, 'u1', '1 s', now() + interval '1 h', '{a}', '{}'),
                ('many', '{}', 'q', 1, now(), 3, 'u2', '1 s', now() + interval '1 h', '{a}', '{}')";
        execute(&mut producer, rows_of).await;
        let again = "INSERT INTO legwork.job (kind, queue, unique_key) VALUES ('many', 'q', 'u1')
            ON CONFLICT DO NOTHING RETURNING id";
        assert_eq!(rows(&mut producer, again).await, Vec::<String>::new());

        let mut copy = producer
            .copy_in_raw("COPY legwork.job (kind, payload) FROM STDIN")
            .await
            .expect("a producer may COPY");
        copy.send(&b"copied\t{\"a\": 1}\ncopied\t[]\n"[..]).await.expect("rows are taken");
        assert_eq!(copy.finish().await.expect("the COPY is taken"), 2);
        assert!(
            value(&mut producer, "SELECT legwork.enqueue('called')").await.parse::<i64>().is_ok()
        );

        execute(&mut producer, "RESET ROLE").await;
        let kinds = "SELECT kind, count(*) FROM legwork.job GROUP BY kind ORDER BY kind";
        assert_eq!(rows(&mut producer, kinds).await, ["called|1", "copied|2", "many|2", "one|1"]);
        end(producer).await;
    });
}

#[test]
fn a_row_that_copy_brings_is_held_to_the_same_rules() {
    support::run(async |db| {
        let mut producer = session_as(&db, "legwork_enqueue").await;
        let mut copy = producer
            .copy_in_raw("COPY legwork.job (kind) FROM STDIN")
            .await
            .expect("a producer may COPY");
        copy.send(&b"good\nb a d\n"[..]).await.expect("rows are taken");
        let refusal = copy.finish().await.expect_err("one row is bad").to_string();
        assert!(refusal.contains("kind_is_1_to_128"), "{refusal}");
        end(producer).await;
    });
}

/// What the roles may do and what not. `yes` lists those that may, in the order of [`ROLES`].
#[rustfmt::skip]
const MATRIX: &[(&str, &str)] = &[
    // K1: rows
    ("INSERT INTO legwork.job (kind) VALUES ('k')",                          "enqueue daemon"),
    ("INSERT INTO legwork.job (kind, token) VALUES ('k', 5)",                ""),
    ("INSERT INTO legwork.job (kind, holder) VALUES ('k', 5)",               ""),
    ("INSERT INTO legwork.job (kind, attempt) VALUES ('k', 5)",              ""),
    ("INSERT INTO legwork.job (kind, rescues) VALUES ('k', 5)",              ""),
    ("INSERT INTO legwork.job (kind, snoozes) VALUES ('k', 5)",              ""),
    ("INSERT INTO legwork.job (kind, ready_at) VALUES ('k', now())",         ""),
    ("INSERT INTO legwork.job (kind, created_at) VALUES ('k', now())",       ""),
    ("INSERT INTO legwork.job (kind, cancel_requested) VALUES ('k', true)",  ""),
    ("INSERT INTO legwork.job (id, kind) OVERRIDING SYSTEM VALUE VALUES (5, 'k')", ""),
    ("INSERT INTO legwork.job (seq, kind) OVERRIDING SYSTEM VALUE VALUES (5, 'k')", ""),
    ("SELECT id FROM legwork.job",                                           "enqueue daemon"),
    ("SELECT payload FROM legwork.job",                                      "daemon"),
    ("SELECT queue, holder, run_at, ready_at, priority, seq, attempt FROM legwork.job", "daemon read"),
    ("SELECT * FROM legwork.job",                                            "daemon"),
    ("UPDATE legwork.job SET kind = 'k'",                                    ""),
    ("UPDATE legwork.job SET payload = '{}'",                                ""),
    ("UPDATE legwork.job SET holder = 1, token = token + 1",                 "daemon"),
    ("DELETE FROM legwork.job",                                              "daemon"),
    ("TRUNCATE legwork.job",                                                 ""),
    ("LOCK TABLE legwork.job IN ACCESS EXCLUSIVE MODE",                      "daemon"),
    // K2: history and the rest
    ("SELECT * FROM legwork.finished",                                       "daemon"),
    ("INSERT INTO legwork.failed_attempt (job_id, token, attempt, cause, drop_after) VALUES (1, 1, 1, 'failed', (now() AT TIME ZONE 'UTC')::date + 1)", "daemon"),
    ("UPDATE legwork.finished SET result = '{}'",                            ""),
    ("DELETE FROM legwork.finished",                                         ""),
    ("SELECT * FROM legwork.jobs",                                           "daemon"),
    ("SELECT * FROM legwork.jobs_public",                                    "daemon read"),
    ("SELECT * FROM legwork.daemon",                                         "daemon read"),
    ("UPDATE legwork.daemon SET died_at = now()",                            "daemon"),
    ("UPDATE legwork.daemon SET id = 1",                                     ""),
    ("UPDATE legwork.queue SET paused = true",                               "daemon"),
    ("SELECT * FROM legwork.doorbell",                                       "enqueue daemon read operator"),
    ("SELECT setval('legwork.doorbell', 0)",                                 "daemon"),
    ("SELECT nextval('legwork.doorbell')",                                   "daemon"),
    ("SELECT * FROM legwork.migration",                                      "daemon read"),
    ("DELETE FROM legwork.migration",                                        ""),
    ("SELECT last_value FROM legwork.job_seq_seq",                           "daemon"),
    ("SELECT nextval('legwork.job_seq_seq')",                                ""),
    ("SELECT last_value FROM legwork.job_id_seq",                            "daemon"),
    ("SELECT nextval('legwork.job_id_seq')",                                 ""),
    ("SELECT * FROM legwork.request",                                        "daemon"),
    ("INSERT INTO legwork.request (key, fingerprint, status, answer) VALUES ('k', sha256('x'), 201, '{}')", "daemon"),
    ("UPDATE legwork.request SET answer = '{}'",                             ""),
    ("DELETE FROM legwork.request",                                          "daemon"),
    ("SELECT * FROM legwork.schedule",                                       "daemon read"),
    ("INSERT INTO legwork.schedule (name, rule, done_until) VALUES ('s', 'r', now())", "daemon"),
    ("UPDATE legwork.schedule SET done_until = now()",                       "daemon"),
    ("UPDATE legwork.schedule SET name = 's'",                               ""),
    ("DELETE FROM legwork.schedule",                                         ""),
    ("SELECT * FROM legwork.audit",                                          "daemon read"),
    ("INSERT INTO legwork.audit (actor, action, target) VALUES ('a', 'b', 'c')", ""),
    ("UPDATE legwork.audit SET actor = 'a'",                                 ""),
    ("DELETE FROM legwork.audit",                                            ""),
    // K3: functions
    ("SELECT legwork.enqueue('k')",                                          "enqueue daemon"),
    ("SELECT legwork.cancel(0)",                                             "daemon operator"),
    ("SELECT legwork.pause('q')",                                            "daemon operator"),
    ("SELECT legwork.resume('q')",                                           "daemon operator"),
    ("SELECT * FROM legwork.why(1)",                                         "daemon read operator"),
    ("SELECT legwork.backlog('q')",                                          "daemon read operator"),
    ("SELECT * FROM legwork.invariants()",                                   "daemon"),
    ("SELECT legwork.make_partitions('2031-01-01', '2031-01-01')",           "daemon"),
    ("SELECT legwork.droppable_partitions()",                                "daemon"),
    ("SELECT legwork.drop_partition('finished_20000101')",                   "daemon"),
    ("SELECT legwork.finish_waiting(1, 'cancelled', 'why', '1 day')",        ""),
    ("SELECT * FROM legwork.lock_job(1)",                                    ""),
    ("SELECT legwork.note('a', 'b')",                                        "daemon"),
    ("SELECT legwork.note_job('a', 1, 'b', 'c', 'd', 'e')",                  ""),
    ("SELECT legwork.asked_by('a', 'b', 'c')",                               "daemon operator"),
    ("SELECT legwork.prune_audit(1)",                                        "daemon"),
    ("SELECT legwork.cancel_one(1, NULL, false)",                            ""),
    ("SELECT legwork.match_jobs('cancel', '{}', 1, 1, 1)",                   ""),
    ("SELECT legwork.try_bulk('cancel', '{}', everything => true)",          "daemon operator"),
    ("SELECT legwork.begin_bulk('cancel', '{\"queue\": \"none\"}')",         "daemon operator"),
    ("SELECT legwork.end_bulk(1, 'done', NULL)",                             ""),
    ("SELECT legwork.fail_bulk(0, 'why')",                                   "daemon"),
    ("SELECT filter FROM legwork.operation",                                 "daemon"),
    ("SELECT id, state, changed FROM legwork.operation",                     "daemon read"),
    ("UPDATE legwork.operation SET state = 'done'",                          ""),
    ("SELECT legwork.job_version(1), legwork.queue_version('q')",            "daemon read"),
    ("SELECT legwork.unchanged_job(1, '{a}'), legwork.unchanged_queue('q', '{a}')", "daemon operator"),
    ("SELECT legwork.apply_grants()",                                        ""),
    // K4: DDL, other schemas, the server's files
    ("CREATE TABLE legwork.mine ()",                                         ""),
    ("ALTER TABLE legwork.job ADD COLUMN mine int",                          ""),
    ("DROP TABLE legwork.queue",                                             ""),
    ("CREATE FUNCTION legwork.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", ""),
    ("CREATE INDEX mine ON legwork.job (kind)",                              ""),
    ("ALTER TABLE legwork.job DISABLE TRIGGER ring",                         ""),
    ("CREATE SCHEMA mine",                                                   ""),
    ("SELECT pg_read_file('/etc/hostname')",                                 ""),
    ("SELECT rolpassword FROM pg_authid",                                    ""),
];

const ROLES: [&str; 4] = ["enqueue", "daemon", "read", "operator"];

#[test]
fn each_role_may_do_what_is_its_own_and_nothing_else() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let mut differences = Vec::new();
        for (statement, yes) in MATRIX {
            let mut may = Vec::new();
            for role in ROLES {
                execute(&mut session, &format!("BEGIN; SET LOCAL ROLE legwork_{role}")).await;
                let done =
                    sqlx::raw_sql(sqlx::AssertSqlSafe(*statement)).execute(&mut session).await;
                match done {
                    Ok(_) => may.push(role),
                    Err(sqlx::Error::Database(error)) => {
                        let code = error.code().unwrap_or_default().into_owned();
                        assert_eq!(code, "42501", "{role}: {statement}: {error}");
                    }
                    Err(other) => panic!("{role}: {statement}: {other}"),
                }
                execute(&mut session, "ROLLBACK").await;
            }
            if may.join(" ") != *yes {
                differences.push(format!("{statement}: may {may:?}, should [{yes}]"));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        end(session).await;
    });
}

#[test]
fn a_role_without_any_of_ours_has_no_way_in() {
    support::run(async |db| {
        let mut session = db.connect().await;
        execute(
            &mut session,
            "BEGIN; CREATE ROLE legwork_test_nobody; SET LOCAL ROLE legwork_test_nobody",
        )
        .await;
        let refusal = refused(&mut session, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        assert_eq!(refusal.code, "42501");
        execute(&mut session, "ROLLBACK").await;
        end(session).await;
    });
}

#[test]
fn no_function_is_for_everyone_and_definers_have_a_fixed_search_path() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let public = "SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE p.pronamespace = 'legwork'::regnamespace AND a.grantee = 0";
        assert_eq!(rows(&mut session, public).await, Vec::<String>::new());
        let loose = "SELECT oid::regprocedure FROM pg_proc
            WHERE pronamespace = 'legwork'::regnamespace AND prosecdef
                AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, legwork, pg_temp']";
        assert_eq!(rows(&mut session, loose).await, Vec::<String>::new());
        let definers = "SELECT count(*) > 8 FROM pg_proc WHERE pronamespace = 'legwork'::regnamespace AND prosecdef";
        assert_eq!(value(&mut session, definers).await, "t");
        end(session).await;
    });
}

#[test]
fn a_callers_search_path_and_temporary_objects_hijack_nothing() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let id = value(&mut session, "SELECT legwork.enqueue('k')").await;
        execute(
            &mut session,
            "CREATE TEMP TABLE hijacked (who name);
             GRANT ALL ON hijacked TO PUBLIC;
             CREATE SCHEMA impostor;
             GRANT USAGE ON SCHEMA impostor TO PUBLIC;
             CREATE FUNCTION impostor.now() RETURNS timestamptz LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO hijacked VALUES (current_user); RETURN pg_catalog.now(); END $$;
             CREATE FUNCTION impostor.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO hijacked VALUES (current_user); RETURN ''; END $$;
             CREATE FUNCTION impostor.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO hijacked VALUES (current_user); END $$;
             CREATE FUNCTION impostor.pg_sequence_last_value(regclass) RETURNS bigint LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO hijacked VALUES (current_user); RETURN 7258118400; END $$;
             CREATE SEQUENCE impostor.doorbell;
             SELECT setval('impostor.doorbell', 7258118400);
             CREATE TEMP TABLE job (LIKE legwork.job);
             GRANT ALL ON job TO PUBLIC;
             GRANT ALL ON SEQUENCE impostor.doorbell TO PUBLIC;
             SET search_path = impostor, pg_temp, pg_catalog, legwork",
        )
        .await;
        for call in [
            "legwork.snooze($id, '1 h')",
            "legwork.retry($id)",
            "legwork.cancel($id)",
            "legwork.retry($id)",
            "legwork.discard($id)",
            "legwork.pause('q')",
            "legwork.resume('q')",
            "legwork.backlog('q')",
            "legwork.why($id)",
        ] {
            let call = format!("SET ROLE legwork_operator; SELECT {}", call.replace("$id", &id));
            execute(&mut session, &call).await;
        }
        let mut listener = PgListener::connect(&db.url()).await.expect("a listener");
        listener.listen("legwork").await.expect("listening");
        execute(&mut session, "SET ROLE legwork_enqueue; SELECT legwork.enqueue('k')").await;
        execute(&mut session, "INSERT INTO legwork.job (kind) VALUES ('k')").await;
        execute(&mut session, "RESET ROLE; NOTIFY legwork, 'nothing rang'").await;
        assert_eq!(listener.recv().await.expect("a notice").payload(), "nothing rang");
        listener.unlisten_all().await.expect("an end of listening");
        drop(listener);
        assert_eq!(rows(&mut session, "SELECT who FROM hijacked").await, Vec::<String>::new());
        assert_eq!(value(&mut session, "SELECT count(*) FROM pg_temp.job").await, "0");
        assert_eq!(value(&mut session, "SELECT count(*) FROM legwork.jobs").await, "3");
        end(session).await;
    });
}

#[test]
fn everything_belongs_to_the_owner_whom_nobody_can_log_in_as() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let owners = "SELECT DISTINCT pg_get_userbyid(owner) FROM (
            SELECT relowner FROM pg_class WHERE relnamespace = 'legwork'::regnamespace
            UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'legwork'::regnamespace
            UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = 'legwork'::regnamespace
            UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'legwork') o (owner)";
        assert_eq!(rows(&mut session, owners).await, ["legwork_owner"]);
        let roles =
            "SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls
            FROM pg_roles WHERE rolname IN ('legwork_owner', 'legwork_migrator', 'legwork_daemon',
                'legwork_enqueue', 'legwork_read', 'legwork_operator') ORDER BY 1";
        let expected = [
            "legwork_daemon|t|f",
            "legwork_enqueue|f|f",
            "legwork_migrator|t|f",
            "legwork_operator|f|f",
            "legwork_owner|f|f",
            "legwork_read|f|f",
        ];
        assert_eq!(rows(&mut session, roles).await, expected);
        end(session).await;
    });
}

#[test]
fn no_role_of_ours_can_become_another_but_the_migrator_the_owner() {
    support::run(async |db| {
        let mut session = db.connect().await;
        let chains = "SELECT m.rolname, r.rolname FROM pg_auth_members a
            JOIN pg_roles m ON m.oid = a.member JOIN pg_roles r ON r.oid = a.roleid
            WHERE m.rolname IN ('legwork_owner', 'legwork_migrator', 'legwork_daemon', 'legwork_enqueue',
                'legwork_read', 'legwork_operator')";
        assert_eq!(rows(&mut session, chains).await, ["legwork_migrator|legwork_owner"]);
        end(session).await;
    });
}
