-- rescue.sql for jobs that are named, $2, of those that $1 still holds: the way round a row whose update
-- the database refuses. Index: job_pkey.
WITH r AS (
    UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
        rescues = least(rescues + 1, 32767)::smallint
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM legwork.job WHERE id = ANY ($2::bigint[]) AND holder = $1 FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, token, attempt, queue::text AS queue
), k AS (
    SELECT r.*, coalesce((SELECT q.retention_discarded FROM legwork.queue q WHERE q.name = r.queue),
        interval '30 days') AS keep
    FROM r
), h AS (
    INSERT INTO legwork.failed_attempt (job_id, token, holder, attempt, cause, error, drop_after)
    SELECT id, token, $1, attempt, 'daemon_died', coalesce(
            (SELECT format('daemon %s (boot id %s) died while it ran or held this job', d.name, d.id)
             FROM legwork.daemon d WHERE d.id = $1),
            format('an unknown daemon (boot id %s) ran or held this job and is gone', $1)),
        ((now() + keep) AT TIME ZONE 'UTC')::date
    FROM k WHERE keep > interval '0'
    ON CONFLICT DO NOTHING
)
SELECT queue FROM r
