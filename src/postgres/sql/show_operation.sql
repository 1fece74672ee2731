-- Intent: how operation $1 stands; no row where there is none.
-- Index: operation_pkey.
-- Planner: equality on the key.
SELECT legwork.shown_operation(o)::text FROM legwork.operation o WHERE o.id = $1::bigint
