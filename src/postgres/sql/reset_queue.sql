-- Intent: take away what was decided for queue $1, all of it or the setting $2; says whether there was any. Who asks for
-- it, why, and by which request are $3, $4 and $5, for the note.
-- Index: override_pkey inside legwork.reset_queue.
-- Planner: two function calls, no table of its own; who asks is said first, since there is no row before.
SELECT legwork.reset_queue($1::text, $2::text, $4::text) FROM legwork.asked_by($3::text, $4::text, $5::text)
