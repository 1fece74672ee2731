-- Intent: let queue $1 run again; says whether it was paused.
-- Index: queue_pkey inside legwork.resume.
-- Planner: one function call, no table of its own.
SELECT legwork.resume($1::text)
