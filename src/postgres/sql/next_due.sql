-- Seconds until the next waiting job is due, at most a day (no daemon sleeps longer). Index: job_waiting,
-- its first entry. least() before the subtraction: infinity can't be subtracted from.
SELECT date_part('epoch', least(run_at::timestamptz, clock_timestamp() + interval '1 day') - clock_timestamp())
FROM legwork.job
WHERE holder IS NULL AND run_at > ready_at ORDER BY run_at LIMIT 1
