-- Intent: what a test's producer has enqueued of kind $1 behind job $2, its own transaction included.
-- Index: job_pkey, in order of id; no index has the kind, and a test's table is small.
-- Planner: a scan that ends at 1,000 rows. Domains are cast to what they are made of, which drivers know.
SELECT id, queue::text, priority::smallint, payload::text, run_at::timestamptz, max_attempts::smallint,
    unique_key::text, tags::text[], metadata::text
FROM legwork.job
WHERE kind = $1::text AND id > $2::bigint
ORDER BY id
LIMIT 1000
