-- Ids above $2 of jobs that $1 holds, 1,000 at a time: after the database refused a rescue, for finding
-- the row that is to blame. Index: job_pkey, walked from $2 on, since none is on holder.
SELECT id FROM legwork.job WHERE holder = $1 AND id > $2 ORDER BY id LIMIT 1000
