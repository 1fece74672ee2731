-- Intent: do the next batch of operation $1 on behalf of $2, and say how it stands.
-- Index: operation_pkey; job_pkey, each partition's finished_id or finished_reason, inside legwork.step_bulk: at most 5,000
-- entries to look at, and those of 500 jobs.
-- Planner: one function call, no table of its own.
SELECT legwork.step_bulk($1::bigint, $2::bigint)::text
