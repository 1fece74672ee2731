-- For the sessions `maintenance` and `survey`, whose statements walk an index. A plan that is made just
-- after VACUUM or ANALYZE of a drained table expects about no rows, scans all of it, and is kept until the
-- next ANALYZE. Where a scan is the only way (rescue, unknown holders) it is still taken; without JIT,
-- which the cost of a way that is closed would call for each time. With scans open on `survey`, rescue
-- would then scan a second time for each batch, comparing every row with 1,000 places, and the counts
-- would read the whole table (tests/it/plans.rs).
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
-- Below the statements' own deadline: who waits for a table that somebody has locked is told so, and
-- keeps its connection. Rows that are locked are skipped or short.
SET lock_timeout = '3s';
