-- Intent: end operation $1, and say how it stands. $2 asks, because of $3, by the request $4.
-- Index: operation_pkey inside legwork.cancel_bulk.
-- Planner: a function call behind one that says who asks, no table of its own.
SELECT legwork.cancel_bulk($1::bigint)::text FROM legwork.asked_by($2::text, $3::text, $4::text)
