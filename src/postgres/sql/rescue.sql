-- Puts the jobs of a dead daemon back in line, 1,000 at a time; they keep their place. A sequential scan
-- by design: an index on holder would cost every job 72 B of WAL and 2 µs, a scan costs 0.11 s per
-- million rows, once per death. Whoever claims the job next decides whether it may run again.
-- The attempt that is charged leaves its record, kept as any failed attempt is: as long as a discarded
-- job, as daemons published it for the queue, else 30 days. Where the dead daemon had already recorded
-- how that attempt failed, its own record stands.
WITH r AS (
    UPDATE legwork.job SET holder = NULL, attempt = least(attempt + 1, 32767)::smallint,
        rescues = least(rescues + 1, 32767)::smallint
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM legwork.job WHERE holder = $1 LIMIT 1000 FOR UPDATE SKIP LOCKED
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
