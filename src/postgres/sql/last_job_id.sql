-- Intent: the id behind which all those come that are given from now on.
-- Index: none, it reads a sequence.
-- Planner: one row. A sequence that was never asked has not given its last value.
SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM legwork.job_id_seq
