-- The oldest 1000 of the demo's jobs that run: more than its slots. A sequential scan of unfinished jobs,
-- which a demo has few of.
SELECT kind::text, id FROM legwork.job WHERE holder IS NOT NULL ORDER BY id LIMIT 1000
