-- Makes the session the schema's owner, so that whoever migrates, every object has the same one.
-- Part of prepare.sql's work and of `migrate down`; does nothing where there is no schema.

DO $become$
DECLARE
    -- Postgres 16 tells "may become" (SET) from "is a member".
    may_become constant text := CASE
        WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    owner name;
BEGIN
    SELECT pg_catalog.pg_get_userbyid(nspowner) INTO owner
    FROM pg_catalog.pg_namespace WHERE nspname = 'legwork';
    IF owner <> current_user THEN  -- not taken either where there is no schema
        IF NOT pg_catalog.pg_has_role(current_user, owner, may_become) THEN
            RAISE insufficient_privilege USING
                MESSAGE = pg_catalog.format('schema legwork belongs to %I, and %I can''t become that role',
                    owner, current_user),
                HINT = pg_catalog.format('Migrate as %1$I, or as a member of it: GRANT %1$I TO %2$I;',
                    owner, current_user);
        END IF;
        PERFORM pg_catalog.set_config('role', owner, false);
    END IF;
END
$become$;
