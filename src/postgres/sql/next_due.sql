-- When it looked, and how many seconds later the next waiting job is due, of those from run_at $1 (epoch)
-- on, at most a day (no daemon sleeps longer). Index: job_waiting, its first entry from there. least()
-- before the subtraction: a run_at of infinity, should one get past the domain, can't be subtracted from.
SELECT date_part('epoch', statement_timestamp()), (
    SELECT date_part('epoch', least(run_at::timestamptz, clock_timestamp() + interval '1 day') - clock_timestamp())
    FROM legwork.job
    WHERE holder IS NULL AND run_at > ready_at AND run_at >= to_timestamp($1::float8)
    ORDER BY run_at LIMIT 1
)
