-- Ids of up to 1,000 waiting jobs whose expires_at has passed, the first $1 left out (the database refused
-- to discard them, or somebody had locked them), whoever serves them or not: a claim discards the others of their kind that it
-- meets, but nobody claims from a paused queue or a kind that nobody serves. Index: job_expiry. now()
-- is stable and so an index condition.
SELECT id FROM legwork.job
WHERE holder IS NULL AND expires_at IS NOT NULL AND expires_at < now()
ORDER BY expires_at, id OFFSET $1 LIMIT 1000
