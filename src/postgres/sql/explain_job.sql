-- Intent: every gate between job $1 and its handler, in the order in which they are passed.
-- Index: job_pkey or finished_id inside legwork.why; job_ready for the jobs ahead, counted to 10,000.
-- Planner: one call of a set-returning function, whose order is kept by WITH ORDINALITY.
SELECT w.gate, w.blocking, w.detail
FROM legwork.why($1::bigint) WITH ORDINALITY AS w (gate, blocking, detail, place)
ORDER BY w.place
