-- Intent: retry the jobs $1, all in one statement and so all or none, and say what became of each.
-- Index: job_pkey and finished_id, once a job, inside legwork.retry.
-- Planner: a function scan over the array in the order given; ids come sorted, so that two such
-- statements lock rows in one order.
SELECT given.id, legwork.retry(given.id) AS result
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (id, place)
ORDER BY given.place
