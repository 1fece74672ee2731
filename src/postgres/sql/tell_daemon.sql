-- Intent: tell daemon $1 to be quiet, to drain or to shut down, $2; says whether it wasn't told before. Who asks for it,
-- why, and by which request are $3, $4 and $5, for the note.
-- Index: daemon_pkey inside legwork.tell_daemon.
-- Planner: two function calls, no table of its own; who asks is said first, since there is no row before.
SELECT legwork.tell_daemon($1::bigint, $2::text, $4::text) FROM legwork.asked_by($3::text, $4::text, $5::text)
