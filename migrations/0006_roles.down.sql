-- Takes every grant of ours back, and only of what is ours: somebody may have put a table of their own
-- into the schema. The roles stay: they are the cluster's.
DO $down$
DECLARE
    role  text;
    thing text;
BEGIN
    FOR role IN
        SELECT rolname FROM pg_catalog.pg_roles
        WHERE rolname IN ('legwork_enqueue', 'legwork_daemon', 'legwork_read', 'legwork_operator')
    LOOP
        FOR thing IN
            SELECT 'TABLE ' || c.oid::regclass FROM pg_catalog.pg_class c
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND NOT c.relispartition AND pg_catalog.pg_get_userbyid(c.relowner) = current_user
            UNION ALL
            SELECT 'SEQUENCE ' || c.oid::regclass FROM pg_catalog.pg_class c
            WHERE c.relnamespace = 'legwork'::regnamespace AND c.relkind = 'S'
                AND pg_catalog.pg_get_userbyid(c.relowner) = current_user
            UNION ALL
            SELECT 'FUNCTION ' || p.oid::regprocedure FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = 'legwork'::regnamespace
                AND pg_catalog.pg_get_userbyid(p.proowner) = current_user
        LOOP
            EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %I', thing, role);
        END LOOP;
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA legwork FROM %I', role);
    END LOOP;
END
$down$;
DROP FUNCTION legwork.apply_grants();
