-- For the session that ends what was given up and asks whether a COMMIT was made: it waits for a row no
-- longer than this and asks again, since others may wait for it. Both statements go by an id; a plan that was
-- made for a drained table, or for a day of history before its first row, would scan it ever after. Without
-- JIT, which the cost of a way that is closed would call for.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET jit = off;
SET lock_timeout = '2s';
