-- Intent: delete the oldest notes of what people changed, those that are past their 90 days, at most $1, and say
-- how many that were.
-- Index: audit_pkey inside legwork.prune_audit, from its begin, $1 entries.
-- Planner: one function call, no table of its own.
SELECT legwork.prune_audit($1::integer)
