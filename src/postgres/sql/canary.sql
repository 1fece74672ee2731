-- Intent: enqueue the canary $2 of queue $1; no row while one of it is unfinished, whoever enqueued it, and none
-- where the queue is paused, in which it would wait for as long as that lasts.
-- Index: job_unique is the arbiter, since the kind is the unique key as well; queue_pkey.
-- Planner: an insert of one row of constants.
INSERT INTO legwork.job (queue, kind, unique_key)
SELECT $1::text, $2::text, $2::text
WHERE NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = $1::text AND q.paused)
ON CONFLICT DO NOTHING
RETURNING id
