-- How much waits in each of the queues $1, and how much of it is of kinds that aren't among $2, counted to
-- 10,000 and no further, so that a backlog of millions costs a few milliseconds. Jobs that nobody serves
-- stay at the left edge while the others are claimed, so they are among those counted. The oldest is looked for
-- at the head of each priority as well: what is starved stands behind those. Index: job_ready
-- from its left edge, once a queue; run every 20 s for all of them together, never by a scrape. An age
-- is of finite moments only: a role with the owner's rights could have written another, and subtracting
-- infinity is an error.
SELECT w.count, w.unserved, coalesce(date_part('epoch', clock_timestamp() - least(w.oldest, h.oldest)), 0),
    coalesce((SELECT q.paused FROM legwork.queue q WHERE q.name = n.name), false)
FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)
CROSS JOIN LATERAL (
    SELECT count(*), count(*) FILTER (WHERE i.kind <> ALL ($2::text[])) AS unserved,
        min(i.run_at) FILTER (WHERE isfinite(i.run_at::timestamptz)) AS oldest
    FROM (
        SELECT j.run_at, j.kind FROM legwork.job j
        WHERE j.queue = n.name AND j.holder IS NULL AND j.run_at <= j.ready_at LIMIT 10000
    ) i
) w
CROSS JOIN LATERAL (
    SELECT min(i.run_at) FILTER (WHERE isfinite(i.run_at::timestamptz)) AS oldest
    FROM unnest('{-2,-1,0,1,2}'::smallint[]) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT j.run_at FROM legwork.job j
        WHERE j.queue = n.name AND j.priority = p.priority AND j.holder IS NULL AND j.run_at <= j.ready_at
        ORDER BY j.seq LIMIT 1
    ) i
) h
ORDER BY n.place
