-- promote.sql for jobs that are named, $1, of those that are still due: the way round a row whose update
-- the database refuses. Index: job_pkey; coalesce keeps a planner that believes in no rows from walking
-- all that is due in job_waiting for each part of a batch.
UPDATE legwork.job SET ready_at = greatest(run_at, clock_timestamp()), seq = DEFAULT
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM legwork.job
    WHERE id = ANY ($1::bigint[]) AND run_at <= statement_timestamp()
        AND coalesce(holder IS NULL AND run_at > ready_at, false)
    FOR UPDATE SKIP LOCKED
))
RETURNING id
