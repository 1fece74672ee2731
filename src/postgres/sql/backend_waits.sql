-- Whether a session's process has had nothing to do for so many seconds, which is so where its client
-- waits for an answer that got lost. No row: the process is gone. No index: it is a view of the
-- server's memory. The state is null to a role that may not see it.
SELECT coalesce(
    state LIKE 'idle%'
        AND pg_catalog.clock_timestamp() - state_change > pg_catalog.make_interval(secs => $3),
    false)
FROM pg_catalog.pg_stat_activity
WHERE pid = $1 AND backend_start::text IS NOT DISTINCT FROM $2
