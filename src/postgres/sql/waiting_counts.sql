-- Of the 10,000 jobs that are due next, over all queues: how many of each queue wait for their time, and
-- how many for their backoff. Index: job_waiting from its left edge; run every 20 s, never by a scrape.
SELECT queue::text, attempt > 0, count(*)
FROM (
    SELECT queue, attempt FROM legwork.job
    WHERE holder IS NULL AND run_at > ready_at ORDER BY run_at LIMIT 10000
) waiting
GROUP BY 1, 2
