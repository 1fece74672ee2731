-- How much waits in a queue, and how much of it is of kinds that aren't among $2, counted to 10,000 and no
-- further, so that a backlog of millions costs a few milliseconds. Jobs that nobody serves stay at the
-- left edge while the others are claimed, so they are among those counted. Index: job_ready from its
-- left edge; run every 15 s, never by a scrape. By date_part, one by one: a run_at of -infinity, should
-- one get past the domain, can't be subtracted.
SELECT count(*), count(*) FILTER (WHERE kind <> ALL ($2::text[])),
    coalesce(date_part('epoch', clock_timestamp()) - date_part('epoch', min(run_at)), 0),
    coalesce((SELECT paused FROM legwork.queue WHERE name = $1), false)
FROM (
    SELECT run_at, kind FROM legwork.job
    WHERE queue = $1 AND holder IS NULL AND run_at <= ready_at LIMIT 10000
) waiting
