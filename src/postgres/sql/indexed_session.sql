-- For maintenance, whose statements walk an index and nothing else. A plan that is made just after
-- VACUUM or ANALYZE of a drained table expects about no rows, scans all of it, and is kept until the
-- next ANALYZE. Where a scan is the only way (rescue)
-- it is still taken; without JIT, which the cost of a way that is closed would call for each time.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
-- Below the statements' own deadline: who waits for a table that somebody has locked is told so, and
-- keeps its connection. Rows that are locked are skipped or short.
SET lock_timeout = '3s';
