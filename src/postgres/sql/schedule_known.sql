-- Intent: a schedule $1 of rule $2 that no daemon has had yet, for who enqueues its job by hand.
-- Index: schedule_pkey is the arbiter of the conflict.
INSERT INTO legwork.schedule (name, rule, done_until)
VALUES ($1::text, $2::text, date_trunc('second', statement_timestamp()))
ON CONFLICT (name) DO NOTHING
