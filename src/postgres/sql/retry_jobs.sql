-- Intent: retry the jobs $1, all in one statement and so all or none, and say what became of each. $2 asks,
-- because of $3, by the request $4. Where $5 is given, a job is left alone that
-- has none of these versions.
-- Index: job_pkey and finished_id, once a job, inside legwork.retry.
-- Planner: a function scan over the array in the order given, behind one that says who asks; ids come sorted, so that two such
-- statements lock rows in one order.
SELECT given.id, CASE WHEN $5::text[] IS NULL OR legwork.unchanged_job(given.id, $5) THEN legwork.retry(given.id) ELSE 'changed' END
    AS result
FROM legwork.asked_by($2::text, $3::text, $4::text),
    unnest($1::bigint[]) WITH ORDINALITY AS given (id, place)
ORDER BY given.place
