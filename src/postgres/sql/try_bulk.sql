-- Intent: count the jobs that action $1 with the filter $2, put off by $3, would be about, where $4 allows all of them.
-- Index: job_pkey, each partition's finished_id or finished_reason, inside legwork.match_jobs, at most 100,000 entries.
-- Planner: one function call, no table of its own.
SELECT legwork.try_bulk($1::text, $2::text::jsonb, $3::text::interval, $4::boolean)::text
