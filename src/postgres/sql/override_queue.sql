-- Intent: decide the concurrency $2, the rate limit $3 or both of queue $1, until $4 or for $5 seconds from now; says
-- whether anything changed. Who asks for it, why, and by which request are $7, $8 and $9, for the note. Null where $6 is
-- given and the queue has none of these versions.
-- Index: override_pkey inside legwork.override_queue.
-- Planner: function calls, no table of its own; who asks is said first, since there is no row before.
SELECT CASE WHEN $6::text[] IS NULL OR legwork.unchanged_queue($1::text, $6)
    THEN legwork.override_queue($1::text, $2::integer, $3::text,
        coalesce($4::text::timestamptz, clock_timestamp() + make_interval(secs => $5::float8)), $8::text) END
FROM legwork.asked_by($7::text, $8::text, $9::text)
