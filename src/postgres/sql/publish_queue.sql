-- Tells cancel() and discard(), which run without a daemon, how long a queue's history is kept.
INSERT INTO legwork.queue (name, retention_completed, retention_cancelled, retention_discarded)
VALUES ($1, make_interval(days => $2), make_interval(days => $3), make_interval(days => $4))
ON CONFLICT (name) DO UPDATE SET retention_completed = excluded.retention_completed,
    retention_cancelled = excluded.retention_cancelled,
    retention_discarded = excluded.retention_discarded
