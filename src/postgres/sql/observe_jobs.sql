-- The demo's jobs, all of them. For a private database with a few thousand rows at most; people with a
-- database of their own use the paged list.
SELECT id, state, queue, kind, attempt, coalesce(tags, '{}') FROM legwork.jobs ORDER BY id LIMIT 20000
