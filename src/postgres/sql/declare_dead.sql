-- The one decision that fences: daemons whose lease ran out, a margin of $1 seconds ago. From the commit
-- of this row on, none of their claims and renewals succeeds. Gives them, and with them those that
-- died within the last hour, by their own hand or another's: the SELECT sees the table as it was
-- before, so nobody is given twice. No index: a row a daemon.
WITH newly AS (
    UPDATE legwork.daemon SET died_at = clock_timestamp()
    WHERE died_at IS NULL AND expires_at < clock_timestamp() - make_interval(secs => $1)
    RETURNING id
)
SELECT id, true AS newly FROM newly
UNION ALL
SELECT id, false FROM legwork.daemon WHERE died_at > clock_timestamp() - interval '1 hour'
