-- bench_wal
-- How many bytes of WAL this cluster has written; the difference of two is what happened between.
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
