-- Intent: the $1 largest tables of the schema and their $2 largest indexes as one JSON value: sizes, dead rows, and when
-- they were vacuumed and analysed.
-- Index: none; the server's catalogue and its statistics, a row a table, of which there are some for each day that is kept.
-- Planner: the largest by their last known pages, so that files are looked at for what is shown alone.
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'tables', (SELECT coalesce(json_agg(json_build_object(
            'name', t.relname, 'bytes', pg_table_size(t.relid), 'rows', t.n_live_tup, 'dead_rows', t.n_dead_tup,
            'inserted', t.n_tup_ins, 'updated', t.n_tup_upd, 'updated_in_place', t.n_tup_hot_upd, 'deleted', t.n_tup_del,
            'scans', t.seq_scan, 'index_scans', t.idx_scan, 'changed_since_analyze', t.n_mod_since_analyze,
            'vacuumed_at', greatest(t.last_vacuum, t.last_autovacuum),
            'analyzed_at', greatest(t.last_analyze, t.last_autoanalyze),
            'oldest_xid_age', age(t.relfrozenxid)) ORDER BY t.relpages DESC, t.relname), '[]')
        FROM (SELECT s.*, c.relpages, c.relfrozenxid FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
            WHERE s.schemaname = 'legwork' ORDER BY c.relpages DESC, s.relname LIMIT $1::bigint) t),
    'indexes', (SELECT coalesce(json_agg(json_build_object(
            'name', i.indexrelname, 'table', i.relname, 'bytes', pg_relation_size(i.indexrelid),
            'scans', i.idx_scan, 'entries_read', i.idx_tup_read, 'valid', i.indisvalid)
            ORDER BY i.relpages DESC, i.indexrelname), '[]')
        FROM (SELECT s.*, c.relpages, x.indisvalid FROM pg_stat_user_indexes s
            JOIN pg_class c ON c.oid = s.indexrelid JOIN pg_index x ON x.indexrelid = s.indexrelid
            WHERE s.schemaname = 'legwork' ORDER BY c.relpages DESC, s.indexrelname LIMIT $2::bigint) i))::text
