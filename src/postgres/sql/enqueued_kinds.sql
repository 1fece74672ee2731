-- Intent: the kinds of unfinished jobs, for the message of a test that found none of its own.
-- Index: none; a test's table is small.
-- Planner: one scan and a hash of few kinds.
SELECT DISTINCT kind::text FROM legwork.job ORDER BY 1 LIMIT 100
