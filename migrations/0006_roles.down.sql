-- Takes every grant of ours back. The roles stay: they are the cluster's.
DO $down$
DECLARE
    role text;
BEGIN
    FOR role IN
        SELECT rolname FROM pg_catalog.pg_roles
        WHERE rolname IN ('legwork_enqueue', 'legwork_daemon', 'legwork_read', 'legwork_operator')
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON ALL TABLES IN SCHEMA legwork FROM %I', role);
        EXECUTE pg_catalog.format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA legwork FROM %I', role);
        EXECUTE pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA legwork FROM %I', role);
        EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA legwork FROM %I', role);
    END LOOP;
END
$down$;
DROP FUNCTION legwork.apply_grants();
