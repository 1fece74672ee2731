-- Intent: whether this transaction is the one that works at the request with this key ($1). The lock goes with it.
-- Index: none, it reads no table.
-- Planner: a function call.
SELECT pg_try_advisory_xact_lock(hashtextextended('legwork.request ' || $1::text, 0))
