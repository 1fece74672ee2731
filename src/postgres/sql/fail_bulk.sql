-- Intent: end operation $1, whose next batch the database refuses with the words $2.
-- Index: operation_pkey inside legwork.fail_bulk.
-- Planner: one function call, no table of its own.
SELECT legwork.fail_bulk($1::bigint, $2::text)
