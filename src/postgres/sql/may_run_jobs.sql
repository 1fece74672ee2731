-- Whether this session's role may claim, finish, keep history and keep its lease: one right of each kind
-- that only the daemon's role and the owner have. Index: the catalogue's own. Planner: constants.
SELECT has_column_privilege('legwork.job', 'holder', 'UPDATE')
    AND has_table_privilege('legwork.job', 'DELETE')
    AND has_table_privilege('legwork.finished', 'INSERT')
    AND has_column_privilege('legwork.daemon', 'expires_at', 'UPDATE')
