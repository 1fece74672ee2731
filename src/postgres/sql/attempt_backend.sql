-- Intent: know the server's process behind this session, told from any later one that gets its number,
-- so that another session can end it. As the one who logged in, since a role taken on may not see its
-- own sessions' start; for this statement alone.
-- Index: none is read. Planner: LATERAL, so that the role is there before the look.
SELECT s.pid, (extract(epoch FROM s.backend_start) * 1000000)::bigint
FROM (SELECT set_config('role', 'none', true) AS role) own
CROSS JOIN LATERAL pg_stat_get_activity(pg_backend_pid() + 0 * length(own.role)) s
