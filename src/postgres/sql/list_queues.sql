-- Intent: every queue of which something holds: those with jobs in line, those that are paused or overridden, those that a
-- live daemon serves; by name, the $1 behind $2, as one JSON value, each with what was decided for it, and where more of
-- them begin. A row alone is none of it: it stays behind a queue that nobody serves any more, for cancel() and discard().
-- Index: job_ready, once a queue (a skip scan by hand: the next name after the last one); queue_pkey, override_pkey.
-- Planner: the recursion costs one index descent a queue instead of a scan of all jobs for DISTINCT.
-- legwork.backlog counts to 10,000 and stops, so the whole is bounded by queues, not by jobs. Overrides are a thousand at
-- most, and gathered once for all queues. A queue counts as drained as in show_queue;
-- a quiet daemon, which claims nothing more, isn't counted among those that serve it.
WITH RECURSIVE in_line AS (
    (SELECT j.queue::text AS name FROM legwork.job j
     WHERE j.holder IS NULL AND j.run_at <= j.ready_at AND j.queue > $2::text ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue::text FROM legwork.job j
            WHERE j.holder IS NULL AND j.run_at <= j.ready_at AND j.queue > i.name ORDER BY j.queue LIMIT 1)
    FROM in_line i WHERE i.name IS NOT NULL
), live AS (
    SELECT d.queues, d.renewed_at, d.load -> 'queues' AS load, d.load -> 'quiet' = 'true' AS quiet
    FROM legwork.daemon d WHERE d.died_at IS NULL AND d.expires_at > clock_timestamp()
), decided AS (
    SELECT o.queue::text AS name, json_object_agg(o.setting, json_build_object('value', o.value, 'reason', o.reason,
        'until', to_char(o.until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'set_at', to_char(o.set_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))) AS settings
    FROM legwork.override o WHERE o.until IS NULL OR o.until > clock_timestamp()
    GROUP BY o.queue
), known AS (
    (SELECT i.name FROM in_line i WHERE i.name IS NOT NULL LIMIT $1::bigint + 1)
    UNION SELECT q.name::text FROM legwork.queue q WHERE q.paused
    UNION SELECT d.name FROM decided d
    UNION SELECT unnest(l.queues) FROM live l
), page AS (
    SELECT k.name FROM known k WHERE k.name > $2::text ORDER BY k.name LIMIT $1::bigint + 1
), listed AS (
    SELECT k.name, coalesce(q.paused, false) AS paused, q.draining, q.paused_at, q.paused_until, q.reason, d.settings,
        legwork.backlog(k.name) AS in_line
    FROM (SELECT p.name FROM page p ORDER BY p.name LIMIT $1::bigint) k
    LEFT JOIN legwork.queue q ON q.name = k.name
    LEFT JOIN decided d ON d.name = k.name
)
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'next', CASE WHEN (SELECT count(*) FROM page) > $1::bigint THEN max(l.name) END,
    'queues', coalesce(json_agg(json_build_object(
        'name', l.name, 'paused', l.paused, 'state', CASE
            WHEN NOT l.paused THEN 'running' WHEN NOT l.draining THEN 'paused'
            WHEN fleet.busy > 0 OR fleet.told_at < l.paused_at + interval '1 s' THEN 'draining'
            ELSE 'drained' END,
        'paused_at', to_char(l.paused_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'paused_until', to_char(l.paused_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'reason', l.reason, 'concurrency', l.settings -> 'concurrency', 'rate_limit', l.settings -> 'rate_limit',
        'in_line', l.in_line, 'daemons', fleet.daemons) ORDER BY l.name), '[]'))::text
FROM listed l
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE v.quiet IS NOT TRUE) AS daemons, min(v.renewed_at) AS told_at, coalesce(sum(
        coalesce((v.load -> l.name ->> 'in_use')::bigint, 0) + coalesce((v.load -> l.name ->> 'waiting')::bigint, 0)), 0) AS busy
    FROM live v WHERE l.name = ANY (v.queues)
) fleet
