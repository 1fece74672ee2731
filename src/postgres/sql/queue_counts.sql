-- How much waits in a queue, counted to 10,000 and no further, so that a backlog of millions costs a few
-- milliseconds. Index: job_ready from its left edge; run every 15 s, never by a scrape. By date_part,
-- one by one: a run_at of -infinity, should one get past the domain, can't be subtracted.
SELECT count(*), coalesce(date_part('epoch', clock_timestamp()) - date_part('epoch', min(run_at)), 0),
    coalesce((SELECT paused FROM legwork.queue WHERE name = $1), false)
FROM (
    SELECT run_at FROM legwork.job
    WHERE queue = $1 AND holder IS NULL AND run_at <= ready_at LIMIT 10000
) waiting
