-- Intent: how queue $1 stands, as one JSON value; no row where nobody knows it: no job, no row, no live daemon.
-- Index: job_ready, job_waiting; queue_pkey, override_pkey. Daemons are few.
-- Planner: each count ends after 10,000 entries, those of what waits after 10,000 of all queues, since job_waiting is in
-- order of run_at alone; so the whole is bounded whatever the backlog. What runs is what daemons said of
-- their slots at their last heartbeat: there is no index on holder. So a queue counts as drained once each has said
-- that nothing runs a second after the pause: what was claimed while it began is in that. An age is of finite moments only: a role with the
-- owner's rights could have written another; it is of the first 10,000 and of each priority's first job, since what is
-- starved stands behind them. A quiet daemon's slots are nobody's: it claims nothing more.
WITH line AS (
    SELECT count(*) AS available, min(i.run_at) FILTER (WHERE isfinite(i.run_at)) AS oldest FROM (
        SELECT j.run_at::timestamptz AS run_at FROM legwork.job j
        WHERE j.queue = $1::text AND j.holder IS NULL AND j.run_at <= j.ready_at
        ORDER BY j.priority, j.seq LIMIT 10000) i
), heads AS (
    SELECT min(h.run_at) FILTER (WHERE isfinite(h.run_at)) AS oldest FROM unnest('{-2,-1,0,1,2}'::smallint[]) AS p (priority)
    CROSS JOIN LATERAL (SELECT j.run_at::timestamptz AS run_at FROM legwork.job j
        WHERE j.queue = $1 AND j.priority = p.priority AND j.holder IS NULL AND j.run_at <= j.ready_at
        ORDER BY j.seq LIMIT 1) h
), waits AS (
    SELECT count(*) FILTER (WHERE w.run_at <= now()) AS available,
        count(*) FILTER (WHERE w.run_at > now() AND w.attempt = 0) AS scheduled,
        count(*) FILTER (WHERE w.run_at > now() AND w.attempt > 0) AS retryable
    FROM (
        SELECT j.queue::text AS queue, j.attempt, j.run_at::timestamptz AS run_at FROM legwork.job j
        WHERE j.holder IS NULL AND j.run_at > j.ready_at ORDER BY j.run_at LIMIT 10000) w
    WHERE w.queue = $1
), live AS (
    SELECT d.id, d.name, d.renewed_at, d.limits -> 'queues' -> $1 AS limits, d.load -> 'queues' -> $1 AS load,
        d.load -> 'quiet' = 'true' AS quiet
    FROM legwork.daemon d
    WHERE d.died_at IS NULL AND d.expires_at > clock_timestamp() AND $1 = ANY (d.queues)
    ORDER BY d.id LIMIT 1000
), fleet AS (
    SELECT count(*) AS daemons, sum((l.limits ->> 'slots')::bigint) FILTER (WHERE l.quiet IS NOT TRUE) AS slots,
        coalesce(sum((l.load ->> 'in_use')::bigint), 0) AS running,
        coalesce(sum((l.load ->> 'waiting')::bigint), 0) AS waiting, min(l.renewed_at) AS told_at,
        coalesce(json_agg(json_build_object('id', l.id::text, 'name', l.name,
            'state', CASE WHEN l.quiet THEN 'quiet' ELSE 'live' END, 'slots', l.limits -> 'slots',
            'rate', l.limits -> 'rate', 'burst', l.limits -> 'burst', 'in_use', l.load -> 'in_use',
            'waiting', l.load -> 'waiting') ORDER BY l.name, l.id), '[]') AS each
    FROM live l
), decided AS (
    SELECT json_object_agg(o.setting, json_build_object('value', o.value, 'reason', o.reason,
        'until', to_char(o.until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'set_at', to_char(o.set_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS settings
    FROM legwork.override o WHERE o.queue = $1 AND (o.until IS NULL OR o.until > clock_timestamp())
)
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'name', $1, 'paused', coalesce(q.paused, false), 'state', CASE
        WHEN q.paused IS NOT TRUE THEN 'running' WHEN NOT q.draining THEN 'paused'
        WHEN fleet.running + fleet.waiting > 0 OR fleet.told_at < q.paused_at + interval '1 s' THEN 'draining'
        ELSE 'drained' END,
    'depth', json_build_object('available', least(line.available + waits.available, 10000), 'running', fleet.running,
        'scheduled', waits.scheduled, 'retryable', waits.retryable),
    'oldest_age_seconds', CASE WHEN least(line.oldest, heads.oldest) IS NOT NULL
        THEN greatest(round(date_part('epoch', statement_timestamp() - least(line.oldest, heads.oldest))::numeric, 6), 0) END,
    'settings', json_build_object(
        'override', CASE WHEN q.paused OR decided.settings IS NOT NULL THEN json_build_object(
            'paused', coalesce(q.paused, false), 'reason', q.reason,
            'paused_at', to_char(q.paused_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'paused_until', to_char(q.paused_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'concurrency', decided.settings -> 'concurrency', 'rate_limit', decided.settings -> 'rate_limit') END,
        'effective', json_build_object('paused', coalesce(q.paused, false), 'slots', fleet.slots,
            'retention_seconds', json_build_object(
                'completed', date_part('epoch', q.retention_completed),
                'cancelled', date_part('epoch', q.retention_cancelled),
                'discarded', date_part('epoch', q.retention_discarded)))),
    'daemons', fleet.each)::text, legwork.queue_version($1)
FROM line CROSS JOIN heads CROSS JOIN waits CROSS JOIN fleet CROSS JOIN decided
LEFT JOIN legwork.queue q ON q.name = $1
WHERE q.name IS NOT NULL OR decided.settings IS NOT NULL OR fleet.daemons > 0 OR line.available + waits.available + waits.scheduled + waits.retryable > 0
