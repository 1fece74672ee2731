-- claim.sql for jobs that are named, $3, of those that are still in line: the way round a row whose
-- update the database refuses. The same guards. Index: job_pkey; coalesce keeps a planner that
-- believes in no rows from walking all of the queue's line in job_ready for each part of a batch.
UPDATE legwork.job SET holder = $1, token = token + 1
WHERE ctid = ANY (ARRAY(
    SELECT j.ctid FROM legwork.job j
    WHERE j.id = ANY ($3::bigint[]) AND j.queue = $2
        AND coalesce(j.holder IS NULL AND j.run_at <= j.ready_at, false)
    FOR UPDATE SKIP LOCKED
))
    AND EXISTS (SELECT FROM legwork.daemon d WHERE d.id = $1 AND d.died_at IS NULL)
    AND NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = $2 AND q.paused)
RETURNING id, seq, token, priority, attempt, rescues, snoozes, max_attempts, kind, payload::text,
    date_part('epoch', timeout),
    coalesce(expires_at < clock_timestamp(), false),
    date_part('epoch', statement_timestamp() - greatest(run_at, created_at)),
    metadata::text, cancel_requested,
    date_part('epoch', expires_at) - date_part('epoch', clock_timestamp()),
    date_part('epoch', statement_timestamp()) - date_part('epoch', created_at)
