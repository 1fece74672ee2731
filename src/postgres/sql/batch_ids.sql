-- Intent: the ids of the jobs that this transaction has inserted behind id $1: the first, the last, and all where there
-- are no more than $2.
-- Index: job_pkey, from $1 on: what this transaction has sent and what others have in the meantime.
-- Planner: a range of the primary key; xmin has no index and tells ours from others' on the way.
SELECT min(id), max(id), CASE WHEN count(*) <= $2::bigint THEN array_agg(id ORDER BY id) END
FROM legwork.job WHERE id > $1::bigint AND xmin = pg_current_xact_id()::xid
