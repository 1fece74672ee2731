-- bench_forget
-- So that each crew begins as the first one did.
-- Index: none. Planner: a few rows.
DELETE FROM legwork.daemon
