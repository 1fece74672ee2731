-- Ids of jobs that promote.sql would put in line next, from run_at $1 (epoch) on, without the first $2
-- (refused or locked): after the database refused a promotion, for finding the row that is to blame. Index: job_waiting.
SELECT id FROM legwork.job
WHERE holder IS NULL AND run_at > ready_at
    AND run_at >= to_timestamp($1::float8) AND run_at <= statement_timestamp()
ORDER BY run_at, id OFFSET $2 LIMIT 1000
