-- Intent: every queue that anybody knows: those with jobs in line, those with a row, those that a live
-- daemon serves; at most $1 of them, as one JSON value.
-- Index: job_ready, once a queue (a skip scan by hand: the next name after the last one); queue_pkey.
-- Planner: the recursion costs one index descent a queue instead of a scan of all jobs for DISTINCT.
-- legwork.backlog counts to 10,000 and stops, so the whole is bounded by queues, not by jobs.
WITH RECURSIVE in_line AS (
    (SELECT j.queue::text AS name FROM legwork.job j
     WHERE j.holder IS NULL AND j.run_at <= j.ready_at ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue::text FROM legwork.job j
            WHERE j.holder IS NULL AND j.run_at <= j.ready_at AND j.queue > i.name ORDER BY j.queue LIMIT 1)
    FROM in_line i WHERE i.name IS NOT NULL
), live AS (
    SELECT d.queues FROM legwork.daemon d WHERE d.died_at IS NULL AND d.expires_at > clock_timestamp()
), known AS (
    (SELECT i.name FROM in_line i WHERE i.name IS NOT NULL LIMIT $1::bigint)
    UNION SELECT q.name::text FROM legwork.queue q
    UNION SELECT unnest(l.queues) FROM live l
), listed AS (
    SELECT k.name, coalesce(q.paused, false) AS paused, q.paused_at, q.reason, legwork.backlog(k.name) AS in_line,
        (SELECT count(*) FROM live l WHERE k.name = ANY (l.queues)) AS daemons
    FROM (SELECT k.name FROM known k ORDER BY k.name LIMIT $1::bigint) k
    LEFT JOIN legwork.queue q ON q.name = k.name
)
SELECT json_build_object(
    'now', to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'queues', coalesce(json_agg(json_build_object(
        'name', l.name, 'paused', l.paused,
        'paused_at', to_char(l.paused_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'reason', l.reason, 'in_line', l.in_line, 'daemons', l.daemons) ORDER BY l.name), '[]'))::text
FROM listed l
