-- Intent: discard the jobs $1, all in one statement and so all or none, and say what became of each.
-- Index: job_pkey and finished_id, once a job, inside legwork.discard.
-- Planner: a function scan over the array in the order given; ids come sorted, so that two such
-- statements lock rows in one order.
SELECT given.id, legwork.discard(given.id) AS result
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (id, place)
ORDER BY given.place
