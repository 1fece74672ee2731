-- Intent: bound how long the server works on a later statement of this session ($1).
-- Index: none is read.
-- Planner: a constant-folded function call, no table. set_config rather than SET, because SET takes no
-- parameters.
SELECT set_config('statement_timeout', $1, false)
