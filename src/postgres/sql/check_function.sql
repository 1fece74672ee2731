-- Intent: what is in the way of calling function $2 of schema $1 under role $3 (null: the session's),
-- in words; null where nothing is. Names are looked up in the catalogue and not resolved, so that what
-- one may not see is told apart from what isn't there. Index: the catalogue's own.
SELECT CASE
    WHEN $3 IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $3) THEN 'there is no such role'
    WHEN NOT pg_has_role(session_user, coalesce($3, current_user), 'MEMBER')
        THEN 'the daemon may not take on that role: grant it to the daemon''s'
    WHEN f.oid IS NULL THEN 'there is no such function of one argument of type jsonb'
    WHEN f.prorettype <> 'jsonb'::regtype OR f.proretset OR f.prokind <> 'f' THEN 'it doesn''t return jsonb'
    WHEN NOT has_schema_privilege(coalesce($3, current_user), f.pronamespace, 'USAGE')
        THEN 'the role lacks USAGE on its schema'
    WHEN NOT has_function_privilege(coalesce($3, current_user), f.oid, 'EXECUTE')
        THEN 'the role lacks EXECUTE on it'
END
FROM (SELECT 1) one LEFT JOIN (
    SELECT p.oid, p.pronamespace, p.prorettype, p.proretset, p.prokind
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = $1 AND p.proname = $2 AND p.proargtypes[0] = 'jsonb'::regtype
        AND p.pronargs - p.pronargdefaults <= 1
    LIMIT 1
) f ON true
