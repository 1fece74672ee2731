-- Ids above $2 of jobs that $1 holds, 1,000 at a time: after the database refused a rescue, for finding
-- the row that is to blame. No index, as in rescue.sql.
SELECT id FROM legwork.job WHERE holder = $1 AND id > $2 ORDER BY id LIMIT 1000
