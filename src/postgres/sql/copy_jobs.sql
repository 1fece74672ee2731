-- Intent: enqueue any number of jobs in one statement, all of them or none.
-- Index: none is read. Each row enters the primary key and the one of job_ready or job_waiting that
-- its run_at puts it in.
-- Planner: COPY isn't planned; without a row trigger, table CHECK or volatile default on the table its
-- rows go in by multi-insert (210 k rows/s, against 86 k with CHECKs). Every column is named, so that a
-- row carries its default for what it doesn't say (ADR 0001).
COPY legwork.job (kind, payload, queue, run_at, priority, max_attempts, unique_key, timeout, expires_at, tags, metadata) FROM STDIN
