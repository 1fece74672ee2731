-- Intent: a schedule $1 that no daemon has had yet, for who enqueues its job by hand. Without a rule: the first
-- daemon that has it makes its own known, and goes on from then.
-- Index: schedule_pkey is the arbiter of the conflict.
INSERT INTO legwork.schedule (name, rule, done_until)
VALUES ($1::text, '', date_trunc('second', statement_timestamp()))
ON CONFLICT (name) DO NOTHING
