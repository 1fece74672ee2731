-- bench_insert
-- What a producer writes: the one required column and a payload.
-- Index: the row enters job_pkey and job_ready. Planner: an insert of one row of constants.
INSERT INTO legwork.job (kind, payload) VALUES ('noop', $1::text::jsonb)
