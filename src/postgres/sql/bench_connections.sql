-- bench_connections
-- Connections of daemons to this database; the benchmark's own go by another name.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'legwork %'
    AND application_name NOT LIKE 'legwork bench%'
