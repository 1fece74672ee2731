-- Discards waiting jobs whose expires_at has passed, 1,000 at a time, whoever serves them or not: a claim
-- discards the others of their kind that it meets, but nobody claims from a paused queue or a kind that
-- nobody serves. Index: job_expiry. now() is stable and so an index condition. The fence is that nobody
-- holds them, under a row lock; who is being claimed just now is skipped.
-- The reason tells those that nobody could have started, because no live daemon serves their queue and
-- kind, from those that weren't in time. Kept as long as daemons published for the queue, else 30 days, as legwork.discard() does.
WITH d AS (
    DELETE FROM legwork.job WHERE holder IS NULL AND ctid = ANY (ARRAY(
        SELECT ctid FROM legwork.job
        WHERE holder IS NULL AND expires_at IS NOT NULL AND expires_at < now()
        ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED
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
SELECT count(*) FROM d
