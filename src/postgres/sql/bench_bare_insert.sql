-- bench_bare_insert
-- The producer's INSERT, into the bare table.
-- Index: as many as those of legwork.job. Planner: an insert of one row of constants.
INSERT INTO public.bare_job (kind, payload) VALUES ('noop', $1::text::jsonb)
