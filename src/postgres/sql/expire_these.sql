-- Discards those of the jobs $1 that still wait and whose expires_at has passed. The fence is that nobody
-- holds them, under a row lock; who is being claimed or changed just now is skipped. Index: job_pkey; coalesce keeps
-- the planner from walking all of job_expiry for each part of a batch that is taken apart.
-- The reason tells those that nobody could have started, because no live daemon serves their queue and
-- kind, from those that weren't in time. Kept as long as daemons published for the queue, else 30 days, as legwork.discard() does.
WITH d AS (
    DELETE FROM legwork.job WHERE holder IS NULL AND ctid = ANY (ARRAY(
        SELECT ctid FROM legwork.job
        WHERE id = ANY ($1::bigint[]) AND holder IS NULL AND coalesce(expires_at < now(), false) FOR UPDATE SKIP LOCKED
    ))
    RETURNING *
), k AS (
    SELECT d.*, coalesce((SELECT q.retention_discarded FROM legwork.queue q WHERE q.name = d.queue),
        interval '30 days') AS keep
    FROM d
), h AS (
    INSERT INTO legwork.finished (id, token, run_at, created_at, drop_after, outcome, priority, attempt,
        rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags, metadata, reason)
    SELECT id, token, run_at, created_at, ((now() + keep) AT TIME ZONE 'UTC')::date, 'discarded', priority,
        attempt, rescues, snoozes, max_attempts, queue, kind, payload, timeout, unique_key, tags, metadata,
        CASE WHEN EXISTS (SELECT FROM legwork.daemon a
            WHERE a.died_at IS NULL AND k.queue = ANY (a.queues) AND k.kind = ANY (a.kinds))
        THEN 'expired' ELSE 'unknown_kind_expired' END
    FROM k WHERE keep > interval '0'
)
SELECT id FROM d
