-- Intent: make known the rules of a daemon $3 that starts, names $1 and texts $2. A schedule that is new, or
-- whose rule has changed, goes on from now; done_until is never lowered, so that no instant comes twice.
-- Index: schedule_pkey is the arbiter of the conflict. In the order of names, since two daemons that start
-- at once take the same locks.
INSERT INTO legwork.schedule AS s (name, rule, daemon, done_until)
SELECT g.name, g.rule, $3::bigint, date_trunc('second', statement_timestamp())
FROM unnest($1::text[], $2::text[]) AS g (name, rule)
ORDER BY g.name
ON CONFLICT (name) DO UPDATE
SET rule = excluded.rule, daemon = excluded.daemon, done_until = greatest(s.done_until, excluded.done_until)
WHERE s.rule <> excluded.rule
