-- Jobs in line in queues that aren't among $1, counted to 10,000 a queue in at most 100 such queues.
-- Index: job_ready, once a queue (a skip scan by hand: the next name after the last one), then from each
-- queue's left edge. Planner: the recursion goes only as far as LIMIT asks.
WITH RECURSIVE in_line AS (
    (SELECT j.queue::text AS name FROM legwork.job j
     WHERE j.holder IS NULL AND j.run_at <= j.ready_at ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue::text FROM legwork.job j
            WHERE j.holder IS NULL AND j.run_at <= j.ready_at AND j.queue > i.name ORDER BY j.queue LIMIT 1)
    FROM in_line i WHERE i.name IS NOT NULL
), unserved AS (
    SELECT i.name FROM in_line i WHERE i.name IS NOT NULL AND i.name <> ALL ($1::text[]) LIMIT 100
)
SELECT coalesce(sum(waiting.jobs), 0)::bigint
FROM unserved u, LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT FROM legwork.job j
        WHERE j.queue = u.name AND j.holder IS NULL AND j.run_at <= j.ready_at LIMIT 10000
    ) counted
) waiting
