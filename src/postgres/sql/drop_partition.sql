-- Drops one past day; waits for the lock on the parent 100 ms at most.
SELECT legwork.drop_partition($1)
