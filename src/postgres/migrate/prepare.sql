-- Run before every `migrate up`, and first in what `legwork migrate sql` prints.
--
-- It makes what migrations stand on and can be run again at any time: the six roles (cluster-wide,
-- so several databases may be making them at this moment), the schema, the session's role, so that
-- every object of the schema has one owner (become_owner.sql), and the table of applied migrations
-- (versions.sql). The three run as one transaction.

-- Two migrators of one database take turns here; a statement later the loser finds everything made.
SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('legwork.prepare', 0));

DO $prepare$
DECLARE
    wanted record;
    login  text;
    missing text[] := '{}';
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('legwork_owner',    false),  -- owns the schema; nobody logs in as it
            ('legwork_migrator', true),   -- a member of the owner; runs migrations
            ('legwork_daemon',   true),   -- the daemon's own login: no DDL, no TRUNCATE
            ('legwork_enqueue',  false),  -- granted to applications: INSERT on the producers' columns
            ('legwork_read',     false),  -- granted to people and dashboards: payloads hidden
            ('legwork_operator', false)   -- granted to operators: cancel, retry, pause and the like
        ) AS r (name, may_login)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name);
        login := CASE WHEN wanted.may_login THEN 'LOGIN' ELSE 'NOLOGIN' END;
        BEGIN
            EXECUTE pg_catalog.format('CREATE ROLE %I %s', wanted.name, login);
        EXCEPTION
            -- Another database's migration made it between the look and the making. Which of the
            -- two errors comes depends on how far that transaction had got.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN missing := missing || wanted.name;
        END;
    END LOOP;

    IF missing <> '{}' THEN
        RAISE NOTICE 'roles not created: % (% lacks CREATEROLE)',
            pg_catalog.array_to_string(missing, ', '), current_user
            USING HINT = 'This is a single-role installation: the role that migrates owns everything '
                'and the daemon connects as it. To separate the roles later, create them and run '
                '`legwork migrate up` again.';
    ELSIF NOT pg_catalog.pg_has_role('legwork_migrator', 'legwork_owner', 'MEMBER') THEN
        BEGIN
            GRANT legwork_owner TO legwork_migrator;
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'legwork_migrator is not a member of legwork_owner'
                    USING HINT = 'GRANT legwork_owner TO legwork_migrator as the role that made them.';
            -- XX000 is "tuple concurrently updated": another database's migration grants it too.
            WHEN unique_violation OR internal_error THEN NULL;
        END;
    END IF;
END
$prepare$;

DO $prepare$
DECLARE
    -- Postgres 16 tells "may become" (SET) from "is a member".
    may_become constant text := CASE
        WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    -- All of this file is ASCII, or such a server refuses the text of it before it comes to this.
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE feature_not_supported USING
            MESSAGE = pg_catalog.format('database %I is encoded in %s; Legwork needs UTF8',
                pg_catalog.current_database(), pg_catalog.getdatabaseencoding()),
            HINT = 'CREATE DATABASE name ENCODING ''UTF8'' TEMPLATE template0, and migrate that one.';
    END IF;

    IF pg_catalog.to_regnamespace('legwork') IS NULL THEN
        IF NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') THEN
            RAISE insufficient_privilege USING
                MESSAGE = pg_catalog.format('%I may make no schema in database %I', current_user,
                    pg_catalog.current_database()),
                HINT = pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I;', pg_catalog.current_database(),
                    current_user);
        END IF;
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'legwork_owner'
            AND pg_catalog.pg_has_role(current_user, oid, may_become))
        THEN
            CREATE SCHEMA legwork AUTHORIZATION legwork_owner;
        ELSE
            CREATE SCHEMA legwork;
        END IF;
    END IF;
END
$prepare$;
