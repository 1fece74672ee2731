-- Intent: which unfinished job of a queue ($1) has this unique key ($2).
-- Index: job_unique, of which it reads one entry.
-- Planner: equality on both columns of a unique index, which is partial: a key that equals something isn't null.
SELECT id FROM legwork.job WHERE queue = $1::text AND unique_key = $2::text
