-- The demo's jobs, counted by state and queue; queues that aren't among $1 are one, so that there are few rows
-- however many names people think of. It reads every row of unfinished jobs and history (no index counts
-- outcomes; 0.4 s a million), for a private database; whoever asks waits longer before the next time the
-- longer it took.
-- People with a database of their own use metrics and legwork.backlog.
SELECT j.state, CASE WHEN j.queue = ANY ($1::text[]) THEN j.queue ELSE '(others)' END, count(*),
    coalesce(sum(j.attempt), 0)::bigint
FROM legwork.jobs j
GROUP BY 1, 2
