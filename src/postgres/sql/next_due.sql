-- Seconds until the next waiting job is due, of those from run_at $1 (epoch) on. Index: job_waiting, its first
-- entry from there. By date_part, one by one: a run_at of infinity, should one ever get past the domain,
-- can't be subtracted from.
SELECT date_part('epoch', run_at) - date_part('epoch', clock_timestamp()) FROM legwork.job
WHERE holder IS NULL AND run_at > ready_at AND run_at >= to_timestamp($1::float8)
ORDER BY run_at LIMIT 1
