-- Intent: put off the jobs $1, all in one statement and so all or none, by $2, and say when each is due.
-- $3 asks, because of $4, by the request $5. Where $6 is given, a job is left alone that has none of these
-- versions.
-- Index: job_pkey and finished_id, once a job, inside legwork.snooze.
-- Planner: a function scan over the array in the order given, behind one that says who asks; ids come sorted, so that two such
-- statements lock rows in one order.
SELECT given.id, CASE WHEN $6::text[] IS NULL OR legwork.unchanged_job(given.id, $6)
    THEN to_char(legwork.snooze(given.id, $2::text::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    ELSE 'changed' END AS result
FROM legwork.asked_by($3::text, $4::text, $5::text),
    unnest($1::bigint[]) WITH ORDINALITY AS given (id, place)
ORDER BY given.place
