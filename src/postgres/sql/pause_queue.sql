-- Intent: pause queue $1, for the reason $3, until $6 or for $7 seconds from now; says whether it wasn't paused before. $2
-- asks, by the request $4. Null where $5 is given and the queue has none of these versions.
-- Index: queue_pkey inside legwork.pause.
-- Planner: a function call behind one that says who asks, no table of its own.
SELECT CASE WHEN $5::text[] IS NULL OR legwork.unchanged_queue($1::text, $5) THEN legwork.pause($1::text, $3::text,
    coalesce($6::text::timestamptz, clock_timestamp() + make_interval(secs => $7::float8))) END
FROM legwork.asked_by($2::text, $3::text, $4::text)
