-- bench_server
-- The server's settings that a figure depends on, as JSON.
SELECT json_object_agg(name, current_setting(name) ORDER BY name)::text FROM pg_settings
WHERE name IN ('autovacuum', 'fsync', 'full_page_writes', 'max_wal_size', 'server_version',
    'shared_buffers', 'synchronous_commit', 'wal_level')
