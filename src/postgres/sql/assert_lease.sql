-- Intent: raise LW001 unless attempt $2 (its lease token) still owns job $1, and keep every other attempt of
-- it from starting until this transaction ends.
-- Index: job_pkey and daemon_pkey, inside the function.
-- Planner: one call, no table.
SELECT legwork.assert_lease($1::bigint, $2::bigint)
