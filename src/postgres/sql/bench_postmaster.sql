-- bench_postmaster
-- The first line of the postmaster's file is its process id. Superusers may read it.
SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int
