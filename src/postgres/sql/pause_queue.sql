-- Intent: pause queue $1, for the reason $2; says whether it wasn't paused before.
-- Index: queue_pkey inside legwork.pause.
-- Planner: one function call, no table of its own.
SELECT legwork.pause($1::text, $2::text)
