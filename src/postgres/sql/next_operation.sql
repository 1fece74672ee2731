-- Intent: the operation that $1 is to go on with: of its own, and of those that nobody has gone on with for 15 seconds, the
-- one that has waited for its next batch for longest, so that each has its turn.
-- Index: operation_running, which holds those alone that haven't ended.
-- Planner: all of that index, sorted; those that run at a time are few.
SELECT o.id FROM legwork.operation o
WHERE o.state = 'running' AND (o.holder = $1::bigint OR o.renewed_at < clock_timestamp() - interval '15 seconds')
ORDER BY o.renewed_at, o.id
LIMIT 1
