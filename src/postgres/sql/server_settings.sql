-- Intent: the server's version, and as one JSON value its settings that decide how a queue in it does; none is a secret.
-- Index: none; a view of the server's memory.
-- Planner: read once; names that a version doesn't have are left out.
SELECT current_setting('server_version'), json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'started_at', to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'is_standby', pg_is_in_recovery(),
    'settings', json_agg(json_build_object('name', s.name, 'value', s.setting, 'unit', s.unit, 'source', s.source)
        ORDER BY s.name))::text
FROM pg_settings s
WHERE s.name = ANY ('{autovacuum, autovacuum_analyze_scale_factor, autovacuum_max_workers, autovacuum_naptime,
    autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit, autovacuum_vacuum_scale_factor, block_size,
    checkpoint_completion_target, checkpoint_timeout, commit_delay, deadlock_timeout, default_transaction_isolation,
    default_transaction_read_only, effective_cache_size, effective_io_concurrency, fsync, full_page_writes,
    hot_standby_feedback, huge_pages, idle_in_transaction_session_timeout, jit, lock_timeout, log_lock_waits,
    maintenance_work_mem, max_connections, max_parallel_workers_per_gather, max_wal_size, old_snapshot_threshold,
    random_page_cost, server_version, shared_buffers, statement_timeout, synchronous_commit, TimeZone,
    track_activities, track_counts, track_io_timing, transaction_timeout, wal_buffers, wal_compression, wal_level,
    work_mem}')
