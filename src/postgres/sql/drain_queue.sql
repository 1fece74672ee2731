-- Intent: drain queue $1, until $2 or for $3 seconds from now; says whether it wasn't before. Who asks for it, why, and by
-- which request are $4, $5 and $6; the reason stands with the queue as well.
-- Index: queue_pkey inside legwork.drain.
-- Planner: two function calls, no table of its own; who asks is said first, since there is no row before.
SELECT legwork.drain($1::text, $5::text,
    coalesce($2::text::timestamptz, clock_timestamp() + make_interval(secs => $3::float8)))
FROM legwork.asked_by($4::text, $5::text, $6::text)
