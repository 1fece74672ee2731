-- Intent: decide the concurrency $2, the rate limit $3 or both of queue $1, until $4 or for $5 seconds from now; says
-- whether anything changed. Who asks for it, why, and by which request are $6, $7 and $8, for the note.
-- Index: override_pkey inside legwork.override_queue.
-- Planner: two function calls, no table of its own; who asks is said first, since there is no row before.
SELECT legwork.override_queue($1::text, $2::integer, $3::text,
    coalesce($4::text::timestamptz, clock_timestamp() + make_interval(secs => $5::float8)), $7::text)
FROM legwork.asked_by($6::text, $7::text, $8::text)
