-- Intent: end the process ($1) behind a session that was given up, unless its number belongs to another
-- by now ($2: its start). As the one who logged in, who may end his own sessions; for this statement alone.
-- Index: none is read. Planner: LATERAL, so that the role is there before the look.
SELECT pg_terminate_backend(s.pid)
FROM (SELECT set_config('role', 'none', true) AS role) own
CROSS JOIN LATERAL pg_stat_get_activity($1 + 0 * length(own.role)) s
WHERE (extract(epoch FROM s.backend_start) * 1000000)::bigint = $2
