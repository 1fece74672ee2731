-- Whether this session's role may read the versions of the schema; also where there is none, which anybody may see.
-- Index: the catalogue's own. Planner: one row at most.
SELECT coalesce((SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'legwork' AND c.relname = 'migration'), true)
