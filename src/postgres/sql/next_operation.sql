-- Intent: the oldest operation that $1 is to go on with: its own, or one that nobody has gone on with for 15 seconds.
-- Index: operation_running, which holds those alone that haven't ended.
-- Planner: a walk of that index to its first match.
SELECT o.id FROM legwork.operation o
WHERE o.state = 'running' AND (o.holder = $1::bigint OR o.renewed_at < clock_timestamp() - interval '15 seconds')
ORDER BY o.id
LIMIT 1
