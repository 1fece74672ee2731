-- Intent: note that $1 was done to $2, with $3 beside it, for what is done to a process and no row. Who asked for it, why,
-- and by which request are $4, $5 and $6.
-- Index: none; an insert inside legwork.note.
-- Planner: two function calls, no table of its own; who asks is said first, since there is no row before.
SELECT legwork.note($1::text, $2::text, $5::text, $3::text::jsonb) FROM legwork.asked_by($4::text, $5::text, $6::text)
