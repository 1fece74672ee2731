-- claim.sql for jobs that are named, $3, of those that are still in line: the way round a row whose
-- update the database refuses. The same guards and columns. Index: job_pkey; coalesce keeps a planner
-- that believes in no rows from walking all of the queue's line in job_ready for each part of a batch.
UPDATE legwork.job SET holder = $1, token = token + 1
WHERE ctid = ANY (ARRAY(
    SELECT j.ctid FROM legwork.job j
    WHERE j.id = ANY ($3::bigint[]) AND j.queue = $2
        AND coalesce(j.holder IS NULL AND j.run_at <= j.ready_at, false)
    FOR UPDATE SKIP LOCKED
))
    AND EXISTS (SELECT FROM legwork.daemon d WHERE d.id = $1 AND d.died_at IS NULL)
    AND NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = $2 AND q.paused)
RETURNING ctid, id, seq, token, kind, payload::text, metadata::text,
    date_part('epoch', statement_timestamp()) - date_part('epoch', created_at),
    CASE WHEN priority <> 0 OR attempt > 0 OR rescues > 0 OR snoozes > 0 OR max_attempts IS NOT NULL
        OR cancel_requested OR timeout IS NOT NULL OR expires_at IS NOT NULL OR run_at > created_at
    THEN ROW (priority::smallint, attempt, rescues, snoozes, max_attempts::smallint, cancel_requested,
        date_part('epoch', timeout),
        date_part('epoch', expires_at) - date_part('epoch', clock_timestamp()),
        date_part('epoch', statement_timestamp()) - date_part('epoch', greatest(run_at, created_at)))
    END
