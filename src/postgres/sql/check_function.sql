-- Intent: have the server resolve an sql kind's function ({function}, as in call_function.sql) and look at
-- its rights, without a call: EXPLAIN goes as far as the start of its execution. Index: none is read.
-- Planner: the argument comes from a row, or an immutable function would be called to plan with its result.
EXPLAIN SELECT {function}(to_jsonb(one.one))::jsonb::text FROM generate_series(1, 1) AS one (one)
