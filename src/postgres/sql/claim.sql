-- Takes up to $6 jobs of queue $2 and kinds $5 for holder $1, from the marks $4 of the levels $3.
-- Index: job_ready (queue, priority, seq), one range a level, walked in order so that LIMIT ends it.
-- ARRAY(…) is evaluated once; an IN subquery may be run again per row and break the LIMIT (20 of 20
-- rows claimed for LIMIT 1).
-- The EXISTS is the fence of a daemon that was declared dead; a paused queue gives nothing. Where $7, nothing
-- comes while another claim of the queue that asked for a turn is on its way: claims that run into each other
-- walk over each other's rows.
-- Each column costs the server and the daemon, so what most rows have as it comes by default is one column,
-- null where they do. Timestamps that producers wrote come out as numbers only, by date_part: extract computes
-- in numeric, which costs twice as much. How long a job was due ends where the statement began: what follows we
-- measure by our own clock.
UPDATE legwork.job SET holder = $1, token = token + 1
WHERE ctid = ANY (ARRAY(
    SELECT x.ctid
    FROM unnest($3::smallint[], $4::bigint[]) AS p (priority, mark)
    CROSS JOIN LATERAL (
        SELECT j.ctid FROM legwork.job j
        WHERE j.queue = $2 AND j.priority = p.priority AND j.seq >= p.mark
            AND j.holder IS NULL AND j.run_at <= j.ready_at AND j.kind = ANY ($5)
        ORDER BY j.seq LIMIT $6 FOR UPDATE SKIP LOCKED
    ) x
    LIMIT $6
))
    AND EXISTS (SELECT FROM legwork.daemon d WHERE d.id = $1 AND d.died_at IS NULL)
    AND NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = $2 AND q.paused)
    AND (NOT $7 OR (SELECT pg_try_advisory_xact_lock(hashtext('legwork.claim'), hashtext($2))))
RETURNING ctid, id, seq, token, kind, payload::text, metadata::text,
    date_part('epoch', statement_timestamp()) - date_part('epoch', created_at),
    CASE WHEN priority <> 0 OR attempt > 0 OR rescues > 0 OR snoozes > 0 OR max_attempts IS NOT NULL
        OR cancel_requested OR timeout IS NOT NULL OR expires_at IS NOT NULL OR run_at > created_at
    THEN ROW (priority::smallint, attempt, rescues, snoozes, max_attempts::smallint, cancel_requested,
        date_part('epoch', timeout),
        date_part('epoch', expires_at) - date_part('epoch', clock_timestamp()),
        date_part('epoch', statement_timestamp()) - date_part('epoch', greatest(run_at, created_at)))
    END
