-- For maintenance, whose statements walk an index and nothing else. A plan that is made just after
-- VACUUM or ANALYZE of a drained table expects about no rows, scans all of it, and is kept until the
-- next ANALYZE. Where a scan is the only way (rescue)
-- it is still taken; without JIT, which the cost of a way that is closed would call for each time.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
