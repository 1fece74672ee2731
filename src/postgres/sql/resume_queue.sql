-- Intent: let queue $1 run again; says whether it was paused. $2 asks, because of $3, by the request $4. Null
-- where $5 is given and the queue has none of these versions.
-- Index: queue_pkey inside legwork.resume.
-- Planner: a function call behind one that says who asks, no table of its own.
SELECT CASE WHEN $5::text[] IS NULL OR legwork.unchanged_queue($1::text, $5) THEN legwork.resume($1::text) END
FROM legwork.asked_by($2::text, $3::text, $4::text)
