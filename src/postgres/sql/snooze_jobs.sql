-- Intent: put off the jobs $1, all in one statement and so all or none, by $2, and say when each is due.
-- Index: job_pkey and finished_id, once a job, inside legwork.snooze.
-- Planner: a function scan over the array in the order given; ids come sorted, so that two such
-- statements lock rows in one order.
SELECT given.id, to_char(legwork.snooze(given.id, $2::text::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS result
FROM unnest($1::bigint[]) WITH ORDINALITY AS given (id, place)
ORDER BY given.place
