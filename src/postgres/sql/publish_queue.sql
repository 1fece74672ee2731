-- Tells cancel() and discard(), which run without a daemon, how long a queue's history is kept. Touches
-- no row that says so already: somebody may hold its lock for as long as a transaction is open.
INSERT INTO legwork.queue (name, retention_completed, retention_cancelled, retention_discarded)
SELECT n.* FROM (SELECT $1, make_interval(days => $2), make_interval(days => $3), make_interval(days => $4))
    AS n (name, completed, cancelled, discarded)
WHERE NOT EXISTS (SELECT FROM legwork.queue q WHERE q.name = n.name
    AND (q.retention_completed, q.retention_cancelled, q.retention_discarded)
        IS NOT DISTINCT FROM (n.completed, n.cancelled, n.discarded))
ON CONFLICT (name) DO UPDATE SET retention_completed = excluded.retention_completed,
    retention_cancelled = excluded.retention_cancelled,
    retention_discarded = excluded.retention_discarded
