-- Intent: begin action $1 on the jobs that meet the filter $2, put off by $3, where $4 allows all of them; $5 will do the
-- batches. $6 asks, because of $7, by the request $8.
-- Index: none; two rows are inserted.
-- Planner: a function call behind one that says who asks, no table of its own.
SELECT legwork.begin_bulk($1::text, $2::text::jsonb, $3::text::interval, $4::boolean, NULL, $5::bigint)::text
FROM legwork.asked_by($6::text, $7::text, $8::text)
