-- The one decision that fences: daemons whose lease ran out, a margin of $1 seconds ago. From the commit
-- of this row on, none of their claims and renewals succeeds.
UPDATE legwork.daemon SET died_at = clock_timestamp()
WHERE died_at IS NULL AND expires_at < clock_timestamp() - make_interval(secs => $1)
RETURNING id
