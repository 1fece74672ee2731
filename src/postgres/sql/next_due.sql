-- Seconds until the next waiting job is due. Index: job_waiting, its first entry.
SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM legwork.job
WHERE holder IS NULL AND run_at > ready_at ORDER BY run_at LIMIT 1
