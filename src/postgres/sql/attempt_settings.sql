-- Intent: what an attempt's transaction knows of itself ($1 names, $2 values): its limit, the job's
-- numbers for the function to read, and at last the role. set_config rather than SET, because SET takes
-- no parameters; local, so that it ends with the transaction.
-- Index: none is read. Planner: rows in the order in which they were given.
SELECT set_config(s.name, s.value, true)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (name, value, place)
