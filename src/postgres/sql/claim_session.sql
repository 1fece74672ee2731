-- For the claiming session only. The claim has one right plan: walk job_ready from the mark. After
-- VACUUM or ANALYZE of a just-drained table the planner believes in about no rows and would sort the
-- whole backlog or walk another index (48 k to 281 k jobs/s seen), so the other ways are closed here, and
-- with them JIT, which the cost of a way that is closed would call for each time.
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_sort = off;
SET jit = off;
-- A claim skips rows that are locked. What else it waits for holds up every queue.
SET lock_timeout = '1s';
