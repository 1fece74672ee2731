-- For the completer's session. Its statements have one right plan: the rows by `id = ANY`, joined with
-- their verdicts by hash. The choice is closed because a plan that is made just after VACUUM or ANALYZE
-- of a drained table expects about no rows and is kept until the next ANALYZE: it would scan all of the
-- next backlog at each flush, or compare every row with every verdict. Without JIT, which the cost of a
-- way that is closed would call for each time. One plan for all arguments, since there is but one way: else
-- a flush of one verdict is planned anew each time, which costs as much as all else of it.
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_nestloop = off;
SET enable_mergejoin = off;
SET jit = off;
-- A verdict waits for a row's lock, or a table's, no longer than two statements may before a shutdown's last
-- flush is over.
SET lock_timeout = '500ms';
