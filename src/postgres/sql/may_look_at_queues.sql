-- Whether this session's role may look at queues as show_queue.sql does: one right of each kind that only those have
-- who may. Index: the catalogue's own. Planner: constants.
SELECT has_column_privilege('legwork.job', 'run_at', 'SELECT')
    AND has_table_privilege('legwork.daemon', 'SELECT')
    AND has_table_privilege('legwork.override', 'SELECT')
