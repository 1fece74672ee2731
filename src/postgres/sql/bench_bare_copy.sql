-- bench_bare_copy
-- The COPY of copy_jobs.sql, into the bare table.
COPY public.bare_job (kind, payload, queue, run_at, priority, max_attempts, unique_key, timeout, expires_at, tags, metadata) FROM STDIN
