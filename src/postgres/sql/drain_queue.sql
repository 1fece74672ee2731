-- Intent: drain queue $1, until $2 or for $3 seconds from now; says whether it wasn't before. Who asks for it, why, and by
-- which request are $5, $6 and $7; the reason stands with the queue as well. Null where $4 is given and the queue has none
-- of these versions.
-- Index: queue_pkey inside legwork.drain.
-- Planner: function calls, no table of its own; who asks is said first, since there is no row before.
SELECT CASE WHEN $4::text[] IS NULL OR legwork.unchanged_queue($1::text, $4) THEN legwork.drain($1::text, $6::text,
    coalesce($2::text::timestamptz, clock_timestamp() + make_interval(secs => $3::float8))) END
FROM legwork.asked_by($5::text, $6::text, $7::text)
