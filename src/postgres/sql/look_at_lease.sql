-- Intent: whose a job ($1) is, once every transaction that is about to change it has ended: that one may
-- be ours, whose COMMIT was sent and not answered. Index: job_pkey. Planner: one row by its key.
SELECT token, holder FROM legwork.job WHERE id = $1 FOR NO KEY UPDATE
