-- The server's process behind this session, told from any later one that gets its number. No index:
-- it is a view of the server's memory, which shows the start to who may see it.
SELECT pid, backend_start::text
FROM pg_catalog.pg_stat_activity
WHERE pid = pg_catalog.pg_backend_pid()
