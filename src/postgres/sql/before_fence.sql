-- Sent between the function and the fence: what the function has put off to the end runs now, under its
-- role; then the daemon's role is back, and what the statement means and its plan (finish.sql, one job)
-- don't depend on what the function has set or made: where pg_temp isn't named, it comes first for types.
SET CONSTRAINTS ALL IMMEDIATE;
RESET ROLE;
SET LOCAL search_path = pg_catalog, legwork, pg_temp;
SET LOCAL timezone = 'UTC';
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL jit = off;
