-- Intent: bound every later statement of this session, its run time ($1) and its waits for locks ($2).
-- Index: none is read.
-- Planner: two constant-folded function calls, no table. set_config rather than SET, because SET takes
-- no parameters.
SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false)
