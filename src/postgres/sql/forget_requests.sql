-- Intent: delete the oldest of the answers that are a day old, $1 at most.
-- Index: request_answered_at, walked from its start; then request_pkey by the keys.
-- Planner: the LIMIT bounds the walk, and the keys come as an array, so that the outer side is an index scan. Rows that
-- another daemon deletes at the same time are waited for, and gone then: it takes milliseconds.
DELETE FROM legwork.request WHERE key = ANY(ARRAY(
    SELECT key FROM legwork.request WHERE answered_at < now() - interval '24 h'
    ORDER BY answered_at LIMIT $1::bigint))
