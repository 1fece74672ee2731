-- bench_dead
-- Dead rows that the server counts in the tables that jobs pass through; it is up to a second late.
SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = 'legwork'
