-- Intent: take away what was decided for queue $1, all of it or the setting $2; says whether there was any. Who asks for
-- it, why, and by which request are $4, $5 and $6, for the note. Null where $3 is given and the queue has none of these
-- versions.
-- Index: override_pkey inside legwork.reset_queue.
-- Planner: function calls, no table of its own; who asks is said first, since there is no row before.
SELECT CASE WHEN $3::text[] IS NULL OR legwork.unchanged_queue($1::text, $3)
    THEN legwork.reset_queue($1::text, $2::text, $5::text) END
FROM legwork.asked_by($4::text, $5::text, $6::text)
